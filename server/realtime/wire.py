"""The WebSocket under one link: whole frames written at once, flow control, and an end in bounded time.

aiohttp answers the handshake; then the connection is taken out of its hands, with its parser. What it keeps of a
request and of the handler that waits in it is three quarters of the memory of a connection that mostly listens.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from socket import AF_INET, AF_INET6, SO_LINGER, SO_SNDBUF, SOL_SOCKET
from struct import pack
from typing import Any, Final

from aiohttp import WebSocketError, WSMsgType, web
from aiohttp.streams import EofStream

logger = logging.getLogger(__name__)

CLOSE_WAIT_S: Final = 2.0  # for the client's Close frame and our last bytes; then the connection is aborted
SEND_BUFFER_BYTES: Final = 256 * 1024  # kernel memory a client that stopped reading can hold; Linux doubles it
_GOING_AWAY: Final = 1001  # the client comes back by itself
_AT_ONCE: Final = pack("ii", 1, 0)  # SO_LINGER: reset the connection instead of sending what is left


class TakenOver(web.Response):
    """What the request handler returns of a connection that is not aiohttp's any more."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        raise ConnectionResetError("the WebSocket goes on without the request")


class Changes:
    """Counts what makes descriptors read earlier out of date, of all links of one engine."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class WebSocketWire(asyncio.Protocol):
    """The protocol of an open WebSocket, fed by the transport."""

    __slots__ = (
        "at_once", "paused", "transport", "_abort_timer", "_changes", "_close_sent", "_descriptor", "_drained", "_lost",
        "_parser", "_queue", "_reading_paused", "_socket", "_waiting",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._descriptor = -1
        self.at_once: Callable[[str], bool] | None = None
        """Takes a text message, or not, where it arrives: when nothing came before it that waits to be received."""
        self.paused = False
        """The transport holds more than it should (anything, or 64 KiB over TLS): the client does not keep up."""
        self._close_sent = False
        self._lost = False
        self._socket = -1
        """The descriptor again, whatever happens to be in the way; -1 for a transport that encrypts."""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None
        """Of the reader, for a message or the end."""

    @property
    def descriptor(self) -> int:
        """Of the socket, while it may be written to directly (see ``broadcast.py``), else -1: the transport holds
        nothing back, does not encrypt, no Close frame was sent, and the connection is not known to be lost.

        Both event loops close a socket after ``connection_lost`` only: until then the number is nobody else's.
        """
        return self._descriptor

    @descriptor.setter
    def descriptor(self, descriptor: int) -> None:
        if descriptor != self._descriptor:
            self._descriptor = descriptor
            self._changes.count += 1

    async def open(self, request: web.Request, max_message_bytes: int) -> web.Response:
        """Answer the handshake and take the connection over; the response is for the request handler to return.

        Raises:
            ConnectionError: the client left meanwhile.
            web.HTTPException: no handshake.
        """
        response = web.WebSocketResponse(compress=False, autoclose=False, max_msg_size=max_message_bytes)
        await response.prepare(request)
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left during the handshake")
        if (raw := transport.get_extra_info("socket")) is not None and raw.family in (AF_INET, AF_INET6):
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES)
            if transport.get_extra_info("sslcontext") is None and os.name == "posix":
                self.descriptor = self._socket = raw.fileno()
                # What the kernel does not take waits in the outbox, by reference: uvloop takes 100 KiB to hold 64.
                transport.set_write_buffer_limits(high=0)
        self._take_over(request.protocol, transport, response)
        return TakenOver()

    def _take_over(self, http: Any, transport: asyncio.Transport, response: Any) -> None:
        """The private names are those of the aiohttp we pin; tests/realtime/test_upstream.py watches their methods."""
        self.transport = transport
        self._parser, self._queue = response._parser, response._reader
        self._queue._protocol = self
        self._reading_paused = http._reading_paused
        transport.set_protocol(self)
        if http.writing_paused:  # answers to requests before the handshake wait to be read
            self.pause_writing()
        http._payload_parser = http.transport = None  # else it would end the one and close the other
        http.connection_lost(None)

    # What the transport and the parser's queue call

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._waiting is not None and not self._waiting.done():
            self._offer()
            self._tell_reader()

    def _offer(self) -> None:
        """Offer the one message there is to be taken at once."""
        arrived = self._queue._buffer
        if self.at_once is not None and len(arrived) == 1:
            message = arrived[0][0]
            if message.type is WSMsgType.TEXT and self.at_once(message.data):
                with contextlib.suppress(StopIteration):  # the queue has no other way to take one out without a wait
                    self._queue.read().send(None)

    def _tell_reader(self) -> None:
        """Wake the reader, if there is something to read, or never will be."""
        waiting = self._waiting
        if waiting is not None and not waiting.done() and (self._queue._buffer or self._queue.is_eof()):
            waiting.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost = True
        self.descriptor = -1
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._queue.feed_eof()
        self._tell_reader()
        self._wake()

    def eof_received(self) -> None:
        if self.transport.get_write_buffer_size():  # it says goodbye and has not taken what it was sent
            self.abort()

    def pause_writing(self) -> None:
        self.paused = True
        self.descriptor = -1

    def resume_writing(self) -> None:
        self.paused = False
        if not self._close_sent and not self._lost:
            self.descriptor = self._socket
        self._wake()

    def pause_reading(self) -> None:
        self._reading_paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self._reading_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # Out

    @property
    def gone(self) -> bool:
        return self._close_sent or self.transport.is_closing()

    def write(self, data: bytes) -> bool:
        """Write complete frames; False when the client is gone, or does not take what it was sent before."""
        if self.gone or self.paused:
            return False
        if self._socket < 0 or self.transport.get_write_buffer_size():
            self.transport.write(data)
            return True
        try:
            written = os.write(self._socket, data)
        except BlockingIOError:
            written = 0
        except OSError:  # the reader sees the end too, and closes
            self.transport.abort()
            return False
        if written < len(data):
            self.keep(data, written)
        else:
            self.descriptor = self._socket
        return True

    def keep(self, data: bytes, written: int) -> None:
        """Leave to the transport what the socket did not take of *data*."""
        self.descriptor = -1
        try:
            self.transport.write(data[written:])
        except Exception:  # whatever it is, a client that got half a frame can only be cut
            logger.exception("the rest of a write could not be kept")
            self.transport.abort()

    async def drain(self) -> None:
        """Wait until the transport takes more; raises ConnectionError when the client is gone."""
        if self.paused and not self.gone:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if self.gone:
            raise ConnectionResetError("the WebSocket ended")

    # In

    async def receive(self) -> str | bytes:
        """The next message; raises ConnectionError when there will be none."""
        while True:
            if not self._queue._buffer and not self._queue.is_eof():
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            try:
                message = await self._queue.read()
            except EofStream:
                raise ConnectionResetError("the WebSocket ended") from None
            except WebSocketError as error:
                self.part(int(error.code))
                raise ConnectionResetError("the client broke the WebSocket protocol") from error
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                data: str | bytes = message.data
                return data
            if message.type is WSMsgType.CLOSE:
                raise ConnectionResetError("the client closed the WebSocket")
            if message.type is WSMsgType.PING:
                self.write(_control(0x8A, message.data))

    # The end

    def part(self, code: int = _GOING_AWAY) -> None:
        """Send the Close frame and leave it to the reader to see the client's; a congested client is just cut."""
        if self.gone or self.paused:
            self.abort()
        else:
            self.write(_control(0x88, pack("!H", code)))
            self._close_sent = True
            self.descriptor = -1
            self._abort_timer = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self.abort)

    def end(self) -> None:
        """After the last message: answer the client's Close frame and close the connection."""
        if not self.transport.is_closing():
            if self._abort_timer is None:
                self.part()
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection and everything still buffered for it."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._close_sent = True
        self.descriptor = -1
        transport = self.transport
        if self._socket >= 0 and not self._lost and transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # what it does not take the kernel would keep, and retry, for minutes
                transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _AT_ONCE)
        transport.abort()


def _control(head: int, payload: bytes) -> bytes:
    """A control frame; they are at most 125 bytes long."""
    return bytes((head, len(payload))) + payload
