"""Runs claimed agents: one session from its start to its end, and the news of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scheduler import rules
from scheduler.announcer import Announcer
from scheduler.clock import Clock
from scheduler.journal import Journal
from scheduler.masking import Hide, hidden, hiding, secrets_in
from scheduler.rules import Ending
from scheduler.runners.base import Run, Runners
from scheduler.runners.result import storable, summary
from scheduler.settings import SchedulerSettings
from scheduler.waiting import first_of
from store.base import Store
from store.errors import Conflict, LeaseLost, NotFound, StoreUnavailable
from store.records import JSON, Agent, Change, JSONObject, Outcome, Session, new_id

logger = logging.getLogger(__name__)

STORE_RETRY = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
LONGEST_TIMEOUT_MS = 366 * 24 * 3600 * 1000
ERROR_LIMIT = 2_000
"""Characters kept of an error's text."""


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
        """Have the runner cancelled, once: another time would break off what it does to end in order."""
        if self.cut is not None:
            return
        self.cut = why
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
        # Whatever a run tells, its configuration's secrets are not in it, whichever runner it is.
        hide = hiding(secrets_in(execution.agent.configuration))
        journal = Journal(
            self._store,
            self._announce.publish,
            self._clock,
            agent_id=session.agent_id,
            session_id=session.id,
            hide=hide,
        )
        run = Run(
            agent=execution.agent,
            session_id=session.id,
            attempt=session.attempt,
            context=session.context,
            sink=journal,
        )
        try:
            ending = await self._work(execution, run, session, hide)
            ended_at = self._clock.now()
            await first_of(journal.close(), execution.given_up.wait())
        finally:
            journal.abandon()
        await self._end(execution, session, ending, ended_at)

    async def _start(self, execution: Execution, up_since: datetime) -> Session | None:
        lease_id, session_id, now = execution.lease_id, new_id(), self._clock.now()

        def start(agent: Agent) -> Change:
            return rules.start(agent, lease_id=lease_id, session_id=session_id, now=now, up_since=up_since)

        def go_on(agent: Agent) -> Change:
            return rules.start_refused(agent, lease_id=lease_id, now=now, up_since=up_since)

        try:
            try:
                change = await self._store.change_agent(execution.agent.id, start)
            except Conflict:
                logger.warning("agent %s: this attempt has had a session already, going on", execution.agent.id)
                change = await self._store.change_agent(execution.agent.id, go_on)
        except (LeaseLost, NotFound) as error:
            logger.warning("agent %s: claimed, then lost: %s", execution.agent.id, error)
            return None
        execution.agent = change.agent
        await self._announce.started(change)
        return change.start

    async def _work(self, execution: Execution, run: Run, session: Session, hide: Hide) -> Ending:
        """Have the runner do its work; return when it has really ended."""
        if (cut := execution.cut) is not None:
            return cut
        task = execution.runner = asyncio.create_task(self._called(run), name=f"agent {run.agent.id}")
        timeout = self._timeout(run.agent)
        until, given_up = session.started_at + timeout, execution.given_up
        while not task.done() and self._clock.now() < until and (cut := execution.cut) is None:
            await first_of(task, self._clock.sleep_until(until), given_up.wait())
        if not task.done():
            execution.cancel(Ending(Outcome.TIMED_OUT, f"Timed out after {round(timeout / MILLISECOND)} ms"))
            await first_of(task, given_up.wait())
        if (cut := execution.cut) is not None:
            return replace(cut, metrics=_kept(run.metrics, hide))
        return _ending(task, run, hide)

    async def _called(self, run: Run) -> JSON:
        runner = self._runners.find(run.agent.agent_type, run.configuration)
        return await runner(run)

    def _timeout(self, agent: Agent) -> timedelta:
        own = agent.configuration.get("timeoutMs")
        if isinstance(own, int | float) and not isinstance(own, bool) and own > 0:
            return min(own, LONGEST_TIMEOUT_MS) * MILLISECOND
        return self._settings.run_timeout

    async def _end(self, execution: Execution, session: Session, ending: Ending, ended_at: datetime) -> None:
        """Write the end, however long the store takes to come back; announce it when it is written."""
        end = _End(session, ending, ended_at, self._settings, self._random())
        while True:
            try:
                if not await self._write(execution, end):
                    return
                break
            except StoreUnavailable as error:
                if execution.given_up.is_set():
                    logger.error("session %s: could not write its end, the lease brings it back: %s", session.id, error)
                    return
                end.answer_lost = True
                logger.warning("session %s: its end waits for the store: %s", session.id, error)
                pause = self._clock.sleep_until(self._clock.now() + STORE_RETRY)
                await first_of(pause, execution.given_up.wait())
        await self._announce.ended(end.change, session, end.told, end.failures)

    async def _write(self, execution: Execution, end: _End) -> bool:
        """Write *end*; False when it is not ours to write. A try whose answer was lost may have done it, or half."""
        agent_id, session_id = end.session.agent_id, end.session.id
        try:
            await self._store.change_agent(agent_id, end.edit)
        except (LeaseLost, NotFound) as error:
            if not (end.answer_lost and self._holds(execution) and await self._is_kept(end)):
                logger.warning("session %s: its end was not ours to write: %s", session_id, error)
                return False
            with contextlib.suppress(LeaseLost, NotFound):  # those say that the agent's half is written too
                await self._store.change_agent(agent_id, end.edit_agent)
        return True

    def _holds(self, execution: Execution) -> bool:
        """Whether nobody else can have taken the run up, and told of its end, since we held its lease last."""
        return not self._store.is_shared or self._clock.now() < execution.lease_until

    async def _is_kept(self, end: _End) -> bool:
        """Whether the history holds *end*, and not one that somebody else wrote."""
        try:
            session = await self._store.get_session(end.session.agent_id, end.session.id)
        except NotFound:
            return False
        return (session.outcome, session.completed_at) == (end.told.outcome, end.ended_at)


