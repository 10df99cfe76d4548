"""What a monitoring page asks for and gets: the queries and answers of overview, history and forecast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, post_load

from handlers.answer_schemas import (
    PaginationPart,
    Part,
    ProgressPart,
    SessionOrGapPart,
    flag,
    many,
    nested,
    number,
    text,
    when,
)
from handlers.fields import Moment, QueryInteger, SomeOf, Text
from handlers.schemas import ID_FORM, LARGEST_OFFSET, Query, SessionsQuery, Window
from store.records import AGENT_ID, AgentStatus, Outcome, Priority, Trigger

MOST_AGENTS_NAMED = 100
MOST_FIRES = 50


class OverviewQuery(Query):
    limit = QueryInteger(1, 2000, load_default=1000)
    offset = QueryInteger(0, LARGEST_OFFSET, load_default=0)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Window:
        return Window(**data)


class OverviewAgentPart(Part):
    id = text()
    name = text()
    agentType = text()  # noqa: N815 - the wire's names
    status = text(enum=[status.value for status in AgentStatus])
    schedulePriority = text(enum=[priority.name for priority in Priority])  # noqa: N815
    scheduleExpression = text(null=True)  # noqa: N815
    scheduleTimezone = text(null=True)  # noqa: N815
    scheduleEnabled = flag()  # noqa: N815
    scheduleWords = text(null=True, example="every weekday at 09:00, Europe/Berlin")  # noqa: N815
    isPaused = flag()  # noqa: N815
    isRunning = flag()  # noqa: N815
    nextRunAt = when(null=True)  # noqa: N815
    lastRunAt = when(null=True)  # noqa: N815
    retryCount = number()  # noqa: N815
    lastError = text(null=True)  # noqa: N815
    backoffUntil = when(null=True)  # noqa: N815


class OverviewPart(Part):
    agents = many(OverviewAgentPart)
    pagination = nested(PaginationPart)


class RunnersPart(Part):
    agentTypes = fields.List(  # noqa: N815
        fields.String(), required=True, metadata={"description": "Types with a registered Python runner."}
    )
    commands = fields.List(
        fields.String(), required=True, metadata={"description": "Names that configuration.command may have."}
    )


@dataclass(frozen=True, slots=True)
class HistoryWanted:
    """``per_agent``: the newest so many of each of ``agent_ids``, whatever ``window`` says."""

    window: Window
    agent_ids: tuple[str, ...] = ()
    per_agent: int | None = None
    success: bool | None = None
    outcomes: frozenset[Outcome] | None = None
    since: datetime | None = None
    until: datetime | None = None
    gaps: bool = False


class AgentIds(Text):
    """Agents' ids in a query string, separated by commas."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        ids = super()._deserialize(value, *args, **kwargs).split(",")
        if not all(AGENT_ID.fullmatch(one) for one in ids):
            raise ValidationError(f"{ID_FORM}, or several such ids, separated by commas")
        if len(ids) > MOST_AGENTS_NAMED:
            raise ValidationError(f"must name at most {MOST_AGENTS_NAMED} agents, not {len(ids)}")
        return tuple(dict.fromkeys(ids))


class HistoryQuery(SessionsQuery):
    limit = QueryInteger(1, 1000, load_default=100)
    agentId = AgentIds(  # noqa: N815
        MOST_AGENTS_NAMED * 65,
        attribute="agent_ids",
        metadata={"description": f"One agent, or up to {MOST_AGENTS_NAMED} separated by commas, with perAgent."},
    )
    perAgent = QueryInteger(  # noqa: N815
        1,
        100,
        attribute="per_agent",
        metadata={"description": "The newest so many of each agent in agentId, instead of limit and offset."},
    )
    outcome = SomeOf(
        Outcome, by_value=True, attribute="outcomes", metadata={"description": "One or several, separated by commas."}
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        ids, per_agent = data.get("agent_ids", ()), data.get("per_agent")
        if per_agent is not None and not ids:
            raise ValidationError({"perAgent": ["needs agentId"]})
        if per_agent is None and len(ids) > 1:
            raise ValidationError({"agentId": ["must name one agent, or come with perAgent"]})
        window = Window(data.pop("limit"), data.pop("offset"))
        return HistoryWanted(window, gaps=data.pop("include", None) is not None, **data)


class HistoryRowPart(SessionOrGapPart):
    """The last two stand in rows of sessions only."""

    agentId = text()  # noqa: N815
    trigger = fields.String(metadata={"enum": [trigger.value for trigger in Trigger]})
    progress = nested(ProgressPart, null=True, required=False)


class HistoryPart(Part):
    sessions = many(HistoryRowPart)
    pagination = nested(PaginationPart)


@dataclass(frozen=True, slots=True)
class PreviewWanted:
    expression: str
    timezone: str | None = None
    count: int = 5


class PreviewQuery(Query):
    cronExpression = Text(  # noqa: N815
        256, required=True, attribute="expression", metadata={"example": "0 9 * * MON-FRI"}
    )
    timezone = Text(64, metadata={"description": "IANA name; default SCHEDULER_TIMEZONE.", "example": "Europe/Berlin"})
    count = QueryInteger(1, MOST_FIRES, load_default=5)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> PreviewWanted:
        return PreviewWanted(**data)


class PreviewPart(Part):
    cronExpression = text()  # noqa: N815
    timezone = text()
    words = text(example="every weekday at 09:00, Europe/Berlin")
    fires = fields.List(fields.String(metadata={"format": "date-time"}), required=True)
    warnings = fields.List(
        fields.String(), required=True, metadata={"description": "What changes of the clock do to it within a year."}
    )


@dataclass(frozen=True, slots=True)
class UpcomingWanted:
    limit: int
    per_agent: int
    until: datetime | None = None


class UpcomingQuery(Query):
    until = Moment(metadata={"description": "Default: in an hour. At most 31 days ahead."})
    limit = QueryInteger(1, 500, load_default=200, metadata={"description": "Agents."})
    perAgent = QueryInteger(  # noqa: N815
        1, 200, load_default=60, attribute="per_agent", metadata={"description": "Fires listed of each agent."}
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> UpcomingWanted:
        return UpcomingWanted(**data)


class UpcomingAgentPart(Part):
    agentId = text()  # noqa: N815
    agentName = text()  # noqa: N815
    count = number(description="Occurrences up to `until`; `fires` lists the first of them.")
    lastAt = when()  # noqa: N815
    fires = fields.List(fields.String(metadata={"format": "date-time"}), required=True)


class UpcomingPart(Part):
    since = when()
    until = when()
    agents = many(UpcomingAgentPart)
    hasMore = flag()  # noqa: N815


class ReasonPart(Part):
    code = text(example="paused")
    message = text()
    at = when(null=True)


class ExplanationPart(Part):
    agentId = text()  # noqa: N815
    willRunAt = when(null=True)  # noqa: N815
    reasons = many(ReasonPart)
