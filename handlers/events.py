"""The events of current clients, each defined once, and the publisher that makes them of the scheduler's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from handlers import event_schemas as schemas
from handlers.answer_schemas import Part
from handlers.json import log_json, progress_json, statistics_json, time_json
from handlers.realtime import Emitter
from scheduler.events import (
    AgentCompleted,
    AgentFailed,
    AgentLog,
    AgentPaused,
    AgentProgress,
    AgentResumed,
    AgentStarted,
    Event,
    OccurrencesLost,
    Publish,
    SchedulerStatus,
)
from store.records import JSONObject, Outcome

NAMESPACE = "/"
AGENT_ROOM = "agent:{agentId}"
AGENTS_ROOM = "monitoring:agents"
SCHEDULER_ROOM = "monitoring:scheduler"
ABOUT_AGENTS = (AGENT_ROOM, AGENTS_ROOM)


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """An event that clients get: what it tells, to whom, and the schema of its payload.

    Rooms, and the collapse key of events whose newest says it all, are templates that the payload fills in.
    """

    name: str
    summary: str
    payload: type[Part]
    rooms: tuple[str, ...] = ABOUT_AGENTS
    collapse: str | None = None
    namespace: str = NAMESPACE


STARTED = EventDefinition("agent:started", "A run began.", schemas.StartedPart)
PROGRESS = EventDefinition(
    "agent:progress",
    "A run is this far. A socket that does not keep up gets the newest of a run.",
    schemas.ProgressEventPart,
    collapse="progress:{agentId}",
)
COMPLETED = EventDefinition("agent:completed", "A run ended with success.", schemas.CompletedPart)
FAILED = EventDefinition("agent:failed", "A run failed, or was stopped.", schemas.FailedPart)
MISSED = EventDefinition("agent:missed", "Occurrences passed while no server was up.", schemas.LostPart)
SKIPPED = EventDefinition("agent:skipped", "Occurrences passed that could not run.", schemas.LostPart)
PAUSED = EventDefinition("agent:paused", "The schedule is kept, but nothing fires.", schemas.PausedEventPart)
RESUMED = EventDefinition("agent:resumed", "The schedule fires again.", schemas.ResumedEventPart)
LOG = EventDefinition(
    "agent:log",
    "A line of a run's log; all of them are kept with the session.",
    schemas.LogEventPart,
    collapse="log:{agentId}",
)
STATUS = EventDefinition(
    "scheduler:status",
    "The scheduler in numbers: on every change, at most 5 times a second, and every 30 s.",
    schemas.StatusEventPart,
    rooms=(SCHEDULER_ROOM,),
)

EVENTS = (STARTED, PROGRESS, COMPLETED, FAILED, MISSED, SKIPPED, PAUSED, RESUMED, LOG, STATUS)

Telling: TypeAlias = tuple[EventDefinition, JSONObject]


def publisher(emitter: Emitter) -> Publish:
    """What sends each of the scheduler's events to the clients that asked for it."""

    async def publish(event: Event) -> None:
        told = telling(event)
        if told is not None:
            await send(emitter, *told)

    return publish


async def send(emitter: Emitter, definition: EventDefinition, payload: JSONObject) -> None:
    """Send one event to the rooms of its definition."""
    await emitter.emit(
        definition.name,
        payload,
        to=[room.format_map(payload) for room in definition.rooms],
        namespace=definition.namespace,
        collapse=definition.collapse and definition.collapse.format_map(payload),
    )


def telling(event: Event) -> Telling | None:
    """Which event tells current clients of *event*, and its payload; None for what only earlier clients follow."""
    tell = _TELLINGS.get(type(event))
    return None if tell is None else tell(event)


def _started(event: AgentStarted) -> Telling:
    return STARTED, {
        "agentId": event.agent_id,
        "sessionId": event.session_id,
        "priority": int(event.priority),
        "agentName": event.agent_name,
        "agentType": event.agent_type,
        "jobId": event.agent_id,
        "status": "started",
        "timestamp": time_json(event.timestamp),
    }


def _progress(event: AgentProgress) -> Telling:
    return PROGRESS, {
        "agentId": event.agent_id,
        "sessionId": event.session_id,
        "jobId": event.agent_id,
        **(progress_json(event.progress) or {}),
        "timestamp": time_json(event.timestamp),
    }


def _completed(event: AgentCompleted) -> Telling:
    return COMPLETED, {
        "agentId": event.agent_id,
        "sessionId": event.session_id,
        "duration": event.duration_ms,
        "agentName": event.agent_name,
        "agentType": event.agent_type,
        "jobId": event.agent_id,
        "status": "completed",
        "timestamp": time_json(event.timestamp),
    }


def _failed(event: AgentFailed) -> Telling:
    return FAILED, {
        "agentId": event.agent_id,
        "sessionId": event.session_id,
        "error": event.error,
        "retryCount": event.retry_count,
        "willRetry": event.will_retry,
        "nextRetryAt": time_json(event.next_retry_at),
        "agentName": event.agent_name,
        "agentType": event.agent_type,
        "jobId": event.agent_id,
        "status": "failed",
        "timestamp": time_json(event.timestamp),
    }


def _lost(event: OccurrencesLost) -> Telling:
    gap = event.gap
    return MISSED if gap.outcome is Outcome.MISSED else SKIPPED, {
        "agentId": event.agent_id,
        "agentName": event.agent_name,
        "count": gap.count,
        "firstAt": time_json(gap.first_at),
        "lastAt": time_json(gap.last_at),
        "reason": gap.reason,
        "timestamp": time_json(event.timestamp),
    }


def _paused(event: AgentPaused) -> Telling:
    return PAUSED, _job(event, "paused")


def _resumed(event: AgentResumed) -> Telling:
    return RESUMED, _job(event, "resumed")


def _job(event: AgentPaused | AgentResumed, status: str) -> JSONObject:
    return {
        "agentId": event.agent_id,
        "jobId": event.agent_id,
        "status": status,
        "timestamp": time_json(event.timestamp),
    }


def _log(event: AgentLog) -> Telling:
    return LOG, {"agentId": event.agent_id, "sessionId": event.session_id, "log": log_json(event.log)}


def _status(event: SchedulerStatus) -> Telling:
    statistics = statistics_json(event.statistics)
    return STATUS, {**statistics, "stats": statistics, "timestamp": time_json(event.timestamp)}


_TELLINGS: Mapping[type[Event], Callable[[Any], Telling]] = {
    AgentStarted: _started,
    AgentProgress: _progress,
    AgentCompleted: _completed,
    AgentFailed: _failed,
    OccurrencesLost: _lost,
    AgentPaused: _paused,
    AgentResumed: _resumed,
    AgentLog: _log,
    SchedulerStatus: _status,
}
