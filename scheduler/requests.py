"""What clients ask for, validated in form by the edge and in meaning by ``scheduler.service``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from store.records import JSONObject, MissedRuns, Overlap, Priority


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent to be made. ``id=None`` has the service choose a UUID."""

    name: str
    agent_type: str
    id: str | None = None
    description: str = ""
    configuration: JSONObject = field(default_factory=dict)
    project_id: str | None = None
    manager_id: str | None = None


@dataclass(frozen=True, slots=True)
class AgentPatch:
    """What shall be different about an agent; None leaves a field as it is, an empty id takes it away.

    In ``configuration``, which is replaced as a whole, a value that is the mask ``"***"`` keeps what is stored there:
    a client can send back what it was shown.
    """

    name: str | None = None
    agent_type: str | None = None
    description: str | None = None
    configuration: JSONObject | None = None
    project_id: str | None = None
    manager_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A schedule to be saved; None takes the server's default."""

    expression: str
    priority: Priority = Priority.NORMAL
    enabled: bool = True
    timezone: str | None = None
    overlap: Overlap = Overlap.SKIP
    missed_runs: MissedRuns | None = None


@dataclass(frozen=True, slots=True)
class RunAccepted:
    """A run asked for by hand that is now in the store: it will start as soon as a slot is free."""

    agent_id: str
    session_id: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class StopAccepted:
    """A stop that is now in the store; ``ended`` tells whether the run is known to have ended already."""

    agent_id: str
    session_id: str | None
    ended: bool
