"""Time that a test holds in its hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from store.records import milliseconds

START = datetime(2024, 1, 1, 8, tzinfo=UTC)
PATIENCE_S = 20.0
"""How long a test waits for what it asserts, before it fails; never how long it takes."""
TURNS = 50
"""Turns of the event loop after which whatever needs no more than turns has happened."""


async def turns(count: int = TURNS) -> None:
    """Let everything that is ready go on, for *count* turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


class FakeClock:
    """Stands still until it is advanced, and wakes each sleeper at its moment.

    *settled* returns when everything that the last wake-up set off has happened; without it, after some turns of the
    event loop.
    """

    def __init__(self, start: datetime = START, settled: Callable[[], Awaitable[None]] = turns) -> None:
        self._now = start
        self._settled = settled
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return milliseconds(self._now)

    async def sleep_until(self, moment: datetime) -> None:
        if moment <= self._now:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), future))
        await future

    async def advance(self, span: timedelta) -> None:
        """Move on by *span*, as time does: sleeper after sleeper wakes at its own moment and does what it does."""
        await self.advance_to(self._now + span)

    async def advance_to(self, target: datetime) -> None:
        await self._settled()
        while (moment := self.next_wake()) is not None and moment <= target:
            self.jump_to(moment)
            await self._settled()
        self.jump_to(target)
        await self._settled()

    async def advance_until(self, condition: Callable[[], bool], *, longest: timedelta = timedelta(hours=1)) -> None:
        """Move on from wake-up to wake-up until *condition* holds. AssertionError: it does not within *longest*."""
        limit = self._now + longest
        await self._settled()
        while not condition():
            moment = self.next_wake()
            assert moment is not None, f"nobody sleeps, and it never was so: {condition}"
            assert moment <= limit, f"not within {longest}: {condition}"
            self.jump_to(moment)
            await self._settled()

    def jump(self, span: timedelta) -> None:
        """Move at once, as for a machine that slept: whoever should have woken on the way wakes only now."""
        self.jump_to(self._now + span)

    def jump_to(self, moment: datetime) -> None:
        self._now = moment
        while self._sleepers and self._sleepers[0][0] <= moment:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    def next_wake(self) -> datetime | None:
        """When the next sleeper wakes; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None
