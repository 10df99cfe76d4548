"""The claim loop: finds what is due, claims it, hands it to the executor, and takes up what a crash left."""

from __future__ import annotations

import asyncio
import logging
import os
import random as machine_random
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from scheduler import rules
from scheduler.announcer import Announcer
from scheduler.clock import Clock
from scheduler.executor import Execution, Executor
from scheduler.recovery import Recovery
from scheduler.rules import Ending
from scheduler.runners.base import Runners
from scheduler.settings import SchedulerSettings
from scheduler.waiting import first_of
from store.base import Store
from store.errors import NotFound, ServiceError, StoreUnavailable
from store.records import Agent, Change, Outcome, new_id

logger = logging.getLogger(__name__)

BEAT = timedelta(seconds=5)
"""How often a scheduler notes in the store that it is alive."""
LAPSE = timedelta(seconds=15)
"""A silence longer than this means that nobody was up."""
STOPS_POLL = timedelta(seconds=1)
"""How often a server of several looks whether another one was asked to stop a run of its own."""
RETRY = timedelta(seconds=1)
CANCEL_WAIT = timedelta(seconds=3)
"""How long cancelled runs may take to end at shutdown, before they are handed back as they are."""
RACED = timedelta(milliseconds=20)
"""How long to wait when what was due had been claimed by another server."""
BATCH = 100


