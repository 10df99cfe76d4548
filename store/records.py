"""The records the service keeps: agents, their schedules, and sessions (one session is one execution of an agent).

All datetimes are aware, in UTC, rounded to milliseconds. Records are immutable: a change makes a new one with
``dataclasses.replace``.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Generic, TypeAlias, TypeVar

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"
JSONObject: TypeAlias = "dict[str, JSON]"

AGENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a client may choose as an agent's id (matched whole)."""

SUMMARY_LIMIT = 1000
"""Characters of a result's text that a session keeps."""


class Priority(IntEnum):
    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4


class AgentStatus(StrEnum):
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    ERROR = "ERROR"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"


class Overlap(StrEnum):
    """What an occurrence does that falls due while the agent runs."""

    SKIP = "SKIP"
    QUEUE = "QUEUE"
    REPLACE = "REPLACE"


class MissedRuns(StrEnum):
    """What becomes of the occurrences that fell due while no server was up."""

    ONCE = "ONCE"
    SKIP = "SKIP"


class Trigger(StrEnum):
    CRON = "cron"
    MANUAL = "manual"
    RETRY = "retry"


class Outcome(StrEnum):
    """How a session stands or ended; the last two are gaps: occurrences that never became a session."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"
    MISSED = "missed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When an agent fires. ``anchor`` is the moment it was saved: what an interval counts from."""

    expression: str
    timezone: str
    anchor: datetime
    enabled: bool = True
    overlap: Overlap = Overlap.SKIP
    missed_runs: MissedRuns = MissedRuns.ONCE


@dataclass(frozen=True, slots=True)
class Pending:
    """One run that is owed beside the grid: asked for by hand, a retry, or queued behind the running one.

    ``occurrence`` and ``attempt`` are the unique key its session will have; ``session_id`` is the id promised to
    whoever asked for it, else None; ``missed`` counts the further occurrences this run stands for.
    """

    due_at: datetime
    trigger: Trigger
    occurrence: str
    scheduled_for: datetime
    attempt: int = 1
    session_id: str | None = None
    context: JSONObject = field(default_factory=dict)
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one agent, until ``until``: ``id`` is new with each claim and fences late writers off."""

    owner: str
    id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent, its schedule, and all that is known of where it stands.

    ``next_run_at`` is the next occurrence on the grid (None: no schedule, or disabled); a paused agent keeps it, so
    that resuming can tell what was passed over. ``retry_count`` counts consecutive failures. ``session_id`` is the
    running session, None between the claim and its start.
    """

    id: str
    name: str
    agent_type: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    configuration: JSONObject = field(default_factory=dict)
    project_id: str | None = None
    manager_id: str | None = None
    status: AgentStatus = AgentStatus.IDLE
    priority: Priority = Priority.NORMAL
    schedule: Schedule | None = None
    is_paused: bool = False
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    retry_count: int = 0
    last_error: str | None = None
    pending: Pending | None = None
    lease: Lease | None = None
    session_id: str | None = None
    stop_requested: str | None = None
    """Why the running session is to be stopped, None while nobody asked for it."""

    @property
    def is_scheduled(self) -> bool:
        """Whether a schedule may fire: there is one and it is enabled (paused or not)."""
        return self.schedule is not None and self.schedule.enabled

    @property
    def is_running(self) -> bool:
        """Whether somebody holds the agent's lease, run out or not."""
        return self.lease is not None

    @property
    def due_at(self) -> datetime | None:
        """The one moment at which the scheduler must look at this agent again, None for never.

        Not running: when its next run may start. Running: when its next occurrence falls due, for the overlap
        policy (a lease's end is looked for apart from this). Claimed and not yet started: None, its owner is at it.
        """
        if self.is_paused or (self.is_running and self.session_id is None):
            return None
        moments = [self.next_run_at] if self.is_scheduled else []
        if self.pending is not None and not self.is_running:
            moments.append(self.pending.due_at)
        return min((moment for moment in moments if moment is not None), default=None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: ``percent`` 0..100, and the step of how many where the agent tells."""

    percent: float
    message: str = ""
    step: int | None = None
    of: int | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a session's log; ``level`` is ``debug``, ``info``, ``warning`` or ``error``."""

    timestamp: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Session:
    """One execution of an agent. ``(agent_id, occurrence, attempt)`` is unique, whatever crashes or races."""

    id: str
    agent_id: str
    occurrence: str
    attempt: int
    trigger: Trigger
    scheduled_for: datetime
    started_at: datetime
    lease_id: str
    priority: Priority = Priority.NORMAL
    missed: int = 0
    context: JSONObject = field(default_factory=dict)
    outcome: Outcome = Outcome.RUNNING
    completed_at: datetime | None = None
    output_summary: str | None = None
    error_message: str | None = None
    metrics: JSONObject = field(default_factory=dict)
    progress: Progress | None = None

    @property
    def success(self) -> bool | None:
        """None while the run is in progress."""
        return None if self.outcome is Outcome.RUNNING else self.outcome is Outcome.COMPLETED

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from start to end, None while the run is in progress."""
        if self.completed_at is None:
            return None
        return round((self.completed_at - self.started_at).total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Gap:
    """Occurrences in a row that did not run, and why. ``id`` is the same for all of one gap: they add up in one row."""

    id: str
    agent_id: str
    outcome: Outcome
    count: int
    first_at: datetime
    last_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a running session ends. It applies to a session that is still running, and to no other."""

    session_id: str
    outcome: Outcome
    completed_at: datetime
    output_summary: str | None = None
    error_message: str | None = None
    metrics: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What one edit of an agent writes, all of it or nothing: the agent, and what goes with it into the history."""

    agent: Agent
    start: Session | None = None
    end: SessionEnd | None = None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents a listing holds; None does not filter. ``text`` is looked for in id, name and description."""

    status: AgentStatus | None = None
    agent_type: str | None = None
    text: str | None = None
    scheduled: bool | None = None
    paused: bool | None = None
    running: bool | None = None


class AgentOrder(StrEnum):
    NEWEST = "newest"
    """Newest created first."""
    SOONEST = "soonest"
    """Earliest ``due_at`` first, those that are never due last."""


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a listing holds; None does not filter. Gaps are listed with ``gaps=True`` only.

    ``since`` and ``until`` bound the start (of a gap: its first moment), both inclusive.
    """

    agent_id: str | None = None
    success: bool | None = None
    outcomes: frozenset[Outcome] | None = None
    since: datetime | None = None
    until: datetime | None = None
    gaps: bool = False


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A window of a longer list: ``total`` is the length of the whole."""

    items: list[T]
    total: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Agents over all servers: with an enabled schedule; holding a lease; both; with a schedule and paused."""

    scheduled: int
    running: int
    scheduled_running: int
    paused: int


def new_id() -> str:
    """A fresh id for an agent, a session or a lease."""
    return str(uuid.uuid4())


def milliseconds(moment: datetime) -> datetime:
    """*moment* in UTC, cut to whole milliseconds, as every backend keeps it. A naive datetime is a ValueError."""
    if moment.tzinfo is None:
        raise ValueError(f"a naive datetime: {moment!r}")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
