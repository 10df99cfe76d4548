"""What clients may send: each schema makes a request of the scheduler's own from it, or names the fields at fault."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, post_load, pre_load

from handlers.fields import Flag, JSONObjectField, Moment, OneOf, QueryFlag, QueryInteger, SomeOf, Text
from scheduler.requests import AgentPatch, NewAgent, ScheduleRequest
from store.records import (
    AGENT_ID,
    AgentFilter,
    AgentStatus,
    JSONObject,
    MissedRuns,
    Outcome,
    Overlap,
    Priority,
)

LARGEST_OFFSET = 2**31 - 1
ID_FORM = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"
BY_SCHEDULE = "is set with POST /api/agents/{id}/schedule"
BY_SERVER = "is set by the server"
READ_ONLY = {
    "status": BY_SERVER,
    "isPaused": "is set with PATCH /api/agents/{id}/schedule/{id}/pause and /resume",
    "scheduleExpression": BY_SCHEDULE,
    "scheduleEnabled": BY_SCHEDULE,
    "scheduleTimezone": BY_SCHEDULE,
    "schedulePriority": BY_SCHEDULE,
    "nextRunAt": BY_SERVER,
    "lastRunAt": BY_SERVER,
    "createdAt": BY_SERVER,
    "updatedAt": BY_SERVER,
}


class Body(Schema):
    """A request body: a field it does not know is refused by name."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "is not a known field"}  # noqa: RUF012 - marshmallow's own way to set them


class Query(Schema):
    """A query string: what it does not know is ignored, as clients add parameters of their own against caches."""

    class Meta:
        unknown = EXCLUDE


class NewAgentBody(Body):
    id = Text(64, pattern=AGENT_ID.pattern, form=ID_FORM, metadata={"description": "Chosen here, else a UUID."})
    name = Text(200, required=True)
    agentType = Text(  # noqa: N815 - the wire's name
        64,
        required=True,
        pattern="[A-Z][A-Z0-9_]*",
        form="must be upper snake case, such as CONTENT_WRITER",
        attribute="agent_type",
        metadata={"description": "Names the runner; GET /api/agents lists agents by it."},
    )
    description = Text(2000, shortest=0, lines=True, allow_none=True)
    configuration = JSONObjectField(
        metadata={"description": "For the runner. Values of keys that name a secret are shown as *** from then on."}
    )
    projectId = Text(128, shortest=0, allow_none=True, attribute="project_id")  # noqa: N815
    managerId = Text(128, shortest=0, allow_none=True, attribute="manager_id")  # noqa: N815

    @pre_load
    def refuse_read_only(self, data: JSONObject, **_: Any) -> JSONObject:
        """Say where a field is set that an agent has and this call cannot set."""
        refused = {name: [why] for name, why in READ_ONLY.items() if name in data}
        if refused:
            raise ValidationError(refused)
        return data

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> NewAgent | AgentPatch:
        if data.get("id") in (".", ".."):  # an URL with one cannot be sent: clients resolve it as a folder
            raise ValidationError({"id": ["must not be . or .."]})
        return NewAgent(
            name=data["name"],
            agent_type=data["agent_type"],
            id=data.get("id"),
            description=data.get("description") or "",
            configuration=data.get("configuration", {}),
            project_id=data.get("project_id") or None,
            manager_id=data.get("manager_id") or None,
        )


class AgentPatchBody(NewAgentBody):
    """Every field may be left out; null or an empty text clears the three that may be empty."""

    class Meta:
        unknown = RAISE
        exclude = ("id",)

    def __init__(self, **options: Any) -> None:
        super().__init__(partial=True, **options)

    @pre_load
    def refuse_id(self, data: JSONObject, **_: Any) -> JSONObject:
        if "id" in data:
            raise ValidationError({"id": ["cannot be changed"]})
        return data

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> AgentPatch:
        cleared: dict[str, Any] = {name: "" if value is None else value for name, value in data.items()}
        return AgentPatch(**cleared)


class ScheduleBody(Body):
    cronExpression = Text(  # noqa: N815
        256,
        required=True,
        attribute="expression",
        metadata={
            "description": "Five cron fields, a nickname such as @daily, or an interval such as: every 30 minutes.",
            "example": "0 9 * * *",
        },
    )
    priority = OneOf(Priority, metadata={"default": "NORMAL"})
    enabled = Flag(metadata={"default": True})
    timezone = Text(64, metadata={"description": "IANA name; default SCHEDULER_TIMEZONE.", "example": "Europe/Berlin"})
    overlap = OneOf(
        Overlap,
        metadata={
            "default": "SKIP",
            "description": "What an occurrence does that falls due while the agent runs: nothing, one run afterwards, "
            "or stop the running one first.",
        },
    )
    missedRuns = OneOf(  # noqa: N815
        MissedRuns,
        attribute="missed_runs",
        metadata={"description": "After downtime: one run for all, or none. Default SCHEDULER_MISSED_RUNS."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> ScheduleRequest:
        return ScheduleRequest(**data)


class RunBody(Body):
    context = JSONObjectField(  # type: ignore[assignment]  # marshmallow moves fields off the class
        allow_none=True, metadata={"description": "Handed to the run."}
    )


class EarlierRunBody(RunBody):
    agentId = Text(64, required=True, pattern=AGENT_ID.pattern, form=ID_FORM)  # noqa: N815


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for."""

    limit: int
    offset: int


class TasksQuery(Query):
    limit = QueryInteger(1, 1000, load_default=100)
    offset = QueryInteger(0, LARGEST_OFFSET, load_default=0)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return Window(**data)


@dataclass(frozen=True, slots=True)
class AgentsWanted:
    window: Window
    filter: AgentFilter


class AgentsQuery(TasksQuery):
    status = OneOf(AgentStatus)
    agentType = Text(64, attribute="agent_type")  # noqa: N815
    q = Text(200, attribute="text", metadata={"description": "Looked for in id, name and description."})

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return AgentsWanted(Window(data.pop("limit"), data.pop("offset")), AgentFilter(**data))


@dataclass(frozen=True, slots=True)
class SessionsWanted:
    """As ``SessionFilter``, but for the agent, which the path names."""

    window: Window
    success: bool | None = None
    outcomes: frozenset[Outcome] | None = None
    since: datetime | None = None
    until: datetime | None = None
    gaps: bool = False


class SessionsQuery(Query):
    limit = QueryInteger(1, 100, load_default=20)
    offset = QueryInteger(0, LARGEST_OFFSET, load_default=0)
    success = QueryFlag()
    outcome = SomeOf(
        Outcome, by_value=True, attribute="outcomes", metadata={"description": "One or several, separated by commas."}
    )
    since = Moment(metadata={"description": "Started then or later."})
    until = Moment(metadata={"description": "Started then or earlier."})
    include = Text(
        16,
        pattern="missed",
        form="must be missed",
        metadata={"description": "missed: also the occurrences that did not run, one row per gap."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> SessionsWanted:
        window = Window(data.pop("limit"), data.pop("offset"))
        return SessionsWanted(window, gaps=data.pop("include", None) is not None, **data)
