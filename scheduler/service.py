"""What clients may ask of agents and their schedules: each method is one change, written before it is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from scheduler import commands, rules
from scheduler.announcer import Announcer
from scheduler.clock import Clock
from scheduler.cron import timetable
from scheduler.events import Statistics
from scheduler.masking import merged
from scheduler.requests import AgentPatch, NewAgent, RunAccepted, ScheduleRequest, StopAccepted
from scheduler.rules import Ending
from scheduler.runners.base import Runners
from scheduler.settings import SchedulerSettings
from scheduler.status import StatusBoard
from store.base import Store
from store.records import Agent, Change, JSONObject, Outcome, Schedule, new_id


class Loop(Protocol):
    """What the service needs of the claim loop."""

    up_since: datetime | None

    def wake(self) -> None: ...

    def cut(self, agent_id: str, why: Ending) -> None: ...


class AgentService:
    """Commands on agents. One that raises ``NotFound``, ``Conflict`` or ``Invalid`` changed nothing."""

    def __init__(
        self,
        store: Store,
        runners: Runners,
        loop: Loop,
        announcer: Announcer,
        board: StatusBoard,
        settings: SchedulerSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runners = runners
        self._loop = loop
        self._announce = announcer
        self._board = board
        self._settings = settings
        self._clock = clock

    async def create(self, new: NewAgent) -> Agent:
        """Add an agent, without a schedule. ``Invalid`` when no runner would run it; ``Conflict`` on a taken id."""
        configuration = merged(new.configuration, {})  # raises Invalid for the mask: there is nothing it stands for
        self._runners.find(new.agent_type, configuration)
        now = self._clock.now()
        agent = Agent(
            id=new.id or new_id(),
            name=new.name,
            agent_type=new.agent_type,
            created_at=now,
            updated_at=now,
            description=new.description,
            configuration=configuration,
            project_id=new.project_id,
            manager_id=new.manager_id,
        )
        await self._store.add_agent(agent)
        return agent

    async def update(self, agent_id: str, patch: AgentPatch) -> Agent:
        """Change what *patch* names; a run in progress keeps what it was started with."""
        now = self._clock.now()

        def edit(agent: Agent) -> Change:
            changed = _patched(agent, patch)
            if (changed.agent_type, changed.configuration) != (agent.agent_type, agent.configuration):
                self._runners.find(changed.agent_type, changed.configuration)
            return Change(replace(changed, updated_at=now) if changed != agent else agent)

        return (await self._store.change_agent(agent_id, edit)).agent

    async def delete(self, agent_id: str) -> None:
        """Remove an agent with its history. ``Conflict`` while it runs."""
        await self._store.delete_agent(agent_id)
        self._announce.changed()

    async def save_schedule(self, agent_id: str, wanted: ScheduleRequest) -> Agent:
        """Create or replace the schedule. ``Invalid`` names the field at fault."""
        now = self._clock.now()
        schedule = self._schedule(wanted, now)
        change = await self._store.change_agent(
            agent_id, lambda agent: commands.save_schedule(agent, schedule, wanted.priority, now=now)
        )
        return await self._told(change)

    async def unschedule(self, agent_id: str) -> Agent:
        """Forget the schedule; a run in progress goes on. An agent without one stays as it is."""
        now = self._clock.now()
        return await self._told(await self._store.change_agent(agent_id, lambda a: commands.unschedule(a, now=now)))

    async def pause(self, agent_id: str) -> Agent:
        """Keep the schedule, but let nothing fire. ``NotFound`` without one; ``Conflict`` while the agent runs."""
        was_paused = False

        def edit(agent: Agent) -> Change:
            nonlocal was_paused
            was_paused = agent.is_paused
            return commands.pause(agent)

        agent = (await self._store.change_agent(agent_id, edit)).agent
        if not was_paused:
            await self._announce.paused(agent)
        return agent

    async def resume(self, agent_id: str) -> Agent:
        """Let the schedule fire again. ``NotFound`` without one; ``Invalid`` when the agent is not paused."""
        now = self._clock.now()
        up_since = self._loop.up_since or now
        change = await self._store.change_agent(agent_id, lambda a: commands.resume(a, now=now, up_since=up_since))
        await self._announce.resumed(change)
        self._loop.wake()
        return change.agent

    async def run(self, agent_id: str, context: JSONObject) -> RunAccepted:
        """Owe the agent a run, as soon as a slot is free. ``Conflict`` while it runs, waits for one, or is paused."""
        now, session_id = self._clock.now(), new_id()
        change = await self._store.change_agent(
            agent_id, lambda a: commands.run_by_hand(a, now=now, session_id=session_id, context=context)
        )
        await self._announce.lost(change)
        self._loop.wake()
        return RunAccepted(agent_id, session_id, now)

    async def stop(self, agent_id: str) -> StopAccepted:
        """Stop the run, whichever process runs it; the request is durable. ``Conflict`` when the agent does not run."""
        change = await self._store.change_agent(agent_id, commands.request_stop)
        self._loop.cut(agent_id, Ending(Outcome.STOPPED, rules.STOPPED))
        return StopAccepted(agent_id, change.agent.session_id, ended=False)

    async def statistics(self) -> Statistics:
        return await self._board.statistics()

    def _schedule(self, wanted: ScheduleRequest, now: datetime) -> Schedule:
        zone = wanted.timezone or self._settings.timezone
        timetable(wanted.expression, zone, anchor=now)  # raises Invalid
        return Schedule(
            expression=wanted.expression,
            timezone=zone,
            anchor=now,
            enabled=wanted.enabled,
            overlap=wanted.overlap,
            missed_runs=wanted.missed_runs or self._settings.missed_runs,
        )

    async def _told(self, change: Change) -> Agent:
        await self._announce.scheduled(change)
        self._loop.wake()
        return change.agent


def _patched(agent: Agent, patch: AgentPatch) -> Agent:
    given: dict[str, Any] = {
        name: value
        for name in ("name", "agent_type", "description", "project_id", "manager_id")
        if (value := getattr(patch, name)) is not None
    }
    for name in ("project_id", "manager_id"):  # an empty id is none
        if given.get(name) == "":
            given[name] = None
    if patch.configuration is not None:
        given["configuration"] = merged(patch.configuration, agent.configuration)
    return replace(agent, **given)
