"""What clients send: put together, checked, and handed to the application's handlers, so many at a time."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from socketio.packet import ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT

from server.realtime.entrance import CLIENT_LEFT
from server.realtime.frames import ProtocolError, decode, encode

if TYPE_CHECKING:
    from server.realtime.server import RealtimeServer

HANDLERS_PER_CLIENT: Final = 32  # running at once; then no more is read from that client


class Inbound:
    """The packets of one Engine.IO connection."""

    __slots__ = ("_attached", "_handlers", "_packet", "_server", "_sid")

    def __init__(self, server: "RealtimeServer", eio_sid: str) -> None:
        self._server = server
        self._sid = eio_sid
        self._packet: Any = None  # that waits for its attachments
        self._attached = 0  # bytes
        self._handlers = asyncio.Semaphore(HANDLERS_PER_CLIENT)

    async def take(self, data: str | bytes) -> None:
        """Take one message.

        Raises:
            ProtocolError: the connection is to be closed.
        """
        if self._packet is None:
            await self._dispatch(decode(data))
            return
        if not isinstance(data, bytes):
            raise ProtocolError("text where an attachment was announced")
        self._attached += len(data)
        if self._attached > self._server.eio.max_http_buffer_size:
            raise ProtocolError("attachments over the limit")
        try:
            complete = self._packet.add_attachment(data)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise ProtocolError("attachments that do not fit their packet") from error
        if complete:
            packet, self._packet = self._packet, None
            await self._handle(packet)

    async def _dispatch(self, packet: Any) -> None:
        namespace = packet.namespace or "/"
        if packet.packet_type == CONNECT:
            await self._server._handle_connect(self._sid, namespace, packet.data)
        elif packet.packet_type == DISCONNECT:
            await self._server._handle_disconnect(self._sid, namespace, CLIENT_LEFT)
        elif packet.attachment_count:
            if self._server.manager.sid_from_eio_sid(self._sid, namespace) is None:
                raise ProtocolError("attachments from a client that is not connected")
            self._packet, self._attached = packet, 0
        else:
            await self._handle(packet)

    async def _handle(self, packet: Any) -> None:
        server, namespace = self._server, packet.namespace or "/"
        await server.entrance.settled(self._sid, namespace)  # only a client that did not wait for its CONNECT waits
        sid = server.manager.sid_from_eio_sid(self._sid, namespace)
        if sid is None or not server.manager.is_connected(sid, namespace):
            return  # it was sent before the client learned that it is out
        if packet.packet_type in (EVENT, BINARY_EVENT):
            await self._handlers.acquire()  # reading stops here, and with it the client
            event = packet.data[0]
            server.eio.spawn(self._run_handler(sid, namespace, packet.data, packet.id), f"the handler of {event!r}")
        else:
            acked = server.manager.trigger_callback(sid, packet.id, packet.data)
            server.eio.spawn(acked, "an acknowledgement callback")

    async def _run_handler(self, sid: str, namespace: str, data: list[Any], ack_id: int | None) -> None:
        server = self._server
        try:
            result = await server._trigger_event(data[0], namespace, sid, *data[1:])
        finally:
            self._handlers.release()
        link = server.eio.sockets.get(self._sid)
        if ack_id is None or result is server.not_handled or link is None:
            return
        answer = [] if result is None else list(result) if isinstance(result, tuple) else [result]
        link.send_frame(encode(ACK, namespace, answer, ack_id))
