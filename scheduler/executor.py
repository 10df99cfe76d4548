"""Runs claimed agents: one session from its start to its end, and the news of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler import rules
from scheduler.announcer import Announcer
from scheduler.clock import Clock
from scheduler.journal import Journal
from scheduler.rules import Ending
from scheduler.runners.base import Run, Runner, Runners
from scheduler.runners.result import summary
from scheduler.settings import SchedulerSettings
from scheduler.waiting import first_of
from store.base import Store
from store.errors import Conflict, Invalid, LeaseLost, NotFound, StoreUnavailable
from store.records import JSON, Agent, Change, Outcome, Session, new_id

logger = logging.getLogger(__name__)

STORE_RETRY_S = 1.0
MILLISECOND = timedelta(milliseconds=1)


@dataclass(eq=False)
class Execution:
    """A claimed agent on its way through a run. ``cut`` is why it was cancelled, None while nobody did."""

    agent: Agent
    lease_id: str
    lease_until: datetime
    runner: asyncio.Task[JSON] | None = None
    cut: Ending | None = None
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when even a runner that does not end when cancelled is waited for no longer (the process is going)."""

    def cancel(self, why: Ending) -> None:
        """Have the runner cancelled; the first reason stays."""
        self.cut = self.cut or why
        if self.runner is not None:
            self.runner.cancel()


class Executor:
    """Carries claimed agents through their runs; whoever awaits ``execute`` owns the task it runs in."""

    def __init__(
        self,
        store: Store,
        runners: Runners,
        announcer: Announcer,
        clock: Clock,
        settings: SchedulerSettings,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._runners = runners
        self._announce = announcer
        self._clock = clock
        self._settings = settings
        self._random = random

    async def execute(self, execution: Execution, up_since: datetime) -> None:
        """Start a session for a claimed agent, if it is owed one, run it, and write down how it ended."""
        session = await self._start(execution, up_since)
        if session is None:
            return
        journal = Journal(
            self._store, self._announce.publish, self._clock, agent_id=session.agent_id, session_id=session.id
        )
        run = Run(
            agent=execution.agent,
            session_id=session.id,
            attempt=session.attempt,
            context=session.context,
            sink=journal,
        )
        try:
            ending = await self._work(execution, run, session)
            await first_of(journal.close(), execution.given_up.wait())
        finally:
            journal.abandon()
        await self._end(execution, session, ending)

    async def _start(self, execution: Execution, up_since: datetime) -> Session | None:
        lease_id, session_id = execution.lease_id, new_id()

        def edit(agent: Agent) -> Change:
            return rules.start(
                agent, lease_id=lease_id, session_id=session_id, now=self._clock.now(), up_since=up_since
            )

        try:
            change = await self._store.change_agent(execution.agent.id, edit)
        except Conflict:
            logger.warning("agent %s: this attempt has had a session already, going on", execution.agent.id)
            await self._store.change_agent(
                execution.agent.id, lambda agent: rules.start_refused(agent, lease_id=lease_id, now=self._clock.now())
            )
            return None
        except (LeaseLost, NotFound) as error:
            logger.warning("agent %s: claimed, then lost: %s", execution.agent.id, error)
            return None
        execution.agent = change.agent
        await self._announce.started(change)
        return change.start

    async def _work(self, execution: Execution, run: Run, session: Session) -> Ending:
        """Have the runner do its work; return when it has really ended."""
        if (cut := execution.cut) is not None:
            return cut
        try:
            runner = self._runners.find(run.agent.agent_type, run.configuration)
        except Invalid as error:
            return Ending(Outcome.FAILED, str(error))
        task = execution.runner = asyncio.create_task(_called(runner, run), name=f"agent {run.agent.id}")
        timeout = self._timeout(run.agent)
        while not task.done() and self._clock.now() < session.started_at + timeout and execution.cut is None:
            await first_of(task, self._clock.sleep_until(session.started_at + timeout))
        if not task.done():
            execution.cancel(Ending(Outcome.TIMED_OUT, f"Timed out after {round(timeout / MILLISECOND)} ms"))
            await first_of(task, execution.given_up.wait())
        if (cut := execution.cut) is not None:
            return cut
        return _ending(task, run)

    def _timeout(self, agent: Agent) -> timedelta:
        own = agent.configuration.get("timeoutMs")
        return own * MILLISECOND if isinstance(own, int | float) and own > 0 else self._settings.run_timeout

    async def _end(self, execution: Execution, session: Session, ending: Ending) -> None:
        """Write the end, however long the store takes to come back; announce it when it is written."""
        jitter = self._random()
        failures = 0

        def edit(agent: Agent) -> Change:
            nonlocal failures
            failures = rules.failures_after(agent, ending)
            return rules.end(agent, session, ending, now=self._clock.now(), settings=self._settings, jitter=jitter)

        while True:
            try:
                change = await self._store.change_agent(session.agent_id, edit)
                break
            except (LeaseLost, NotFound) as error:
                logger.warning("session %s: its end was not ours to write: %s", session.id, error)
                return
            except StoreUnavailable as error:
                if execution.given_up.is_set():
                    logger.error("session %s: could not write its end, the lease brings it back: %s", session.id, error)
                    return
                logger.warning("session %s: its end waits for the store: %s", session.id, error)
                await first_of(asyncio.sleep(STORE_RETRY_S), execution.given_up.wait())
        await self._announce.ended(change, session, ending, failures)


async def _called(runner: Runner, run: Run) -> JSON:
    return await runner(run)


def _ending(task: asyncio.Task[JSON], run: Run) -> Ending:
    if task.cancelled():
        return Ending(Outcome.FAILED, "The runner gave up: it was cancelled from within", metrics=run.metrics)
    error = task.exception()
    if error is not None:
        return Ending(Outcome.FAILED, error_text(error), metrics=run.metrics)
    return Ending(Outcome.COMPLETED, summary=summary(task.result()), metrics=run.metrics)


def error_text(error: BaseException) -> str:
    """An exception as a sentence: its own text, with its type where that says too little by itself."""
    text = str(error)
    if not text:
        return type(error).__name__
    return f"{type(error).__name__}: {text}" if isinstance(error, LookupError) else text
