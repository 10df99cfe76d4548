"""The scheduler in numbers, and ``scheduler:status``: told on every change, but not too often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from scheduler.clock import Clock
from scheduler.events import Publish, SchedulerStatus, Statistics
from scheduler.waiting import first_of
from store.base import Store
from store.errors import StoreUnavailable

logger = logging.getLogger(__name__)

SHORTEST = timedelta(milliseconds=200)
LONGEST = timedelta(seconds=30)


class StatusBoard:
    """Counts in the store when asked; publishes after ``changed()``, at most 5 times a second, and every 30 s.

    Changes within the shortest interval add up to one message after it: the last state is never held back.
    """

    def __init__(
        self, store: Store, publish: Publish, clock: Clock, *, is_running: Callable[[], bool], max_concurrent: int
    ) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._is_running = is_running
        self._max_concurrent = max_concurrent
        self._changed = asyncio.Event()

    async def statistics(self) -> Statistics:
        counts = await self._store.counts()
        return Statistics(
            is_running=self._is_running(),
            scheduled=counts.scheduled,
            running=counts.running,
            queued=counts.scheduled - counts.scheduled_running,
            max_concurrent=self._max_concurrent,
            paused=counts.paused,
        )

    def changed(self) -> None:
        """Have the numbers told soon."""
        self._changed.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await first_of(self._changed.wait(), self._clock.sleep_until(self._clock.now() + LONGEST))
            self._changed.clear()
            try:
                await self._publish(SchedulerStatus(await self.statistics(), self._clock.now()))
            except StoreUnavailable as error:
                logger.warning("scheduler:status waits for the store: %s", error)
            except Exception:
                logger.exception("scheduler:status could not be published")
            await self._clock.sleep_until(self._clock.now() + SHORTEST)
