"""What a run tells on its way: kept in order, in batches, and published after each batch is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from scheduler.clock import Clock
from scheduler.events import AgentLog, AgentProgress, Publish
from scheduler.masking import Hide
from scheduler.runners.result import storable
from store.base import Store
from store.errors import LeaseLost, StoreUnavailable
from store.records import LogEntry, Progress

logger = logging.getLogger(__name__)

QUEUED_LIMIT = 256
"""Entries that may wait to be written; a run that tells faster than the store writes is held up here."""
LOG_LINES_LIMIT = 10_000
"""Log lines kept of one session."""
DROPPED_A_TURN = 100
LOG_LINE_LIMIT = 8_000
"""Characters kept of one log line, and of a progress message."""
RETRY = timedelta(seconds=1)
GATHER_S = 0.01
"""From one write to the next; what a run tells meanwhile is written, told and sent together. The first never waits."""

Entry: TypeAlias = AgentProgress | AgentLog


class Journal:
    """The sink of one run. Its writer task starts with the first entry; ``close()`` returns when all is written.

    What a run tells after that (a thread that cannot be stopped, a task it left behind) is not kept. Every text passes
    *hide* before it is cut.
    """

    def __init__(
        self,
        store: Store,
        publish: Publish,
        clock: Clock,
        *,
        agent_id: str,
        session_id: str,
        hide: Hide = lambda text: text,
    ) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._agent_id = agent_id
        self._session_id = session_id
        self._hide = hide
        self._waiting: list[Entry] = []
        self._room = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._resting: asyncio.Future[None] | None = None
        self._lines = 0
        self._closed = False

    async def progress(self, progress: Progress) -> None:
        message = storable(self._hide(progress.message)[:LOG_LINE_LIMIT])
        if message != progress.message:
            progress = replace(progress, message=message)
        await self._put(AgentProgress(self._agent_id, self._session_id, progress, self._clock.now()))

    async def log(self, level: str, message: str) -> None:
        self._lines += 1
        if self._lines > LOG_LINES_LIMIT:
            if self._lines % DROPPED_A_TURN == 0:
                await asyncio.sleep(0)  # nothing else here waits, and a run that only logs must hold nobody up
            return
        if self._lines == LOG_LINES_LIMIT:
            level, message = "warning", f"More than {LOG_LINES_LIMIT:,} lines: the rest of this run's log is not kept"
        entry = LogEntry(self._clock.now(), level, storable(self._hide(message)[:LOG_LINE_LIMIT]))
        await self._put(AgentLog(self._agent_id, self._session_id, entry))

    async def close(self) -> None:
        """Write what is queued, then end. To be called once, when the run has ended."""
        self._closed = True
        if self._writer is not None:
            self._wake()
            await self._writer

    def abandon(self) -> None:
        """End without writing the rest: the session has passed to somebody else."""
        self._closed = True
        self._waiting = []
        self._room.set()
        if self._writer is not None:
            self._writer.cancel()

    async def _put(self, entry: Entry) -> None:
        if self._closed:
            await asyncio.sleep(0)  # nor must a task it left behind that never waits for anything else
            return
        while len(self._waiting) >= QUEUED_LIMIT:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(entry)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name=f"journal {self._session_id}")
        elif len(self._waiting) == 1:
            self._wake()

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            if not self._waiting and not self._closed:
                await self._rest()
            # Only now: a run that tells something less often than that never needs the timer.
            if loop.time() < next_at and not self._closed:
                await self._rest(until=next_at)
            if not self._waiting:
                return
            next_at = loop.time() + GATHER_S
            batch, self._waiting = self._waiting, []
            self._room.set()
            if await self._write(batch):
                for written in batch:
                    await self._publish(written)

    async def _rest(self, *, until: float | None = None) -> None:
        """Wait for the first entry or the end; with *until*, let entries come together until then or the end."""
        loop = asyncio.get_running_loop()
        self._resting = loop.create_future()
        timer = None if until is None else loop.call_at(until, self._wake)
        try:
            await self._resting
        finally:
            self._resting = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)

    async def _write(self, batch: Sequence[Entry]) -> bool:
        """Write a batch, for as long as it takes; False when it cannot be: the session has ended without us, say."""
        logs = [entry.log for entry in batch if isinstance(entry, AgentLog)]
        progress = next((entry.progress for entry in reversed(batch) if isinstance(entry, AgentProgress)), None)
        while True:
            try:
                await self._store.add_journal(self._session_id, progress, logs)
                return True
            except LeaseLost:
                return False
            except StoreUnavailable as error:
                logger.warning("session %s: its journal waits for the store: %s", self._session_id, error)
                await self._clock.sleep_until(self._clock.now() + RETRY)
            except Exception:  # a writer that died would hold up the run for ever
                logger.exception("session %s: a part of its journal could not be kept", self._session_id)
                return False