class _End:
    """The edits that end a session, and what came of them: called by the store, perhaps more than once."""

    def __init__(
        self, session: Session, ending: Ending, ended_at: datetime, settings: SchedulerSettings, jitter: float
    ) -> None:
        self.session = session
        self.ended_at = ended_at
        self.told = ending
        self.failures = 0
        self.answer_lost = False
        """Whether a write failed without our knowing what became of it."""
        self._ending = ending
        self._settings = settings
        self._jitter = jitter
        self._change: Change | None = None

    @property
    def change(self) -> Change:
        """What was written."""
        assert self._change is not None
        return self._change

    def edit(self, agent: Agent) -> Change:
        told = rules.as_asked(agent, self._ending)
        change = rules.end(agent, self.session, told, now=self.ended_at, settings=self._settings, jitter=self._jitter)
        self.told, self.failures, self._change = told, rules.failures_after(agent, told), change
        return change

    def edit_agent(self, agent: Agent) -> Change:
        """For a session whose end is in the history already."""
        return replace(self.edit(agent), end=None)


def _ending(task: asyncio.Task[JSON], run: Run, hide: Hide) -> Ending:
    """How a runner that was not cut short ended; whatever it gave back, that can be told."""
    metrics = _kept(run.metrics, hide)
    if task.cancelled():
        return Ending(Outcome.FAILED, "The runner gave up: it was cancelled from within", metrics=metrics)
    try:
        error = task.exception()
        if error is not None:
            return Ending(Outcome.FAILED, error_text(error, hide), metrics=metrics)
        return Ending(Outcome.COMPLETED, summary=summary(task.result(), hide), metrics=metrics)
    except Exception as unreadable:  # a result or an error that cannot even be turned into text
        logger.exception("session %s: what its runner gave back cannot be read", run.session_id)
        return Ending(Outcome.FAILED, f"The runner's result cannot be read: {type(unreadable).__name__}")


def _kept(metrics: JSONObject, hide: Hide) -> JSONObject:
    """*metrics* as JSON can carry them; a runner may have put anything there."""
    try:
        kept: JSONObject = {str(key): hidden(_plain(value), hide) for key, value in metrics.items()}
    except Exception:
        logger.exception("the metrics of a run cannot be kept")
        return {}
    return kept


def _plain(value: JSON) -> JSON:
    try:
        plain: JSON = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return str(value)
    return plain


def error_text(error: BaseException, hide: Hide) -> str:
    """An exception as a sentence: its own text, with its type where that says too little by itself."""
    text = storable(hide(str(error)))
    if not text:
        return type(error).__name__
    if isinstance(error, LookupError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= ERROR_LIMIT else f"{text[:ERROR_LIMIT]}..."
