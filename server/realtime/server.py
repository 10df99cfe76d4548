"""The Socket.IO server the application uses; the parts do the work."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import socketio
from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT_ERROR, DISCONNECT, EVENT

from server.realtime.counters import Counters, Metrics
from server.realtime.engine import Engine
from server.realtime.entrance import CLIENT_LEFT, SERVER_SENT_AWAY, Entrance, Environ, Identify
from server.realtime.fanout import Fanout, Watch
from server.realtime.frames import encode
from server.realtime.inbound import Inbound
from server.realtime.link import TRANSPORT_CLOSE, Link


class RealtimeServer(socketio.AsyncServer):  # type: ignore[misc]
    """A :class:`socketio.AsyncServer` for the application; what differs is in the package's docstring.

    Connect handlers take ``(sid, environ, auth)``, run for every client, and may ask :meth:`recovered`.

    Restated from upstream, and watched by tests/realtime/test_upstream.py: ``_handle_connect``,
    ``_handle_disconnect``, ``_handle_event``, ``_handle_event_internal``, ``_handle_ack``, ``_handle_eio_message``,
    ``_handle_eio_connect``, ``_handle_eio_disconnect``, ``_send_packet``, ``disconnect``, ``emit``.
    """

    manager: Fanout
    eio: Engine

    def __init__(
        self,
        *,
        cors_allowed_origins: Sequence[str] = (),
        recovery_ms: int = 0,
        recovery_namespaces: Collection[str] = ("/",),
        identity: Identify | None = None,
        buffer_bytes: int = 1024 * 1024,
        io_uring: bool = True,
        ping_interval: float = 10.0,
        ping_timeout: float = 10.0,
        connect_timeout: float = 15.0,
        max_http_buffer_size: int = 1_000_000,
        client_manager: Fanout | None = None,
        namespaces: Sequence[str] | None = None,
    ) -> None:
        """*cors_allowed_origins*: pages that may connect, besides our own; ``"*"`` is every page.

        *recovery_ms*: how long a lost connection can be recovered, in *recovery_namespaces*; 0 switches it off, and
        its traces on the wire. *identity* names the user behind ``(environ, auth)``: a session is recovered only by
        whom it belonged to. It must not raise for a bad token; the connect handler refuses that one.

        *buffer_bytes*: what may wait for one socket. *io_uring*: write broadcasts by it, where the kernel lets us.
        Times are in seconds.
        """
        self.counters = Counters()
        self.entrance = Entrance(
            self, recovery_ms / 1000, recovery_namespaces, identity, notice_s=ping_interval + ping_timeout
        )
        self._inbound: dict[str, Inbound] = {}  # by Engine.IO sid
        quiet = _quiet_logger()
        super().__init__(
            client_manager=client_manager or Fanout(),
            logger=quiet,
            engineio_logger=quiet,
            namespaces=namespaces,
            cors_allowed_origins=_origin_check(cors_allowed_origins),
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_http_buffer_size=max_http_buffer_size,
            buffer_bytes=buffer_bytes,
            io_uring=io_uring,
            connect_timeout=connect_timeout,
            counters=self.counters,
        )
        self.eio.position = lambda: self.entrance.log.head

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # For the application

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
        *,
        collapse: str | None = None,
    ) -> None:
        """As upstream, and: *to* may be several rooms; a client in more than one of them gets the event once.

        Without a message queue it returns without having waited for anything. While a socket is congested, an event
        replaces a waiting older one with the same *collapse* key: only for what a client that cannot keep up may miss.

        Raises:
            ValueError, TypeError: *data* holds what JSON, or a JavaScript client, does not take.
        """
        await self.manager.emit(
            event,
            data,
            namespace or "/",
            room=room if to is None else to,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
            collapse=collapse,
        )

    def recovered(self, sid: str) -> bool:
        """Whether the client came back to its session: same sid, rooms and saved session as before.

        In the connect handler the rooms and the session are there already; the events it missed follow the handler.
        """
        return sid in self.entrance.recovered

    async def close_transport(self, sid: str, namespace: str = "/") -> None:
        """Close the connection under a client, which an unchanged client answers by reconnecting, asking its ``auth``
        function again. :meth:`disconnect` is the opposite: go away and stay away."""
        link = self._link_of(sid, namespace)
        if link is not None:
            await link.close(reason=TRANSPORT_CLOSE)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Send a client away for good: it does not reconnect by itself, and does not recover.

        One whose connect handler still runs is refused when that has ended.
        """
        namespace = namespace or "/"
        if (session := self.entrance.sessions.saved_by_sid(namespace, sid)) is not None:
            self.entrance.sessions.drop(session)
        if (entering := self._link_of(sid, namespace)) is not None:
            self.entrance.send_away(entering.sid, namespace)
        here = self.manager.is_connected(sid, namespace)
        if here or (not ignore_queue and await self.manager.can_disconnect(sid, namespace)):
            link = self._link_of(sid, namespace)
            if link is not None:
                link.send_frame(encode(DISCONNECT, namespace))
                await self.entrance.leave(link.sid, namespace, SERVER_SENT_AWAY, for_good=True)

    async def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Enter a room; also for a client whose connection broke a moment ago and who may be back."""
        if (session := self.entrance.sessions.saved_by_sid(namespace or "/", sid)) is not None:
            session.rooms |= {room}
        else:
            await super().enter_room(sid, room, namespace)

    async def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Leave a room; as :meth:`enter_room`."""
        if (session := self.entrance.sessions.saved_by_sid(namespace or "/", sid)) is not None:
            session.rooms -= {room}
        else:
            await super().leave_room(sid, room, namespace)

    def watch(self, room: str, namespace: str = "/") -> AbstractContextManager[Watch]:
        """Note in ``moved`` whether an event is sent to *room* while the block runs: what was read meanwhile is old."""
        return self.manager.watch(room, namespace)

    async def answers(self, sid: str, namespace: str = "/", *, within_s: float) -> bool:
        """Whether the client gives a sign of life now. A line that died silently is found out sooner than by pings."""
        link = self._link_of(sid, namespace)
        return link is not None and await link.answers(within_s)

    async def shutdown(self) -> None:
        """Part from every client, so that they reconnect; to be awaited before the web server stops. Bounded."""
        self.entrance.close()
        await self.eio.shutdown()
        await self.manager.close()

    def metrics(self) -> Metrics:
        links = list(self.eio.sockets.values())
        return Metrics(
            sockets=len(links),
            congested=sum(link.congested for link in links),
            backlog_bytes=sum(link.backlog_bytes for link in links),
            sessions=self.entrance.sessions.saved,
            log_events=len(self.entrance.log),
            log_bytes=self.entrance.log.bytes,
            events=self.counters.events,
            deliveries=self.counters.deliveries,
            recovered=self.counters.recovered,
            replayed=self.counters.replayed,
            refused=dict(self.counters.refused),
            drops=dict(self.counters.drops),
        )

    # What the engine and upstream's own code call

    async def _handle_eio_connect(self, eio_sid: str, environ: Environ) -> None:
        # Not the request itself: it holds the HTTP side of its connection, far more than a WebSocket needs.
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        await super()._handle_eio_connect(eio_sid, told)
        self._inbound[eio_sid] = Inbound(self, eio_sid)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        if (inbound := self._inbound.get(eio_sid)) is not None:
            await inbound.take(data)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        try:
            await self.entrance.leave_all(eio_sid, reason)
        finally:
            self.environ.pop(eio_sid, None)
            self._inbound.pop(eio_sid, None)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        link = self.eio.sockets.get(eio_sid)
        if link is None:
            return
        if namespace in self.handlers or namespace in self.namespace_handlers or namespace in self.namespaces:
            self.entrance.enter(link, namespace, data)
        else:
            link.send_frame(encode(CONNECT_ERROR, namespace, {"message": "Invalid namespace"}))

    async def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        await self.entrance.leave(eio_sid, namespace or "/", reason or CLIENT_LEFT, for_good=True)

    async def _send_packet(self, eio_sid: str, packet: Any) -> None:
        link = self.eio.sockets.get(eio_sid)
        if link is not None:
            kind = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}.get(packet.packet_type, packet.packet_type)
            link.send_frame(encode(kind, packet.namespace or "/", packet.data, packet.id))

    def _link_of(self, sid: str, namespace: str) -> Link | None:
        return self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, namespace) or "")


def _origin_check(allowed: Sequence[str]) -> Callable[[str | None, Environ], bool]:
    """Which pages a browser may come from: the listed ones and our own, whatever scheme a proxy took off."""

    def is_allowed(origin: str | None, environ: Environ) -> bool:
        if "*" in allowed or origin in allowed:
            return True
        return origin is not None and urlsplit(origin).netloc == environ.get("HTTP_HOST")

    return is_allowed


def _quiet_logger() -> logging.Logger:
    """For upstream's code, which logs every packet at INFO, and as an ERROR what a client did: come back too late, say.

    What it says of an exception is a fault of ours, and stays.
    """
    quiet = logging.getLogger(f"{__name__}.upstream")
    quiet.setLevel(logging.WARNING)
    quiet.addFilter(_is_about_an_exception)
    return quiet


def _is_about_an_exception(record: logging.LogRecord) -> bool:
    return record.exc_info is not None
