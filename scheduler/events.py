"""What the scheduler tells the world: past facts, each published after it was written down.

Field meanings are those of the wire (``handlers/`` gives them their camelCase form). ``timestamp`` is when it happened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from store.records import AgentStatus, Gap, JSONObject, LogEntry, Outcome, Priority, Progress


@dataclass(frozen=True, slots=True)
class AgentStarted:
    agent_id: str
    agent_name: str
    agent_type: str
    session_id: str
    priority: Priority
    context: JSONObject
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentProgress:
    agent_id: str
    session_id: str
    progress: Progress
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentLog:
    agent_id: str
    session_id: str
    log: LogEntry


@dataclass(frozen=True, slots=True)
class AgentCompleted:
    """``result`` is the summary the session keeps (text, cut), ``duration_ms`` runs from start to end."""

    agent_id: str
    agent_name: str
    agent_type: str
    session_id: str
    duration_ms: int
    result: str | None
    metrics: JSONObject
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """``retry_count`` counts consecutive failures, this one included; ``next_retry_at`` is None without a retry."""

    agent_id: str
    agent_name: str
    agent_type: str
    session_id: str
    error: str
    outcome: Outcome
    retry_count: int
    next_retry_at: datetime | None
    timestamp: datetime

    @property
    def will_retry(self) -> bool:
        return self.next_retry_at is not None


@dataclass(frozen=True, slots=True)
class OccurrencesLost:
    """Occurrences that did not run: ``gap.outcome`` says whether they were missed or skipped."""

    agent_id: str
    agent_name: str
    gap: Gap
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentPaused:
    agent_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentResumed:
    agent_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AgentStatusChanged:
    """The agent's ``status`` is another one now, for clients that follow only that."""

    agent_id: str
    status: AgentStatus
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """The scheduler in numbers, over all servers but for ``is_running`` and ``max_concurrent`` (this process).

    ``queued`` counts the scheduled agents that do not run.
    """

    is_running: bool
    scheduled: int
    running: int
    queued: int
    max_concurrent: int
    paused: int


@dataclass(frozen=True, slots=True)
class SchedulerStatus:
    statistics: Statistics
    timestamp: datetime


Event: TypeAlias = (
    AgentStarted
    | AgentProgress
    | AgentLog
    | AgentCompleted
    | AgentFailed
    | OccurrencesLost
    | AgentPaused
    | AgentResumed
    | AgentStatusChanged
    | SchedulerStatus
)

Publish: TypeAlias = Callable[[Event], Awaitable[None]]
