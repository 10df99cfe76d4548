"""Removes old sessions, agent by agent, in small batches, so that no claim waits behind it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from scheduler.clock import Clock
from scheduler.settings import SchedulerSettings
from store.base import Store
from store.errors import StoreUnavailable

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
BATCH = 200
AGENTS_AT_ONCE = 500


class Retention:
    """Sweeps at the start, and every hour."""

    def __init__(self, store: Store, settings: SchedulerSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                removed = await self.sweep()
                if removed:
                    logger.info("retention: %d old sessions removed", removed)
            except StoreUnavailable as error:
                logger.warning("retention waits for the store: %s", error)
            except Exception:
                logger.exception("retention failed")
            await self._clock.sleep_until(self._clock.now() + EVERY)

    async def sweep(self) -> int:
        """Remove what is too old or too much of every agent; return how many rows went."""
        removed, after = 0, ""
        while ids := await self._store.agent_ids(after=after, limit=AGENTS_AT_ONCE):
            for agent_id in ids:
                removed += await self._sweep_agent(agent_id)
            after = ids[-1]
        return removed

    async def _sweep_agent(self, agent_id: str) -> int:
        before = self._clock.now() - self._settings.retention
        removed, batch = 0, BATCH
        while batch == BATCH:
            batch = await self._store.purge_sessions(
                agent_id, before=before, keep=self._settings.keep_sessions, limit=BATCH
            )
            removed += batch
            await asyncio.sleep(0)  # let a claim go first
        return removed
