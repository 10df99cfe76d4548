"""The WebSocket under one link: whole frames written at once, flow control, and an end in bounded time."""

import asyncio
from socket import AF_INET, AF_INET6, SO_SNDBUF, SOL_SOCKET
from typing import Final

from aiohttp import WSMsgType, web

CLOSE_WAIT_S: Final = 2.0  # for the client's Close frame and our last bytes; then the connection is aborted
SEND_BUFFER_BYTES: Final = 256 * 1024  # kernel memory a client that stopped reading can hold; Linux doubles it
_CLOSE_FRAME: Final = b"\x88\x02\x03\xe9"  # 1001, going away: the client comes back by itself


class WebSocketWire:
    """aiohttp's WebSocket with the writing and the closing done here: no compression, no task, no queue."""

    __slots__ = ("_abort_timer", "_close_sent", "_protocol", "_response", "_transport", "_writer")

    def __init__(self, max_message_bytes: int) -> None:
        self._response = web.WebSocketResponse(compress=False, autoclose=False, max_msg_size=max_message_bytes)
        self._close_sent = False
        self._abort_timer: asyncio.TimerHandle | None = None

    async def open(self, request: web.Request) -> web.WebSocketResponse:
        """Answer the handshake; the response is what the request handler must return in the end."""
        self._writer = await self._response.prepare(request)
        self._protocol = request.protocol
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        self._transport = transport
        if (raw := transport.get_extra_info("socket")) is not None and raw.family in (AF_INET, AF_INET6):
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)
        return self._response

    @property
    def paused(self) -> bool:
        """The transport's buffer is above its high-water mark (64 KiB): the client does not keep up."""
        return self._protocol.writing_paused

    @property
    def gone(self) -> bool:
        return self._close_sent or self._transport.is_closing()

    def write(self, data: bytes) -> bool:
        """Write complete frames; False when the client is gone, or does not take what it was sent before."""
        transport = self._transport
        # To a closed one asyncio would drop it silently, uvloop raise.
        if self._close_sent or self._protocol.writing_paused or transport.is_closing():
            return False
        transport.write(data)
        return True

    async def drain(self) -> None:
        """Wait until the transport takes more; raises ConnectionError when the client is gone."""
        await self._writer.drain()

    async def receive(self) -> str | bytes:
        """The next message; raises ConnectionError when there will be none."""
        message = await self._response.receive()
        if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
            data: str | bytes = message.data
            return data
        raise ConnectionResetError("the WebSocket ended")

    def part(self) -> None:
        """Send the Close frame and leave it to the reader to see the client's; a congested client is just cut."""
        if self.gone or self.paused:
            self.abort()
        else:
            self._transport.write(_CLOSE_FRAME)
            self._close_sent = True
            self._abort_timer = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self.abort)

    def end(self) -> None:
        """After the last message: answer the client's Close frame and close the connection."""
        if not self._transport.is_closing():
            if self._abort_timer is None:
                self.part()
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection and everything still buffered for it."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._close_sent = True
        self._transport.abort()
