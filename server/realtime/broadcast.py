"""The same bytes to many sockets: what a broadcast mostly is, and most of what it costs."""

import os
from array import array
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from server.realtime.ring import ENTRIES, ROOM, Batch, Ring
from server.realtime.wire import Changes

WRITES_AT_ONCE: Final = ENTRIES
"""Sockets written to before the loop may do something else: 1 to 2 ms."""
FEW: Final = 16
"""So many are written to one by one."""
WORTH_A_BATCH: Final = 2
"""The write to the same sockets from which on a batch is made for a ring: it costs more than one use of it saves, and
where clients come and go there may be no second."""


class Way(Protocol):
    """Who has a WebSocket that may be written to directly, or has none for now."""

    @property
    def descriptor(self) -> int: ...
    def keep(self, data: bytes, written: int) -> None: ...


W = TypeVar("W", bound=Way)


class _Part:
    """Some of an audience, as a ring takes them: those with a descriptor."""

    __slots__ = ("absent", "batch", "places", "uses")

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.places = [place for place, descriptor in enumerate(descriptors) if descriptor >= 0]
        self.absent = {place: 0 for place, descriptor in enumerate(descriptors) if descriptor < 0}
        self.batch: Batch | None = None
        self.uses = 0


class Audience(Generic[W]):
    """Who a broadcast goes to, in order; and their descriptors, read anew only when one has changed."""

    __slots__ = ("large", "members", "_changes", "_descriptors", "_parts", "_read_at")

    def __init__(self, members: Sequence[W], changes: Changes) -> None:
        """The members must not change any more."""
        self.members = members
        self.large = len(members) > FEW
        self._changes = changes
        self._descriptors = array("i")
        self._read_at = -1
        self._parts: dict[tuple[int, int], _Part] = {}

    def __len__(self) -> int:
        return len(self.members)

    def descriptors(self) -> "array[int]":
        """One for each member, -1 where there is none."""
        if self._read_at != self._changes.count:
            self._read_at = self._changes.count
            before, self._descriptors = self._descriptors, array("i", [member.descriptor for member in self.members])
            for start, end in list(self._parts):
                if self._descriptors[start:end] != before[start:end]:
                    del self._parts[start, end]
        return self._descriptors

    def write(self, start: int, end: int, data: bytes, ring: Ring | None) -> dict[int, int]:
        """Write to the members from *start* to *end*; the result is that of ``Ring.send``, counted from *start*."""
        descriptors = self.descriptors()
        if ring is None or not self.large or len(data) > ROOM:
            return _write_one_by_one(descriptors[start:end], data)
        part = self._parts.get((start, end))
        if part is None:
            part = self._parts[start, end] = _Part(descriptors[start:end])
        part.uses += 1
        if part.uses < WORTH_A_BATCH or len(part.places) <= FEW:
            return _write_one_by_one(descriptors[start:end], data)
        if part.batch is None:
            part.batch = ring.prepare([descriptors[start + place] for place in part.places])
        short = ring.send(part.batch, data)
        return {**part.absent, **{part.places[place]: written for place, written in short.items()}}


def write_to_all(audience: Audience[W], start: int, end: int, data: bytes, ring: Ring | None) -> list[W]:
    """Write *data*, complete frames, to the members from *start* to *end* whose sockets are free; return the others.

    At most WRITES_AT_ONCE of them. It writes straight to the sockets, as uvloop would keep the data until the end of
    the loop's turn, which is where we are.
    """
    others: list[W] = []
    for place, written in audience.write(start, end, data, ring).items():
        member = audience.members[start + place]
        if written > 0:
            member.keep(data, written)
        else:  # its other way tells what ails it
            others.append(member)
    return others


def _write_one_by_one(descriptors: Sequence[int], data: bytes) -> dict[int, int]:
    """As ``Ring.send``. It touches nothing of a member but its descriptor, since each object it looked at would have
    to come from memory: the kernel's work for one write turns over the processor's caches."""
    short: dict[int, int] = {}
    size = len(data)
    write = os.write
    for place, descriptor in enumerate(descriptors):
        if descriptor < 0:
            short[place] = 0
            continue
        try:
            written = write(descriptor, data)
        except OSError:
            short[place] = 0
        else:
            if written < size:
                short[place] = written
    return short
