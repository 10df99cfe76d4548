"""What the acknowledgement of a subscription carries: the state that the events from then on change."""

from __future__ import annotations

from typing import Protocol

from handlers.answer_schemas import ProgressPart, SessionPart, StatisticsPart, TaskDetailsPart, many, nested, text
from handlers.json import progress_json, session_json, statistics_json, task_json
from scheduler.events import Statistics
from store.base import Store
from store.errors import NotFound
from store.records import Agent, JSONObject, Outcome, Session

TRIES = 3
"""Reads of an agent whose run ends between the read of the agent and that of its session."""
LONGEST_LIST = 1000


class RunningSessionPart(SessionPart):
    progress = nested(ProgressPart, null=True)


class AgentSnapshotPart(TaskDetailsPart):
    session = nested(RunningSessionPart, null=True)


class NamedSessionPart(RunningSessionPart):
    agentId = text()  # noqa: N815 - the wire's name


class AgentsSnapshotPart(StatisticsPart):
    sessions = many(NamedSessionPart)


class Statistician(Protocol):
    async def statistics(self) -> Statistics: ...


class Snapshots:
    """Reads the present state. To be asked after the socket has entered the room, so that no change falls between."""

    def __init__(self, store: Store, service: Statistician) -> None:
        self._store = store
        self._service = service

    async def agent(self, agent_id: str) -> JSONObject | None:
        """The agent's task details, scheduled or not, and its running session; None for an id that names no agent."""
        for _ in range(TRIES):
            try:
                agent = await self._store.get_agent(agent_id)
            except NotFound:
                return None
            session = await self._running(agent)
            if agent.session_id is None or session is not None:
                break
        return task_json(agent) | {"session": None if session is None else _session_json(session)}

    async def agents(self) -> JSONObject:
        """The statistics, and the running sessions of all agents, the oldest first, at most ``LONGEST_LIST``."""
        sessions = await self._store.open_sessions(limit=LONGEST_LIST)
        listed = [_session_json(session) | {"agentId": session.agent_id} for session in sessions]
        return await self.scheduler() | {"sessions": [*listed]}

    async def scheduler(self) -> JSONObject:
        return statistics_json(await self._service.statistics())

    async def _running(self, agent: Agent) -> Session | None:
        if agent.session_id is None:
            return None
        try:
            session = await self._store.get_session(agent.id, agent.session_id)
        except NotFound:
            return None
        return session if session.outcome is Outcome.RUNNING else None


def _session_json(session: Session) -> JSONObject:
    return session_json(session) | {"progress": progress_json(session.progress)}
