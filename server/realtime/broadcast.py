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


class Way(Protocol):
    """Who has a WebSocket that may be written to directly, or has none for now."""

    @property
    def descriptor(self) -> int: ...
    def keep(self, data: bytes, written: int) -> None: ...


W = TypeVar("W", bound=Way)


class Audience(Generic[W]):
    """Who a broadcast goes to, in order; and their descriptors, read anew only when one has changed."""

    __slots__ = ("large", "members", "_batches", "_changes", "_descriptors", "_read_at")

    def __init__(self, members: Sequence[W], changes: Changes) -> None:
        """The members must not change any more."""
        self.members = members
        self.large = len(members) > FEW
        self._changes = changes
        self._descriptors = array("i")
        self._read_at = -1
        self._batches: dict[int, Batch | None] = {}

    def __len__(self) -> int:
        return len(self.members)

    def descriptors(self) -> "array[int]":
        """One for each member, -1 where there is none."""
        if self._read_at != self._changes.count:
            self._read_at = self._changes.count
            descriptors = array("i", [member.descriptor for member in self.members])
            if descriptors != self._descriptors:
                self._descriptors = descriptors
                self._batches.clear()
        return self._descriptors

    def batch(self, ring: Ring, start: int, end: int) -> Batch | None:
        """The members from *start* to *end* for *ring*; None the first time, as making it costs more than one use
        of it saves, and where members come and go there may be no second."""
        descriptors = self.descriptors()
        if start not in self._batches:
            self._batches[start] = None
            return None
        batch = self._batches[start]
        if batch is None:
            batch = self._batches[start] = ring.prepare(descriptors[start:end])
        return batch


def write_to_all(audience: Audience[W], start: int, end: int, data: bytes, ring: Ring | None) -> list[W]:
    """Write *data*, complete frames, to the members from *start* to *end* whose sockets are free; return the others.

    At most WRITES_AT_ONCE of them. It writes straight to the sockets, as uvloop would keep the data until the end of
    the loop's turn, which is where we are.
    """
    batch = None
    if ring is not None and audience.large and len(data) <= ROOM:
        batch = audience.batch(ring, start, end)
    if ring is None or batch is None:
        short = _write_one_by_one(audience.descriptors()[start:end], data)
    else:
        short = ring.send(batch, data)
    others: list[W] = []
    for place, written in short.items():
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
