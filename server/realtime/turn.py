"""What is sent in one turn of the loop, written when the turn is over: in order, and to each socket in one write."""

import asyncio
import logging
from collections import deque
from typing import Final, Protocol, TypeAlias

from server.realtime.broadcast import WRITES_AT_ONCE, Audience, write_to_all
from server.realtime.frames import Frame
from server.realtime.ring import Ring, open_ring
from server.realtime.wire import Changes

logger = logging.getLogger(__name__)

WRITE_BYTES: Final = 64 * 1024  # of one write, where it consists of several frames
BROKEN: Final = "writing to %s failed"


class Recipient(Protocol):
    """What a turn needs of a link."""

    sid: str

    @property
    def descriptor(self) -> int: ...
    def keep(self, data: bytes, written: int) -> None: ...
    def queue(self, frame: Frame) -> None: ...
    def write(self, data: bytes) -> bool: ...
    def flush(self) -> None: ...
    def cut(self, why: str) -> None: ...


Crowd: TypeAlias = Audience["Recipient"]


class _Burst:
    """Events to the same sockets, and nothing else, in one turn: what a broadcast usually is."""

    __slots__ = ("crowd", "frames", "written")

    def __init__(self, crowd: Crowd, frame: Frame) -> None:
        self.crowd = crowd
        self.frames = [frame]
        self.written = 0
        """To how many of the crowd; once the writing began, no more frames."""


class Turn:
    """The writes under way of one engine.

    The rule that keeps the order: a burst is pending only while nothing else is. Whatever else is sent to anybody
    first hands the burst's frames to the links it has not reached.
    """

    def __init__(self, *, io_uring: bool = False) -> None:
        """With *io_uring*, broadcasts go through one, where there can be one."""
        self.changes = Changes()
        self._may_open_ring = io_uring
        self._ring: Ring | None = None
        self._burst: _Burst | None = None
        self._links: deque[Recipient] = deque()
        self._scheduled = False

    def add(self, link: Recipient) -> None:
        """Have *link* flush what was sent to it."""
        self._links.append(link)
        self._schedule()

    def send_to_all(self, crowd: Crowd, frame: Frame) -> None:
        """Send *frame* to each of *crowd*."""
        burst = self._burst
        if not crowd:
            return
        if burst is None and not self._links:
            self._burst = _Burst(crowd, frame)
            self._schedule()
        elif burst is not None and burst.crowd is crowd and not burst.written:
            burst.frames.append(frame)
        else:
            self.settle()
            for link in crowd.members:
                link.queue(frame)

    def settle(self) -> None:
        """Hand what a burst has not written to its links: something else is about to be sent to one of them."""
        burst, self._burst = self._burst, None
        if burst is not None:
            for link in burst.crowd.members[burst.written :]:
                for frame in burst.frames:
                    link.queue(frame)

    @property
    def pending(self) -> bool:
        """Whether a burst waits, which :meth:`settle` must hand on before anything else is sent."""
        return self._burst is not None

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._ring, self._may_open_ring = None, False

    def _ring_for(self, crowd: Crowd) -> Ring | None:
        """The ring, opened for the first crowd that is worth it."""
        if self._ring is not None and self._ring.broken:
            logger.error("io_uring failed and is not used any more: %s", self._ring.broken)
            self.close()
        if self._may_open_ring and crowd.large:
            self._may_open_ring = False
            self._ring = open_ring()
        return self._ring

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._burst is not None:
            self._write(self._burst)
        for _ in range(min(len(self._links), WRITES_AT_ONCE)):
            link = self._links.popleft()
            try:
                link.flush()
            except Exception:  # one broken transport must not cost the others their events
                logger.exception(BROKEN, link.sid)
                link.cut("write error")
        if self._burst is not None or self._links:
            self._schedule()

    def _write(self, burst: _Burst) -> None:
        """One more part of a burst; it is over when all are written to, or when it was settled meanwhile."""
        data = burst.frames[0].wire if len(burst.frames) == 1 else b"".join([frame.wire for frame in burst.frames])
        if len(data) > WRITE_BYTES and len(burst.frames) > 1:
            self.settle()
            return
        start, end = burst.written, min(burst.written + WRITES_AT_ONCE, len(burst.crowd))
        burst.written = end
        if end == len(burst.crowd):
            self._burst = None
        try:
            others = write_to_all(burst.crowd, start, end, data, self._ring_for(burst.crowd))
        except Exception:  # nobody knows who got it: who is cut comes back and gets what it lacks
            logger.exception("a broadcast failed")
            for link in burst.crowd.members[start:end]:
                link.cut("write error")
            return
        for link in others:
            try:
                if not link.write(data):  # it polls, or does not keep up
                    for frame in burst.frames:
                        link.queue(frame)
            except Exception:
                logger.exception(BROKEN, link.sid)
                link.cut("write error")
