"""One Engine.IO connection: its transports, its heartbeat, and the one ordered way out."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from aiohttp import web
from engineio.exceptions import EngineIOError

from server.realtime.counters import Counters
from server.realtime.frames import CLOSE, NOOP, PING, Frame, ProtocolError, RawFrame, split_payload
from server.realtime.outbox import Outbox
from server.realtime.wire import WebSocketWire

logger = logging.getLogger(__name__)

CHUNK_BYTES: Final = 64 * 1024  # of one write to a congested socket; also where a polling socket counts as congested
POLL_BYTES: Final = 256 * 1024  # of one polling response
POLL_PACKETS: Final = 2000  # waiting for a client that polls, or does not
PATIENCE_S: Final = 15.0  # how far behind a client may fall
UPGRADE_S: Final = 10.0  # for a probe to end in an upgrade
PROBED_POLL_S: Final = 0.1  # a poll during a probe is answered after this, so that the client can stop polling

TRANSPORT_CLOSE: Final = "transport close"
TRANSPORT_ERROR: Final = "transport error"
PING_TIMEOUT: Final = "ping timeout"


class LinkServer(Protocol):
    """What a link needs of the engine."""

    ping_interval: float
    ping_timeout: float
    max_http_buffer_size: int
    connect_timeout: float
    buffer_bytes: int
    counters: Counters

    def position(self) -> int: ...
    def flush_soon(self, link: "Link") -> None: ...
    def say_goodbye(self, sid: str) -> None: ...
    def spawn(self, work: Awaitable[None], name: str) -> None: ...
    async def deliver(self, sid: str, data: str | bytes) -> None: ...
    async def left(self, sid: str, reason: str) -> None: ...


class Link:
    """The socket object engineio's server works with (``connected`` to ``closed``, ``session``, the handle_ methods).

    All that is sent goes through :meth:`send_frame`, in order. On a WebSocket that keeps up, the frames made in one
    turn of the loop leave in one write; else they wait in the outbox, which a poll or the drainer empties.
    """

    __slots__ = (
        "sid", "server", "session", "connected", "upgrading", "upgraded", "closing", "closed",
        "namespaces", "confirmed", "_loop", "_wire", "_outbox", "_turn", "_drainer",
        "_poll", "_poll_request", "_posting", "_heard", "_pinged", "_sign_of_life",
        "_ping_position", "_ping_timer", "_connect_timer",
    )  # fmt: skip

    def __init__(self, server: LinkServer, sid: str) -> None:
        self.sid = sid
        self.server = server
        self.session: dict[str, Any] = {}
        self.connected = self.upgrading = self.upgraded = self.closing = self.closed = False
        self.namespaces = 0
        self.confirmed = 0
        """Position in the recovery log up to which the client is known to have everything: it answered a later ping."""
        self._loop = asyncio.get_running_loop()
        self._wire: WebSocketWire | None = None
        self._outbox = Outbox()
        self._turn: list[Frame] = []
        self._drainer: asyncio.Task[None] | None = None
        self._poll: asyncio.Future[None] | None = None
        self._poll_request: web.Request | None = None
        self._posting = False
        self._heard = False
        self._pinged = False
        """A ping is under way. There is never a second one: its answer could not be told from the first one's."""
        self._sign_of_life: asyncio.Event | None = None
        self._ping_position: int | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._connect_timer: asyncio.TimerHandle | None = None

    # Out: one ordered way

    def send_frame(self, frame: Frame) -> None:
        """Send *frame* after all that was sent before it. To a closing link nothing more is sent."""
        if self.closing:
            return
        if self._wire is None or self._drainer is not None:
            self._hold(frame)
            return
        if not self._turn:
            self.server.flush_soon(self)
        self._turn.append(frame)

    def send_replay(self, frames: list[Frame]) -> None:
        """Send what a recovered client missed, at the pace it reads, before anything sent later."""
        self.flush()
        now = self._loop.time()
        for frame in frames:
            self._outbox.put_replay(frame, now)
        self._ping_position = None  # a ping already under way says nothing about the replay
        self._move()

    def flush(self) -> None:
        """Write what this turn of the loop made."""
        turn, wire = self._turn, self._wire
        if not turn or wire is None:
            return
        self._turn = []
        data = turn[0].wire if len(turn) == 1 else b"".join([frame.wire for frame in turn])
        if self._drainer is None and not wire.paused and (len(data) <= CHUNK_BYTES or len(turn) == 1):
            wire.write(data)
            return
        for frame in turn:
            self._hold(frame)

    async def send(self, packet: Any) -> None:
        """Send an engineio packet: what the rest of engineio calls."""
        data = packet.encode()
        self.send_frame(RawFrame(data) if isinstance(data, bytes) else Frame(data))

    @property
    def congested(self) -> bool:
        if self._wire is None:
            return self._outbox.cost > CHUNK_BYTES
        return self._drainer is not None or self._wire.paused

    @property
    def backlog_bytes(self) -> int:
        return self._outbox.cost

    def _hold(self, frame: Frame) -> None:
        outbox = self._outbox
        outbox.put(frame, self._loop.time(), collapse=self.congested)
        too_many = self._wire is None and outbox.cost > 0 and len(outbox) > POLL_PACKETS
        too_much = outbox.cost > self.server.buffer_bytes and len(outbox) > 1  # one frame alone may be larger
        if too_many or too_much:
            self.cut("backlog")
        else:
            self._move()

    def _move(self) -> None:
        """See to it that somebody empties the outbox."""
        if not self._outbox or self.closing:
            return
        if self._wire is None:
            self._answer_poll()
        elif self._drainer is None:
            self._drainer = self._loop.create_task(self._drain(self._wire), name=f"drain {self.sid}")

    async def _drain(self, wire: WebSocketWire) -> None:
        """Write the backlog at the pace the client reads; then writes are direct again."""
        try:
            while self._outbox and not self.closing and not wire.gone:
                behind = self._outbox.age(self._loop.time())
                if behind >= PATIENCE_S:
                    raise TimeoutError
                async with asyncio.timeout(PATIENCE_S - behind):
                    await wire.drain()
                if not wire.paused:
                    wire.write(b"".join([frame.wire for frame in self._outbox.take(CHUNK_BYTES, self._loop.time())]))
                    await asyncio.sleep(0)  # a client that keeps up with a long replay must not hold up the others
        except TimeoutError:
            self.cut("late")
        except (ConnectionError, RuntimeError):
            pass  # the reader sees the end too and closes
        finally:
            self._drainer = None

    # In

    async def receive(self, data: str | bytes) -> None:
        """Take one Engine.IO packet.

        Raises:
            ProtocolError: not one, or not one a client may send.
        """
        self._heard = True
        if self._sign_of_life is not None:
            self._sign_of_life.set()
        if isinstance(data, bytes):
            await self.server.deliver(self.sid, data)
            return
        kind = data[:1]
        if kind == "4":
            await self.server.deliver(self.sid, data[1:])
        elif kind == "3":
            self._pong()
        elif kind == "1":  # the JavaScript client sends it when a poll failed: an end of the transport, no goodbye
            self._leave_poll(NOOP)
            await self.close(abort=True, reason=TRANSPORT_CLOSE)
        elif kind not in ("5", "6"):
            raise ProtocolError(f"an Engine.IO packet of type {kind!r}")

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets of one POST, in order."""
        if self._posting:
            raise ProtocolError("two POST requests at the same time")
        self._posting = True
        try:
            body = await _read_body(environ["aiohttp.request"], self.server.max_http_buffer_size)
            for packet in split_payload(body):
                if not self.closing:
                    await self.receive(packet)
        except ProtocolError:
            if not self.closed:
                raise
        finally:
            self._posting = False

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Answer a poll with the frames that wait, or with the next one; or take a WebSocket handshake."""
        request: web.Request = environ["aiohttp.request"]
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            wire = WebSocketWire(self.server.max_http_buffer_size)
            response = await wire.open(request)
            await self._serve(wire)
            return response
        if self.closing or self._poll is not None:
            raise EngineIOError("the session has ended, or two polls at the same time")
        if not self._outbox:
            await self._wait_for_frames(request)
        if request.transport is None or request.transport.is_closing():
            raise EngineIOError("the poll was given up")  # its frames stay, for the recovery
        return self._outbox.take(POLL_BYTES, self._loop.time()) or [NOOP]

    async def _wait_for_frames(self, request: web.Request) -> None:
        self._poll, self._poll_request = self._loop.create_future(), request
        try:
            if self.upgrading:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._poll, PROBED_POLL_S)
            else:
                await self._poll
        finally:
            self._poll = self._poll_request = None

    def _answer_poll(self) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def _leave_poll(self, last: Frame) -> bool:
        """Let *last* be the end of what the open poll is answered with; False when there is none."""
        if self._poll is None:
            return False
        if not self._poll.done():
            self._outbox.put_replay(last, 0.0)
            self._answer_poll()
        return True

    # The WebSocket: from the start, or as an upgrade

    async def _serve(self, wire: WebSocketWire) -> None:
        """Read one WebSocket to its end. When the link lives on it, its end is the link's."""
        try:
            if not self.connected or await self._probe(wire):
                self._take_over(wire)
                await self._read(wire)
        except ConnectionError:
            pass
        except ProtocolError as error:
            logger.info("closing %s: %s", self.sid, error)
        finally:
            wire.end()
            if self._wire is wire:
                await self.close(abort=True, reason=TRANSPORT_CLOSE)

    async def _probe(self, wire: WebSocketWire) -> bool:
        """Polling goes on until the client has asked, been answered, and said that it will not poll again."""
        if self.upgrading or self.upgraded or self.closing:
            return False
        self.upgrading = True
        try:
            async with asyncio.timeout(UPGRADE_S):
                if await wire.receive() != "2probe":
                    return False
                wire.write(Frame("3probe").wire)
                self._answer_poll()
                return await wire.receive() == "5" and not self.closing
        except TimeoutError:
            return False
        finally:  # whatever ended the probe: a poll must not be told to wait for it any longer
            self.upgrading = False

    def _take_over(self, wire: WebSocketWire) -> None:
        """From this step on the WebSocket is the transport, and what waited leaves through it first."""
        self.connected = self.upgraded = True
        self._answer_poll()
        self._wire = wire
        self._move()

    async def _read(self, wire: WebSocketWire) -> None:
        while True:
            data = await wire.receive()
            if not self.closing:  # else only the client's Close frame is still waited for
                await self.receive(data)

    # Life and death

    def start(self) -> None:
        """Start the heartbeat, and the wait for the first namespace."""
        self._ping_timer = self._loop.call_later(self.server.ping_interval, self._ping)
        self.left_namespace(0)

    def entered_namespace(self) -> None:
        self.namespaces += 1
        self._ping_position = None  # as in send_replay
        if self._connect_timer is not None:
            self._connect_timer.cancel()
            self._connect_timer = None

    def left_namespace(self, count: int = 1) -> None:
        """A connection without a namespace is of no use to anybody: it is closed after the connect timeout."""
        self.namespaces -= count
        if self.namespaces == 0 and not self.closing and self._connect_timer is None:
            self._connect_timer = self._loop.call_later(self.server.connect_timeout, self._end, "connect timeout")

    async def answers(self, within_s: float) -> bool:
        """Whether the client gives a sign of life now: it is pinged at once, unless a ping is under way."""
        if self.closing:
            return False
        sign = self._sign_of_life = self._sign_of_life or asyncio.Event()
        sign.clear()
        if not self._pinged and self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping()
        try:
            async with asyncio.timeout(within_s):
                await sign.wait()
        except TimeoutError:
            return False
        return not self.closing

    def _ping(self) -> None:
        self._heard, self._pinged = False, True
        self._ping_position = self.server.position()
        self.send_frame(PING)
        self._ping_timer = self._loop.call_later(self.server.ping_timeout, self._ping_unanswered)

    def _pong(self) -> None:
        self._pinged = False
        if self._ping_position is not None:
            self.confirmed, self._ping_position = self._ping_position, None
        if self._ping_timer is not None and not self.closing:
            self._ping_timer.cancel()
            self._ping_timer = self._loop.call_later(self.server.ping_interval, self._ping)

    def _ping_unanswered(self) -> None:
        if self._heard:  # busy, but alive
            self._ping_timer = self._loop.call_later(self.server.ping_interval, self._ping)
        else:
            self._end(PING_TIMEOUT)

    def _end(self, reason: str) -> None:
        """Close from a timer."""
        if not self.closing:
            self.server.counters.drops[reason] += 1
            self.server.spawn(self.close(reason=reason), f"close {self.sid}")

    def cut(self, why: str) -> None:
        """Drop the transport at once; an unchanged client comes back by itself, and recovery with it."""
        if self._close_transport(TRANSPORT_CLOSE, abort=True):
            self.server.counters.drops[why] += 1
            self.server.spawn(self._finish(TRANSPORT_CLOSE), f"cut {self.sid}")

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the link: the transport first, then the disconnect handlers. With *abort*, without a goodbye.

        Either way the client reconnects by itself. A second call returns at once.
        """
        reason = reason or TRANSPORT_CLOSE
        if self._close_transport(reason, abort=abort):
            await self._finish(reason)

    def _close_transport(self, reason: str, *, abort: bool) -> bool:
        """True when this call is the one that closed it."""
        if not abort:
            self.flush()
        if self.closing:
            return False
        self.closing = True
        if abort:
            self._turn.clear()
            self._outbox.clear()
        for timer in (self._ping_timer, self._connect_timer):
            if timer is not None:
                timer.cancel()
        if self._wire is not None and abort:
            self._wire.abort()
        elif self._wire is not None:
            self._wire.part()
        elif not self._leave_poll(CLOSE) and not abort and reason == TRANSPORT_CLOSE:
            self.server.say_goodbye(self.sid)
        return True

    async def _finish(self, reason: str) -> None:
        try:
            await self.server.left(self.sid, reason)
        finally:
            self.closed = True


async def _read_body(request: web.Request, limit: int) -> str:
    if (request.content_length or 0) > limit:
        raise ProtocolError("a POST body over the limit")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise ProtocolError("a POST body over the limit")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a POST body that is not UTF-8") from error
