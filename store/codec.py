"""Records as documents and back: the one shape that both backends keep.

A document is a plain dict with camelCase keys: datetimes as they are (MongoDB) or as milliseconds since 1970
(SQLite), enums as their values. What a client may fill freely (``configuration``, ``context``, ``metrics``) is kept as
JSON text: a key such as ``$ref`` or ``a.b``, or an integer beyond 64 bits, means nothing to the database that way.
Beside the record stand the moments and flags that the indexes are made of, derived here and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from store.records import (
    Agent,
    AgentStatus,
    Change,
    Gap,
    Lease,
    LogEntry,
    MissedRuns,
    Outcome,
    Overlap,
    Pending,
    Priority,
    Progress,
    Schedule,
    Session,
    SessionEnd,
    Trigger,
    milliseconds,
)

Document: TypeAlias = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""``dueAt`` of an agent that is never due: a moment, not null, so that it sorts last everywhere."""

_MILLISECOND = timedelta(milliseconds=1)


# Agents


def agent_document(agent: Agent) -> Document:
    return {
        "_id": agent.id,
        "name": text(agent.name),
        "agentType": agent.agent_type,
        "createdAt": milliseconds(agent.created_at),
        "updatedAt": milliseconds(agent.updated_at),
        "description": text(agent.description),
        "configuration": json.dumps(agent.configuration),
        "projectId": _optional_text(agent.project_id),
        "managerId": _optional_text(agent.manager_id),
        "status": agent.status.value,
        "priority": agent.priority.value,
        "schedule": agent.schedule and _schedule_document(agent.schedule),
        "isPaused": agent.is_paused,
        "nextRunAt": _optional_moment(agent.next_run_at),
        "lastRunAt": _optional_moment(agent.last_run_at),
        "retryCount": agent.retry_count,
        "lastError": _optional_text(agent.last_error),
        "pending": agent.pending and _pending_document(agent.pending),
        "lease": agent.lease and lease_document(agent.lease),
        "sessionId": agent.session_id,
        "stopRequested": _optional_text(agent.stop_requested),
        # For the indexes; never read back into the record.
        "isScheduled": agent.is_scheduled,
        "isRunning": agent.is_running,
        "dueAt": milliseconds(agent.due_at or NEVER),
        "search": searchable("\x1f".join((agent.id, agent.name, agent.description))),
    }


def agent_record(document: Document) -> Agent:
    return Agent(
        id=document["_id"],
        name=document["name"],
        agent_type=document["agentType"],
        created_at=moment(document["createdAt"]),
        updated_at=moment(document["updatedAt"]),
        description=document["description"],
        configuration=json.loads(document["configuration"]),
        project_id=document["projectId"],
        manager_id=document["managerId"],
        status=AgentStatus(document["status"]),
        priority=Priority(document["priority"]),
        schedule=document["schedule"] and _schedule_record(document["schedule"]),
        is_paused=document["isPaused"],
        next_run_at=_moment_or_none(document["nextRunAt"]),
        last_run_at=_moment_or_none(document["lastRunAt"]),
        retry_count=document["retryCount"],
        last_error=document["lastError"],
        pending=document["pending"] and _pending_record(document["pending"]),
        lease=document["lease"] and _lease_record(document["lease"]),
        session_id=document["sessionId"],
        stop_requested=document["stopRequested"],
    )


def as_kept(change: Change) -> Change:
    """The change as any backend will give it back: times in whole milliseconds, text that UTF-8 can carry."""
    return Change(
        agent=agent_record(agent_document(change.agent)),
        start=change.start and session_record(session_document(change.start)),
        end=change.end and replace(change.end, completed_at=milliseconds(change.end.completed_at)),
        gaps=tuple(_gap_record(gap_document(gap)) for gap in change.gaps),
    )


def _schedule_document(schedule: Schedule) -> Document:
    return {
        "expression": text(schedule.expression),
        "timezone": text(schedule.timezone),
        "anchor": milliseconds(schedule.anchor),
        "enabled": schedule.enabled,
        "overlap": schedule.overlap.value,
        "missedRuns": schedule.missed_runs.value,
    }


def _schedule_record(document: Document) -> Schedule:
    return Schedule(
        expression=document["expression"],
        timezone=document["timezone"],
        anchor=moment(document["anchor"]),
        enabled=document["enabled"],
        overlap=Overlap(document["overlap"]),
        missed_runs=MissedRuns(document["missedRuns"]),
    )


def _pending_document(pending: Pending) -> Document:
    return {
        "dueAt": milliseconds(pending.due_at),
        "trigger": pending.trigger.value,
        "occurrence": text(pending.occurrence),
        "scheduledFor": milliseconds(pending.scheduled_for),
        "attempt": pending.attempt,
        "sessionId": pending.session_id,
        "context": json.dumps(pending.context),
        "missed": pending.missed,
    }


def _pending_record(document: Document) -> Pending:
    return Pending(
        due_at=moment(document["dueAt"]),
        trigger=Trigger(document["trigger"]),
        occurrence=document["occurrence"],
        scheduled_for=moment(document["scheduledFor"]),
        attempt=document["attempt"],
        session_id=document["sessionId"],
        context=json.loads(document["context"]),
        missed=document["missed"],
    )


def lease_document(lease: Lease) -> Document:
    return {"owner": text(lease.owner), "id": lease.id, "until": milliseconds(lease.until)}


def _lease_record(document: Document) -> Lease:
    return Lease(owner=document["owner"], id=document["id"], until=moment(document["until"]))


