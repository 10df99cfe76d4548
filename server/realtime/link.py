"""One Engine.IO connection: the one ordered way out, the ways in, and its end."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from typing import Any, Final, Protocol

from aiohttp import web
from engineio.exceptions import EngineIOError

from server.realtime.counters import Counters
from server.realtime.frames import CLOSE, NOOP, PING, PROBE_ANSWER, Frame, ProtocolError, RawFrame, split_payload
from server.realtime.heartbeat import Heartbeat, Pulse
from server.realtime.outbox import Outbox
from server.realtime.polling import Poll, read_body
from server.realtime.turn import WRITE_BYTES, Turn
from server.realtime.wire import WebSocketWire

logger = logging.getLogger(__name__)

POLL_PACKETS: Final = 2000  # waiting for a client that polls, or does not
PATIENCE_S: Final = 15.0  # how far behind a client may fall
UPGRADE_S: Final = 10.0  # for a probe to end in an upgrade

TRANSPORT_CLOSE: Final = "transport close"
TRANSPORT_ERROR: Final = "transport error"
PING_TIMEOUT: Final = "ping timeout"


class LinkServer(Protocol):
    """What a link needs of the engine."""

    max_http_buffer_size: int
    connect_timeout: float
    buffer_bytes: int
    counters: Counters
    turn: Turn
    pulse: Pulse

    def position(self) -> int: ...
    def say_goodbye(self, sid: str) -> None: ...
    def spawn(self, work: Awaitable[None], name: str) -> None: ...
    def read(self, work: Awaitable[None]) -> None: ...
    async def deliver(self, sid: str, data: str | bytes) -> None: ...
    async def left(self, sid: str, reason: str) -> None: ...


class Link:
    """The socket object engineio's server works with (``connected`` to ``closed``, ``session``, the handle_ methods).

    All that is sent goes through :meth:`send_frame`, in order. On a WebSocket that keeps up, the frames made in one
    turn of the loop leave in one write; else they wait in the outbox, which a poll or the drainer empties.
    """

    __slots__ = (
        "sid", "server", "session", "connected", "upgrading", "upgraded", "closing", "closed", "namespaces",
        "_loop", "_wire", "_straight", "_outbox", "_made", "_drainer", "_poll", "_posting", "_heartbeat",
        "_connect_timer",
    )  # fmt: skip

    def __init__(self, server: LinkServer, sid: str) -> None:
        self.sid = sid
        self.server = server
        self.session: dict[str, Any] = {}
        self.connected = self.upgrading = self.upgraded = self.closing = self.closed = False
        self.namespaces = 0
        self._loop = asyncio.get_running_loop()
        self._wire: WebSocketWire | None = None
        self._straight: WebSocketWire | None = None
        """The WebSocket, while nothing waits in front of it."""
        self._outbox = Outbox()
        self._made: list[Frame] = []
        self._drainer: asyncio.Task[None] | None = None
        self._poll = Poll(self._outbox)
        self._posting = False
        self._heartbeat = Heartbeat(self, server.pulse)
        self._connect_timer: asyncio.TimerHandle | None = None

    @property
    def confirmed(self) -> int:
        """Position in the event log up to which the client is known to have everything."""
        return self._heartbeat.confirmed

    @property
    def congested(self) -> bool:
        if self._wire is None:
            return self._outbox.cost > WRITE_BYTES
        return self._drainer is not None or self._wire.paused

    @property
    def backlog_bytes(self) -> int:
        return self._outbox.cost

    @property
    def descriptor(self) -> int:
        """Of the socket, while a broadcast may write to it directly, else -1."""
        return -1 if self._straight is None else self._straight.descriptor

    # Out

    def send_frame(self, frame: Frame) -> None:
        """Send *frame* after all that was sent before it. To a closing link nothing more is sent."""
        if self.server.turn.pending:
            self.server.turn.settle()
        self.queue(frame)

    def queue(self, frame: Frame) -> None:
        """Send *frame* after all that was queued for this link before it: for the turn, which knows what is ahead."""
        if self.closing:
            return
        if self._straight is None:
            self._hold(frame)
            return
        if not self._made:
            self.server.turn.add(self)
        self._made.append(frame)

    def write(self, data: bytes) -> bool:
        """Write complete frames at once; False when that has to wait, and :meth:`queue` is the way."""
        return self._straight is not None and self._straight.write(data)

    def keep(self, data: bytes, written: int) -> None:
        """See to the rest of *data*, of which *written* bytes were written to :attr:`descriptor`."""
        assert self._wire is not None, "it has a descriptor"
        self._wire.keep(data, written)

    def send_replay(self, frames: list[Frame]) -> None:
        """Send what a recovered client missed, at the pace it reads, before anything sent later."""
        self.server.turn.settle()
        self.flush()
        now = self._loop.time()
        for frame in frames:
            self._outbox.put_replay(frame, now)
        self._heartbeat.void()
        self._move()

    def flush(self) -> None:
        """Write what this turn of the loop made."""
        made, self._made = self._made, []
        start = 0
        for end, data in _writes(made):
            if not self.write(data):
                break
            start = end
        for frame in made[start:]:
            self._hold(frame)

    async def send(self, packet: Any) -> None:
        """Send an engineio packet: what the rest of engineio calls."""
        data = packet.encode()
        self.send_frame(RawFrame(data) if isinstance(data, bytes) else Frame(data))

    def _hold(self, frame: Frame) -> None:
        outbox = self._outbox
        # Only what the client does not take is collapsed: not what waits its turn, nor what follows a replay.
        stuck = outbox.cost > WRITE_BYTES if self._wire is None else self._wire.paused
        outbox.put(frame, self._loop.time(), collapse=stuck and not outbox.replaying)
        too_many = self._wire is None and outbox.live > POLL_PACKETS
        too_much = outbox.cost > self.server.buffer_bytes and outbox.live > 1  # one frame alone may be larger
        if (too_many or too_much) and not self._poll.is_open:  # else it is about to take them
            self.cut("backlog")
        else:
            self._move()

    def _move(self) -> None:
        """See to it that somebody empties the outbox."""
        if not self._outbox or self.closing:
            return
        if self._wire is None:
            self._poll.answer()
        elif self._drainer is None:
            self._go(None)
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
                    wire.write(b"".join([frame.wire for frame in self._outbox.take(WRITE_BYTES, self._loop.time())]))
                    await asyncio.sleep(0)  # a client that keeps up with a long replay must not hold up the others
        except TimeoutError:
            self.cut("late")
        except (ConnectionError, RuntimeError):
            pass  # the reader sees the end too and closes
        finally:
            self._drainer = None
            self._go(None if self.closing else wire)

    def _go(self, straight: WebSocketWire | None) -> None:
        self._straight = straight
        self.server.turn.changes.count += 1

    # In

    async def receive(self, data: str | bytes) -> None:
        """Take one Engine.IO packet.

        Raises:
            ProtocolError: not one, or not one a client may send.
        """
        self._heartbeat.heard()
        if isinstance(data, bytes):
            await self._deliver(data)
            return
        kind = data[:1]
        if kind == "4":
            await self._deliver(data[1:])
        elif kind == "3":
            self._heartbeat.answered()
        elif kind == "1":  # the JavaScript client sends it when a poll failed: an end of the transport, no goodbye
            self._poll.end_with(NOOP)
            await self.close(abort=True, reason=TRANSPORT_CLOSE)
        elif kind not in ("5", "6"):
            raise ProtocolError(f"an Engine.IO packet of type {kind!r}")

    def _take_at_once(self, data: str) -> bool:
        """Take the answer to a ping, as :meth:`receive` does, without waking the task that reads."""
        if data != "3":
            return False
        self._heartbeat.heard()
        self._heartbeat.answered()
        return True

    async def _deliver(self, data: str | bytes) -> None:
        """Hand a message on, which takes as long as the application lets it; until then nothing more is read."""
        self._heartbeat.deaf = True
        try:
            await self.server.deliver(self.sid, data)
        finally:
            self._heartbeat.deaf = False

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take the packets of one POST, in order."""
        if self._posting:
            raise ProtocolError("two POST requests at the same time")
        self._posting = True
        try:
            body = await read_body(environ["aiohttp.request"], self.server.max_http_buffer_size)
            for packet in split_payload(body):
                if not self.closing:
                    await self.receive(packet)
        except ProtocolError:
            if not self.closed:  # else there is nothing left to close
                raise
        finally:
            self._posting = False

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Answer a poll with the frames that wait, or with the next one; or take a WebSocket handshake."""
        request: web.Request = environ["aiohttp.request"]
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            return await self._serve(request)
        if self.closing or self._poll.is_open:
            raise EngineIOError("the session has ended, or two polls at the same time")
        return await self._poll.take(request, probed=self.upgrading, now=self._loop.time)

    # The WebSocket: from the start, or as an upgrade

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Take a WebSocket handshake. The WebSocket is read in a task of its own; the request ends here."""
        wire = WebSocketWire(self.server.turn.changes)
        try:
            response = await wire.open(request, self.server.max_http_buffer_size)
        except ConnectionError:
            return web.Response(status=400)
        if self.closing:
            wire.part()
        elif not self.connected:
            self._take_over(wire)
        self.server.read(self._live(wire))
        return response

    async def _live(self, wire: WebSocketWire) -> None:
        """Read one WebSocket to its end. When the link lives on it, its end is the link's."""
        try:
            if self._wire is not wire and await self._probe(wire):
                self._take_over(wire)
            if self._wire is wire:
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
                wire.write(PROBE_ANSWER.wire)
                self._poll.answer()
                return await wire.receive() == "5" and not self.closing
        except TimeoutError:
            return False
        finally:  # whatever ended the probe: a poll must not be told to wait for it any longer
            self.upgrading = False

    def _take_over(self, wire: WebSocketWire) -> None:
        """From this step on the WebSocket is the transport, and what waited leaves through it first."""
        self.connected = self.upgraded = True
        self._poll.stop()
        self._wire = wire
        wire.at_once = self._take_at_once
        self._go(wire)
        self._move()

    async def _read(self, wire: WebSocketWire) -> None:
        while True:
            data = await wire.receive()
            if not self.closing:  # else only the client's Close frame is still waited for
                await self.receive(data)

    # Life and death

    def start(self) -> None:
        """Start the heartbeat, and the wait for the first namespace."""
        self._heartbeat.start()
        self.left_namespace(0)

    async def answers(self, within_s: float) -> bool:
        """Whether the client gives a sign of life now."""
        return not self.closing and await self._heartbeat.answers(within_s)

    def position(self) -> int:
        return self.server.position()

    def ping(self) -> None:
        self.send_frame(PING)

    def lost(self) -> None:
        self._end(PING_TIMEOUT)

    def entered_namespace(self) -> None:
        self.namespaces += 1
        self._heartbeat.void()
        if self._connect_timer is not None:
            self._connect_timer.cancel()
            self._connect_timer = None

    def left_namespace(self, count: int = 1) -> None:
        """A connection without a namespace is of no use to anybody: it is closed after the connect timeout."""
        self.namespaces -= count
        if self.namespaces == 0 and not self.closing and self._connect_timer is None:
            self._connect_timer = self._loop.call_later(self.server.connect_timeout, self._end, "connect timeout")

    def _end(self, reason: str) -> None:
        """Close from a timer."""
        if not self.closing:
            self.server.counters.drops[reason] += 1
            logger.info("closing %s: %s", self.sid, reason)
            self.server.spawn(self.close(reason=reason), f"close {self.sid}")

    def cut(self, why: str) -> None:
        """Drop the transport at once; an unchanged client comes back by itself, and recovery with it."""
        if self._close_transport(TRANSPORT_CLOSE, abort=True):
            self.server.counters.drops[why] += 1
            logger.info("cut %s: %s", self.sid, why)
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
            self.server.turn.settle()
            self.flush()
        if self.closing:
            return False
        self.closing = True
        self._go(None)
        self._heartbeat.stop()
        if self._connect_timer is not None:
            self._connect_timer.cancel()
        if abort:
            self._made.clear()
            self._outbox.clear()
        if self._wire is None:
            if not self._poll.end_with(CLOSE) and not abort and reason == TRANSPORT_CLOSE:
                self.server.say_goodbye(self.sid)
        elif abort:
            self._wire.abort()
        else:
            self._wire.part()
        return True

    async def _finish(self, reason: str) -> None:
        try:
            await self.server.left(self.sid, reason)
        finally:
            self.closed = True


def _writes(frames: list[Frame]) -> Iterator[tuple[int, bytes]]:
    """The bytes of *frames* in writes of about WRITE_BYTES, each with the number of frames up to its end."""
    parts: list[bytes] = []
    size = 0
    for number, frame in enumerate(frames, 1):
        parts.append(frame.wire)
        size += len(frame.wire)
        if size >= WRITE_BYTES or number == len(frames):
            yield number, parts[0] if len(parts) == 1 else b"".join(parts)
            parts, size = [], 0
