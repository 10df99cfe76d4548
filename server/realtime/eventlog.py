"""The events of the last minutes, encoded, so that a client that was away gets exactly those it missed."""

import secrets
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

from server.realtime.frames import Frame

MAX_EVENTS: Final = 200_000
MAX_BYTES: Final = 64 * 1024 * 1024
_ENTRY_BYTES: Final = 200  # what an entry costs beside its frame


class _Entry(NamedTuple):
    at: float
    namespace: str
    rooms: frozenset[Any] | None  # None: everybody in the namespace
    skip: Collection[str]
    frame: Frame


class EventLog:
    """One log for all namespaces with recovery; positions count up from 1, gapless, so a position is found directly.

    An offset, what clients keep of a position, is ``<epoch>-<position in hex>``; the epoch is this process's, so an
    offset of another process or of before a restart means nothing here.
    """

    def __init__(self, keep_s: float, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._keep_s = keep_s
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._epoch = secrets.token_hex(4)
        self._entries: deque[_Entry] = deque()
        self.head = 0
        """Position of the newest event."""
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def next_offset(self) -> str:
        return f"{self._epoch}-{self.head + 1:x}"

    def position(self, offset: object) -> int:
        """The position a client's offset stands for; 0 for one that is not ours.

        Clients send whatever string ended their last event, so anything may come.
        """
        if not isinstance(offset, str):
            return 0
        epoch, _, digits = offset.partition("-")
        try:
            position = int(digits, 16) if epoch == self._epoch and len(digits) <= 16 else 0
        except ValueError:
            return 0
        return position if 0 < position <= self.head else 0

    def append(
        self, now: float, namespace: str, rooms: Iterable[Any] | None, skip: Collection[str], frame: Frame
    ) -> None:
        """Keep an event that carries ``next_offset()`` and goes to *rooms*, or, with None, to everybody."""
        places = None if rooms is None else frozenset(rooms)
        self._entries.append(_Entry(now, namespace, places, skip, frame))
        self.head += 1
        self.bytes += len(frame.wire) + _ENTRY_BYTES
        self.evict(now)

    def evict(self, now: float) -> None:
        """Forget what is too old or too much."""
        entries = self._entries
        while entries and (
            entries[0].at < now - self._keep_s or self.bytes > self._max_bytes or len(entries) > self._max_events
        ):
            self.bytes -= len(entries.popleft().frame.wire) + _ENTRY_BYTES

    def since(self, position: int, namespace: str, rooms: Collection[Any], sid: str) -> list[Frame] | None:
        """What a client in *rooms* missed after *position*, oldest first; None when some of it is forgotten."""
        missed = self.head - position
        if missed > len(self._entries):
            return None
        newest_first = islice(reversed(self._entries), missed)
        frames = [
            entry.frame
            for entry in newest_first
            if entry.namespace == namespace
            and (entry.rooms is None or not entry.rooms.isdisjoint(rooms))
            and sid not in entry.skip
        ]
        frames.reverse()
        return frames