# History: sessions and gaps lie in one place and share the keys that listings and retention go by


def session_document(session: Session) -> Document:
    return {
        "_id": session.id,
        "isGap": False,
        "agentId": session.agent_id,
        "outcome": session.outcome.value,
        "startedAt": milliseconds(session.started_at),
        "endedAt": _optional_moment(session.completed_at),
        "occurrence": text(session.occurrence),
        "attempt": session.attempt,
        "trigger": session.trigger.value,
        "scheduledFor": milliseconds(session.scheduled_for),
        "leaseId": session.lease_id,
        "priority": session.priority.value,
        "missed": session.missed,
        "context": json.dumps(session.context),
        "outputSummary": _optional_text(session.output_summary),
        "errorMessage": _optional_text(session.error_message),
        "metrics": json.dumps(session.metrics),
        "progress": session.progress and progress_document(session.progress),
    }


def session_record(document: Document) -> Session:
    return Session(
        id=document["_id"],
        agent_id=document["agentId"],
        occurrence=document["occurrence"],
        attempt=document["attempt"],
        trigger=Trigger(document["trigger"]),
        scheduled_for=moment(document["scheduledFor"]),
        started_at=moment(document["startedAt"]),
        lease_id=document["leaseId"],
        priority=Priority(document["priority"]),
        missed=document["missed"],
        context=json.loads(document["context"]),
        outcome=Outcome(document["outcome"]),
        completed_at=_moment_or_none(document["endedAt"]),
        output_summary=document["outputSummary"],
        error_message=document["errorMessage"],
        metrics=json.loads(document["metrics"]),
        progress=document["progress"] and _progress_record(document["progress"]),
    )


def end_document(end: SessionEnd) -> Document:
    """The keys of a session's document that its end sets."""
    return {
        "outcome": end.outcome.value,
        "endedAt": milliseconds(end.completed_at),
        "outputSummary": _optional_text(end.output_summary),
        "errorMessage": _optional_text(end.error_message),
        "metrics": json.dumps(end.metrics),
    }


def gap_document(gap: Gap) -> Document:
    return {
        "_id": gap.id,
        "isGap": True,
        "agentId": gap.agent_id,
        "outcome": gap.outcome.value,
        "startedAt": milliseconds(gap.first_at),
        "endedAt": milliseconds(gap.last_at),
        "count": gap.count,
        "reason": text(gap.reason),
        "tail": {"at": milliseconds(gap.first_at), "count": gap.count},
    }


def lengthened(gap: Document, piece: Document) -> Document:
    """A kept *gap* with a further *piece* of it; what it holds already counts once.

    Pieces come in the order of their moments, so the last one (the ``tail``) tells what is held: one that begins before
    it, or after it and ends no later than the gap, is held; one that begins with it is the same piece, written again by
    somebody who did not know that it was, or knew of more.
    """
    begins, tail = moment(piece["startedAt"]), moment(gap["tail"]["at"])
    if begins < tail or (begins > tail and moment(piece["endedAt"]) <= moment(gap["endedAt"])):
        return gap
    again = gap["tail"]["count"] if begins == tail else 0
    count = gap["count"] - again + piece["count"]
    return gap | {"count": count, "endedAt": piece["endedAt"], "tail": piece["tail"]}


def history_record(document: Document) -> Session | Gap:
    """A session or a gap, whichever the document holds."""
    return _gap_record(document) if document["isGap"] else session_record(document)


def _gap_record(document: Document) -> Gap:
    return Gap(
        id=document["_id"],
        agent_id=document["agentId"],
        outcome=Outcome(document["outcome"]),
        count=document["count"],
        first_at=moment(document["startedAt"]),
        last_at=moment(document["endedAt"]),
        reason=document["reason"],
    )


def progress_document(progress: Progress) -> Document:
    return {"percent": progress.percent, "message": text(progress.message), "step": progress.step, "of": progress.of}


def _progress_record(document: Document) -> Progress:
    return Progress(**document)


def log_document(session_id: str, entry: LogEntry) -> Document:
    return {
        "sessionId": session_id,
        "timestamp": milliseconds(entry.timestamp),
        "level": text(entry.level),
        "message": text(entry.message),
    }


def log_record(document: Document) -> LogEntry:
    return LogEntry(timestamp=moment(document["timestamp"]), level=document["level"], message=document["message"])


# Values


def moment(value: datetime | int) -> datetime:
    """A kept moment, in UTC: a datetime, or milliseconds since 1970."""
    return EPOCH + value * _MILLISECOND if isinstance(value, int) else value.astimezone(UTC)


def since_epoch(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // _MILLISECOND


def text(value: str) -> str:
    """*value*, with lone surrogates (which no UTF-8 text can hold) replaced by question marks."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def searchable(value: str) -> str:
    """*value* as it is compared in a search: upper and lower case are the same."""
    return text(value).casefold()


def to_json(document: Document) -> str:
    """A document as JSON text, its datetimes as milliseconds since 1970."""
    return _encode(document)


def from_json(body: str) -> Document:
    document: Document = json.loads(body)
    return document


def _optional_text(value: str | None) -> str | None:
    return None if value is None else text(value)


def _optional_moment(value: datetime | None) -> datetime | None:
    return None if value is None else milliseconds(value)


def _moment_or_none(value: datetime | int | None) -> datetime | None:
    return None if value is None else moment(value)


# One for all: json.dumps() would make one for each document.
_encode = json.JSONEncoder(default=since_epoch, separators=(",", ":")).encode
