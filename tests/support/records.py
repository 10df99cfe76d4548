"""Records for tests: whole and valid, with everything beside the point filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from store.records import (
    Agent,
    Change,
    Gap,
    LogEntry,
    Outcome,
    Pending,
    Schedule,
    Session,
    SessionEnd,
    Trigger,
    new_id,
)

NOW = datetime(2024, 1, 1, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def a_schedule(**given: Any) -> Schedule:
    return replace(Schedule(expression="0 9 * * *", timezone="UTC", anchor=NOW), **given)


def an_agent(agent_id: str | None = None, **given: Any) -> Agent:
    """An idle agent without a schedule; given ``next_run_at`` it has one too, as it would not fire else."""
    if given.get("next_run_at"):
        given.setdefault("schedule", a_schedule())
    agent_id = agent_id or new_id()
    plain = Agent(id=agent_id, name=f"Agent {agent_id}", agent_type="TEST", created_at=NOW, updated_at=NOW)
    return replace(plain, **given)


def a_pending(**given: Any) -> Pending:
    """A run that was asked for by hand, due now."""
    plain = Pending(due_at=NOW, trigger=Trigger.MANUAL, occurrence=f"manual:{new_id()}", scheduled_for=NOW)
    return replace(plain, **given)


def a_session(agent_id: str, **given: Any) -> Session:
    """A running session that started now, of an occurrence of its own."""
    session_id = given.pop("id", None) or new_id()
    plain = Session(
        id=session_id,
        agent_id=agent_id,
        occurrence=f"occurrence of {session_id}",
        attempt=1,
        trigger=Trigger.CRON,
        scheduled_for=NOW,
        started_at=NOW,
        lease_id=new_id(),
    )
    return replace(plain, **given)


def an_end(session_id: str, **given: Any) -> SessionEnd:
    return replace(SessionEnd(session_id, Outcome.COMPLETED, NOW + MINUTE), **given)


def a_gap(agent_id: str, **given: Any) -> Gap:
    gap_id = given.pop("id", None) or new_id()
    plain = Gap(gap_id, agent_id, Outcome.MISSED, count=1, first_at=NOW, last_at=NOW, reason="The server was down")
    return replace(plain, **given)


def a_log(message: str, **given: Any) -> LogEntry:
    return replace(LogEntry(timestamp=NOW, level="info", message=message), **given)


def started(agent: Agent, session: Session) -> Change:
    """What starting *session* writes."""
    return Change(replace(agent, session_id=session.id), start=session)


def released(agent: Agent, **given: Any) -> Agent:
    """*agent* without its lease."""
    return replace(agent, lease=None, session_id=None, stop_requested=None, **given)
