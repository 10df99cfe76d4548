"""Turns what was written into the events that tell of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from scheduler.clock import Clock
from scheduler.events import (
    AgentCompleted,
    AgentFailed,
    AgentPaused,
    AgentResumed,
    AgentStarted,
    AgentStatusChanged,
    Event,
    OccurrencesLost,
    Publish,
)
from scheduler.rules import Ending
from store.records import Agent, Change, Outcome, Session

logger = logging.getLogger(__name__)


class Announcer:
    """Publishes each event after its write; a client that cannot be told never stops the scheduler.

    *changed* is called whenever the scheduler's numbers may be others now.
    """

    def __init__(self, publish: Publish, clock: Clock, changed: Callable[[], None]) -> None:
        self._publish = publish
        self._clock = clock
        self.changed = changed

    async def publish(self, event: Event) -> None:
        try:
            await self._publish(event)
        except Exception:
            logger.exception("%s could not be published", type(event).__name__)

    async def started(self, change: Change) -> None:
        """A claimed agent was started, or found to be owed no run."""
        await self._gaps(change)
        agent, session = change.agent, change.start
        if session is not None:
            ids = {"agentId": agent.id, "sessionId": session.id}
            logger.info("run started (%s, attempt %d)", session.trigger, session.attempt, extra=ids)
            await self.publish(
                AgentStarted(
                    agent.id,
                    agent.name,
                    agent.agent_type,
                    session.id,
                    session.priority,
                    session.context,
                    session.started_at,
                )
            )
        await self.status(agent)

    async def ended(self, change: Change, session: Session, ending: Ending, failures: int) -> None:
        """A session ended; *failures* counts those in a row, this one included."""
        agent = change.agent
        # Without an end to write, the session has ended before: its server died, and this is the rest of it.
        ended_at = (change.end.completed_at if change.end else session.completed_at) or self._clock.now()
        ids = {"agentId": agent.id, "sessionId": session.id}
        logger.info("run %s%s", ending.outcome, f": {ending.error}" if ending.error else "", extra=ids)
        if ending.outcome is Outcome.COMPLETED:
            duration = round((ended_at - session.started_at).total_seconds() * 1000)
            event: Event = AgentCompleted(
                agent.id,
                agent.name,
                agent.agent_type,
                session.id,
                duration,
                ending.summary,
                ending.metrics or {},
                ended_at,
            )
        else:
            event = AgentFailed(
                agent.id,
                agent.name,
                agent.agent_type,
                session.id,
                ending.error or "",
                ending.outcome,
                failures,
                _retry_at(agent, session),
                ended_at,
            )
        await self.publish(event)
        await self._gaps(change)
        await self.status(agent)

    async def lost(self, change: Change) -> None:
        """Occurrences may have been passed over; that changes no number."""
        await self._gaps(change)

    async def paused(self, agent: Agent) -> None:
        await self.publish(AgentPaused(agent.id, self._clock.now()))
        await self.status(agent)

    async def resumed(self, change: Change) -> None:
        await self.publish(AgentResumed(change.agent.id, self._clock.now()))
        await self._gaps(change)
        await self.status(change.agent)

    async def scheduled(self, change: Change) -> None:
        """A schedule was saved or forgotten."""
        await self._gaps(change)
        await self.status(change.agent)

    async def status(self, agent: Agent) -> None:
        """The agent's status may be another one now."""
        await self.publish(AgentStatusChanged(agent.id, agent.status, self._clock.now()))
        self.changed()

    async def _gaps(self, change: Change) -> None:
        for gap in change.gaps:
            await self.publish(OccurrencesLost(change.agent.id, change.agent.name, gap, self._clock.now()))


def _retry_at(agent: Agent, session: Session) -> datetime | None:
    pending = agent.pending
    return pending.due_at if pending is not None and pending.occurrence == session.occurrence else None
