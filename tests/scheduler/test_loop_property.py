"""Whatever happens in whatever order, every occurrence is accounted for once and every run has one end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scheduler import occurrences
from scheduler.events import AgentCompleted, AgentFailed, AgentStarted, Event
from scheduler.requests import ScheduleRequest
from store.errors import Conflict, Invalid, NotFound
from store.records import Agent, AgentStatus, MissedRuns, Outcome, Overlap, Schedule, Session, Trigger
from tests.support.stack import SETTINGS, Stack, World

T = TypeVar("T")

AGENTS = ("a", "b")
MILLISECOND = timedelta(milliseconds=1)
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "15"))

agents = st.sampled_from(AGENTS)
seconds = st.sampled_from([1, 5, 10, 20, 30, 45, 60])
schedules = st.builds(
    ScheduleRequest,
    st.sampled_from(["* * * * *", "every 20 seconds", "every 45 seconds", "*/2 * * * *"]),
    enabled=st.sampled_from([True, True, True, False]),
    overlap=st.sampled_from(Overlap),
    missed_runs=st.sampled_from(MissedRuns),
)


@dataclass
class Epoch:
    """A stretch of time in which an agent had one grid: occurrences after ``since``, up to ``until`` at most."""

    schedule: Schedule
    since: datetime
    until: datetime | None = None

    def count(self, before: datetime) -> int:
        last = before - MILLISECOND if self.until is None else self.until
        span = occurrences.grid(self.schedule).span(self.since + MILLISECOND, last) if last > self.since else None
        return span.count if span else 0


class Life(RuleBasedStateMachine):
    """Two agents on a server with one slot, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._loop = asyncio.Runner()
        self._loop.get_loop()
        self._epochs: dict[str, list[Epoch]] = {agent_id: [] for agent_id in AGENTS}
        self._events: list[Event] = []

    @initialize(wanted=st.lists(schedules, min_size=2, max_size=2), slots=st.sampled_from([1, 2]))
    def begin(self, wanted: list[ScheduleRequest], slots: int) -> None:
        self.slots = slots
        self.world = self._do(self._world())
        self.stack = self._do(self._server())
        for agent_id, schedule in zip(AGENTS, wanted, strict=True):
            self._do(self.stack.agent(agent_id, "HOLD"))
            self.save(agent_id, schedule)

    async def _world(self) -> World:
        return World(Path(self._folder.name), SETTINGS)

    async def _server(self) -> Stack:
        stack = await self.world.server(max_concurrent=self.slots, max_retries=2, grace=timedelta(seconds=3))
        self._events += stack.news.events
        stack.news.events = self._events  # one story over all lives
        return stack

    def _do(self, doing: Awaitable[T]) -> T:
        async def done() -> T:
            return await doing

        return self._loop.run(done())

    async def _settle(self, doing: Awaitable[Any]) -> None:
        with contextlib.suppress(Conflict, NotFound, Invalid):  # the state may forbid it: nothing has happened then
            await doing
        await self.stack.settled()

    # What can happen

    @rule(seconds=seconds)
    def time_passes(self, seconds: int) -> None:
        self._do(self.stack.advance(timedelta(seconds=seconds)))

    @rule(agent_id=agents)
    def run(self, agent_id: str) -> None:
        self._do(self._settle(self.stack.service.run(agent_id, {"by": "hand"})))

    @rule(agent_id=agents)
    def stop(self, agent_id: str) -> None:
        self._do(self._settle(self.stack.service.stop(agent_id)))

    @rule(agent_id=agents, fails=st.booleans())
    def end(self, agent_id: str, fails: bool) -> None:
        if agent_id in self.stack.runners.running:
            self._do(self.stack.fail(agent_id) if fails else self.stack.succeed(agent_id))

    @rule(agent_id=agents)
    def pause(self, agent_id: str) -> None:
        self._do(self._settle(self.stack.service.pause(agent_id)))

    @rule(agent_id=agents)
    def resume(self, agent_id: str) -> None:
        self._do(self._settle(self.stack.service.resume(agent_id)))

    @rule(agent_id=agents, wanted=schedules)
    def save(self, agent_id: str, wanted: ScheduleRequest) -> None:
        self._do(self._settle(self.stack.service.save_schedule(agent_id, wanted)))
        self._grid_changed(agent_id)

    @rule(agent_id=agents)
    def unschedule(self, agent_id: str) -> None:
        self._do(self._settle(self.stack.service.unschedule(agent_id)))
        self._grid_changed(agent_id)

    @rule(down=seconds)
    def crash(self, down: int) -> None:
        self._do(self.stack.crash())
        self.world.clock.jump(timedelta(seconds=down))
        self.stack = self._do(self._server())

    @rule(down=seconds)
    def restart(self, down: int) -> None:
        self._do(self.stack.shut_down())
        self.world.clock.jump(timedelta(seconds=down))
        self.stack = self._do(self._server())

    @precondition(lambda self: hasattr(self, "stack"))
    @rule(seconds=seconds)
    def store_is_away(self, seconds: int) -> None:
        self.stack.watched.away = True
        self._do(self.stack.advance(timedelta(seconds=seconds)))
        self.stack.watched.away = False
        self._do(self.stack.advance(timedelta(seconds=2)))

    def _grid_changed(self, agent_id: str) -> None:
        agent, epochs = self._agent(agent_id), self._epochs[agent_id]
        last = epochs[-1] if epochs and epochs[-1].until is None else None
        schedule = agent.schedule if agent.is_scheduled else None
        if last is not None:
            if schedule is not None and occurrences.grid(schedule) == occurrences.grid(last.schedule):
                return
            last.until = self.world.clock.now()
        if schedule is not None:
            epochs.append(Epoch(schedule, self.world.clock.now()))

    def _agent(self, agent_id: str) -> Agent:
        return self._do(self.stack.get(agent_id))

    # What always holds

    @invariant()
    def all_is_well(self) -> None:
        if not hasattr(self, "stack"):
            return
        for agent_id in AGENTS:
            agent, sessions = self._agent(agent_id), self._do(self.stack.history(agent_id))
            self._one_at_a_time(agent, sessions)
            self._on_the_grid(agent)
            self._all_accounted_for(agent, sessions)
            self._attempts_in_order(sessions)
            self._told_once(agent_id, sessions)
        assert self.stack.news.untrue == []
        assert self.stack.scheduler.trouble is None

    def _one_at_a_time(self, agent: Agent, sessions: list[Session]) -> None:
        running = [session.id for session in sessions if session.outcome is Outcome.RUNNING]
        assert running == ([agent.session_id] if agent.session_id else [])
        assert agent.is_running == bool(running)
        assert (agent.status is AgentStatus.RUNNING) == bool(running)
        assert (agent.status is AgentStatus.PAUSED) == (agent.is_paused and not running)
        assert agent.retry_count <= 2

    def _on_the_grid(self, agent: Agent) -> None:
        assert (agent.next_run_at is not None) == agent.is_scheduled
        if agent.schedule is not None and agent.next_run_at is not None:
            assert occurrences.grid(agent.schedule).span(agent.next_run_at, agent.next_run_at)

    def _all_accounted_for(self, agent: Agent, sessions: list[Session]) -> None:
        owed = sum(epoch.count(agent.next_run_at or self.world.clock.now()) for epoch in self._epochs[agent.id])
        ran = len({session.occurrence for session in sessions if session.occurrence.startswith("cron:")})
        lost = sum(gap.count for gap in self._do(self.stack.gaps(agent.id)))
        queued = agent.pending is not None and agent.pending.trigger is Trigger.CRON
        assert ran + lost + queued == owed

    def _attempts_in_order(self, sessions: list[Session]) -> None:
        for occurrence, count in Counter(session.occurrence for session in sessions).items():
            attempts = [session.attempt for session in sessions if session.occurrence == occurrence]
            assert attempts == list(range(1, count + 1))

    def _told_once(self, agent_id: str, sessions: list[Session]) -> None:
        told: dict[str, list[str]] = {session.id: [] for session in sessions}
        for event in self._events:
            if isinstance(event, AgentStarted | AgentCompleted | AgentFailed) and event.agent_id == agent_id:
                told[event.session_id].append("started" if isinstance(event, AgentStarted) else "ended")
        for session in sessions:
            is_running = session.outcome is Outcome.RUNNING
            assert told[session.id] == (["started"] if is_running else ["started", "ended"])

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._do(self.world.close())
        self._loop.close()
        self._folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
