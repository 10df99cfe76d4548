"""The events that only earlier clients follow, each defined once, and what makes them of the scheduler's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from handlers.answer_schemas import LogPart, Part, anything, flag, nested, number, text, when
from handlers.events import AGENT_ROOM, EventDefinition, Telling
from handlers.json import log_json, time_json
from scheduler.events import AgentCompleted, AgentFailed, AgentLog, AgentStarted, AgentStatusChanged, Event
from scheduler.masking import masked
from store.records import AgentStatus

AGENTS_NAMESPACE = "/agents"
EARLIER_ROOM = "earlier:{agentId}"
"""Who subscribed by an earlier name, on ``/``: beside the agent's room, so that nobody else gets what is sent here."""

# The names of the fields are those of the wire.


class StatusUpdatePart(Part):
    agentId = text()  # noqa: N815
    status = text(enum=[status.value for status in AgentStatus])
    timestamp = when()


class EarlierLogPart(Part):
    agentId = text()  # noqa: N815
    log = nested(LogPart)


class LogUpdatePart(EarlierLogPart):
    timestamp = when()


class StartPart(Part):
    agentId = text()  # noqa: N815
    agentType = text()  # noqa: N815
    name = text()
    context = anything()  # type: ignore[assignment]  # marshmallow moves fields off the class
    timestamp = when()


class DonePart(Part):
    agentId = text()  # noqa: N815
    success = flag()
    data = text(null=True, description="The result as text.")
    metrics = anything()
    duration = number(description="Milliseconds from start to end.")
    timestamp = when()


class MessagePart(Part):
    message = text()


class ErrorPart(Part):
    agentId = text()  # noqa: N815
    error = nested(MessagePart)
    timestamp = when()


STATUS_UPDATE = EventDefinition(
    "agent-status-update", "The agent's status, whenever it may have changed.", StatusUpdatePart, rooms=(EARLIER_ROOM,)
)
LOG_UPDATE = EventDefinition("agent-log", "A line of a run's log.", LogUpdatePart, rooms=(EARLIER_ROOM,))
START = EventDefinition("agent:start", "A run began.", StartPart, rooms=(AGENT_ROOM,), namespace=AGENTS_NAMESPACE)
LOG = EventDefinition(
    "agent:log", "A line of a run's log.", EarlierLogPart, rooms=(AGENT_ROOM,), namespace=AGENTS_NAMESPACE
)
DONE = EventDefinition(
    "agent:done", "A run ended with success.", DonePart, rooms=(AGENT_ROOM,), namespace=AGENTS_NAMESPACE
)
ERROR = EventDefinition(
    "agent:error", "A run failed, or was stopped.", ErrorPart, rooms=(AGENT_ROOM,), namespace=AGENTS_NAMESPACE
)

EARLIER_EVENTS = (STATUS_UPDATE, LOG_UPDATE, START, LOG, DONE, ERROR)


def earlier_tellings(event: Event) -> list[Telling]:
    """Which events tell earlier clients of *event*, beside those that current ones get."""
    tell = _TELLINGS.get(type(event))
    return [] if tell is None else tell(event)


def _status(event: AgentStatusChanged) -> list[Telling]:
    return [
        (
            STATUS_UPDATE,
            {"agentId": event.agent_id, "status": event.status.value, "timestamp": time_json(event.timestamp)},
        )
    ]


def _log(event: AgentLog) -> list[Telling]:
    line = log_json(event.log)
    return [
        (LOG_UPDATE, {"agentId": event.agent_id, "log": line, "timestamp": line["timestamp"]}),
        (LOG, {"agentId": event.agent_id, "log": line}),
    ]


def _start(event: AgentStarted) -> list[Telling]:
    return [
        (
            START,
            {
                "agentId": event.agent_id,
                "agentType": event.agent_type,
                "name": event.agent_name,
                "context": masked(event.context),
                "timestamp": time_json(event.timestamp),
            },
        )
    ]


def _done(event: AgentCompleted) -> list[Telling]:
    return [
        (
            DONE,
            {
                "agentId": event.agent_id,
                "success": True,
                "data": event.result,
                "metrics": event.metrics,
                "duration": event.duration_ms,
                "timestamp": time_json(event.timestamp),
            },
        )
    ]


def _error(event: AgentFailed) -> list[Telling]:
    return [
        (
            ERROR,
            {
                "agentId": event.agent_id,
                "error": {"message": event.error},
                "timestamp": time_json(event.timestamp),
            },
        )
    ]


_TELLINGS: Mapping[type[Event], Callable[[Any], list[Telling]]] = {
    AgentStatusChanged: _status,
    AgentLog: _log,
    AgentStarted: _start,
    AgentCompleted: _done,
    AgentFailed: _error,
}