class Scheduler:
    """Claims due agents and runs them, at most ``settings.max_concurrent`` at a time, until it is told to stop.

    ``owner`` names this process in leases. All it knows of its runs beside the store are its own tasks.
    """

    def __init__(
        self,
        store: Store,
        runners: Runners,
        announcer: Announcer,
        settings: SchedulerSettings,
        clock: Clock,
        *,
        random: Callable[[], float] = machine_random.random,
    ) -> None:
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{new_id()[:8]}"
        self._store = store
        self._announce = announcer
        self._settings = settings
        self._clock = clock
        self._executor = Executor(store, runners, announcer, clock, settings, random)
        self._recovery = Recovery(store, announcer, settings, clock, random)
        self._executions: dict[str, Execution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._last_beat: datetime | None = None
        self.up_since: datetime | None = None
        self.is_running = False
        self.trouble: str | None = None
        """What keeps the loop from its work at present, None when nothing does."""

    def wake(self) -> None:
        """Look at once: something may be due earlier than it was."""
        self._wake.set()

    def cut(self, agent_id: str, why: Ending) -> None:
        """Cancel the run of an agent, if it is one of this process."""
        for execution in self._executions.values():
            if execution.agent.id == agent_id:
                execution.cancel(why)

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until *stop* is set; then claim nothing more, and return when every run here has ended.

        Runs get the grace to end by themselves, are cancelled and handed back after it.
        """
        self.is_running = True
        self._announce.changed()
        lease = self._settings.lease
        beside = [asyncio.create_task(self._forever(self._renew, lease / 2, retry=lease / 10), name="leases")]
        if self._store.is_shared:  # else who asks for a stop cuts the run too: ``cut``
            polling = self._forever(self._poll_stops, STOPS_POLL, retry=STOPS_POLL)
            beside.append(asyncio.create_task(polling, name="stops"))
        try:
            while not stop.is_set():
                self._wake.clear()  # before looking: whatever changes from here on is seen next time round
                moment = await self._guarded_turn()
                await first_of(stop.wait(), self._wake.wait(), self._clock.sleep_until(moment))
        finally:
            self.is_running = False
            self._announce.changed()
            await self._wind_up()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    # One turn

    async def _guarded_turn(self) -> datetime:
        """A turn that survives the store's absence and our own mistakes; returns when to look again."""
        try:
            moment = await self.turn()
        except StoreUnavailable as error:
            self._note(f"the store is away: {error}")
        except Exception as error:
            logger.exception("a turn of the scheduler failed")
            self._note(f"{type(error).__name__}: {error}")
        else:
            self._note(None)
            return moment
        return self._clock.now() + RETRY

    def _note(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            logger.log(logging.WARNING if trouble else logging.INFO, "scheduler: %s", trouble or "back at work")
            self.trouble = trouble

    async def turn(self) -> datetime:
        """Look once at what is due and act on it; return when to look again. ``run`` does this over and over."""
        now = self._clock.now()
        up_since = await self._beat(now)
        idle, busy = await self._store.next_due()
        if busy is not None and busy <= now:
            await self._overlap(now, up_since)
            return now
        free = self._settings.max_concurrent - len(self._executions)
        if idle is not None and idle <= now and free > 0:
            claimed = await self._store.claim_due(now, owner=self.owner, lease=self._settings.lease, limit=free)
            for agent in claimed:
                self._launch(agent, up_since)
            return now if claimed else now + RACED  # look again: there may be more
        moments = [busy, idle if free > 0 else None, now + min(self._settings.check_interval, BEAT)]
        return min(moment for moment in moments if moment is not None)

    async def _beat(self, now: datetime) -> datetime:
        """Tell the store that we are alive, now and then; what was left by the dead is taken up on the way."""
        if self.up_since is None or self._last_beat is None or not timedelta(0) <= now - self._last_beat < BEAT:
            self.up_since = await self._store.beat(now, lapse=LAPSE)
            self._last_beat = now
            await self._recovery.take_up(now, ours=self._executions)
        return self.up_since

    async def _overlap(self, now: datetime, up_since: datetime) -> None:
        for agent in await self._store.overlapping(now, limit=BATCH):
            change = await self._change(agent, lambda current: rules.overlap(current, now=now, up_since=up_since))
            if change is not None:
                await self._announce.lost(change)
                self._cut_if_asked(change.agent)

    async def _change(self, agent: Agent, edit: Callable[[Agent], Change]) -> Change | None:
        try:
            return await self._store.change_agent(agent.id, edit)
        except NotFound:
            return None

    def _launch(self, agent: Agent, up_since: datetime) -> None:
        assert agent.lease is not None
        execution = Execution(agent, agent.lease.id, agent.lease.until)
        self._executions[execution.lease_id] = execution
        task = asyncio.create_task(self._carry(execution, up_since), name=f"execution {agent.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, execution: Execution, up_since: datetime) -> None:
        try:
            await self._executor.execute(execution, up_since)
        except ServiceError as error:
            logger.error("agent %s: its run was left to its lease: %s", execution.agent.id, error)
        except Exception:
            logger.exception("agent %s: its run was left to its lease", execution.agent.id)
        finally:
            del self._executions[execution.lease_id]
            self._wake.set()  # a slot is free

    # Leases and stops

    async def _forever(self, step: Callable[[], Awaitable[None]], every: timedelta, *, retry: timedelta) -> None:
        pause = every
        while True:
            await self._clock.sleep_until(self._clock.now() + pause)
            pause = retry
            try:
                await step()
                pause = every
            except StoreUnavailable as error:
                logger.warning("%s waits for the store: %s", step.__name__.strip("_"), error)
            except Exception:
                logger.exception("%s failed", step.__name__.strip("_"))

    async def _renew(self) -> None:
        """Extend the leases of our runs; a run whose lease has passed to somebody else, or may have, is cut."""
        executions = dict(self._executions)
        if not executions:
            return
        self._cut_expiring(executions)
        until = self._clock.now() + self._settings.lease
        try:
            held = await self._store.renew(list(executions), until=until)
        except StoreUnavailable:
            self._cut_expiring(executions)
            raise
        for lease_id, execution in executions.items():
            agent = held.get(lease_id)
            if agent is not None:
                execution.lease_until = until
                self._cut_if_asked(agent)
            elif lease_id in self._executions:
                execution.cancel(Ending(Outcome.INTERRUPTED, rules.OUT_OF_REACH))

    def _cut_expiring(self, executions: dict[str, Execution]) -> None:
        """Cut the runs whose lease could not be renewed, while enough of it is left for them to end in time."""
        if not self._store.is_shared:  # nobody else can take them
            return
        soon = self._clock.now() + self._settings.lease / 4
        for execution in executions.values():
            if execution.lease_until <= soon:
                execution.cancel(Ending(Outcome.INTERRUPTED, rules.OUT_OF_REACH))

    async def _poll_stops(self) -> None:
        if self._executions:
            for agent in await self._store.stops_requested(self.owner):
                self._cut_if_asked(agent)

    def _cut_if_asked(self, agent: Agent) -> None:
        if agent.stop_requested is not None:
            self.cut(agent.id, Ending(Outcome.STOPPED, agent.stop_requested))

    # The end

    async def _wind_up(self) -> None:
        await self._await_runs(self._settings.grace)
        for execution in list(self._executions.values()):
            execution.cancel(Ending(Outcome.INTERRUPTED, rules.HANDED_BACK))
        await self._await_runs(CANCEL_WAIT)
        for execution in list(self._executions.values()):
            logger.error("agent %s: its runner does not end when cancelled", execution.agent.id)
            execution.given_up.set()
        await self._await_runs(CANCEL_WAIT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _await_runs(self, longest: timedelta) -> None:
        if self._tasks and longest > timedelta(0):
            await first_of(asyncio.wait(set(self._tasks)), self._clock.sleep_until(self._clock.now() + longest))
