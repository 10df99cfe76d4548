"""Records as the JSON that clients see; REST and Socket.IO share these functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from scheduler.events import Statistics
from scheduler.masking import masked
from store.records import Agent, Gap, JSONObject, LogEntry, Progress, Session, Trigger


def time_json(moment: datetime | None) -> str | None:
    """UTC with milliseconds and ``Z``: ``2024-01-01T09:00:00.000Z``."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent_json(agent: Agent) -> JSONObject:
    """The whole agent, secrets in its configuration masked."""
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "agentType": agent.agent_type,
        "configuration": masked(agent.configuration),
        "status": agent.status.value,
        "projectId": agent.project_id or None,  # a cleared one is kept as an empty text
        "managerId": agent.manager_id or None,
        "scheduleExpression": agent.schedule.expression if agent.schedule else None,
        "scheduleEnabled": agent.is_scheduled,
        "scheduleTimezone": agent.schedule.timezone if agent.schedule else None,
        "schedulePriority": agent.priority.name,
        "isPaused": agent.is_paused,
        "nextRunAt": _next_run(agent),
        "lastRunAt": time_json(agent.last_run_at),
        "createdAt": time_json(agent.created_at),
        "updatedAt": time_json(agent.updated_at),
    }


def schedule_json(agent: Agent) -> JSONObject:
    """What saving a schedule answers. Without a schedule the expression and ``nextRunAt`` are null."""
    return {
        "id": agent.id,
        "name": agent.name,
        "scheduleExpression": agent.schedule.expression if agent.schedule else None,
        "scheduleEnabled": agent.is_scheduled,
        "nextRunAt": _next_run(agent),
        "schedulePriority": agent.priority.name,
        "scheduleTimezone": agent.schedule.timezone if agent.schedule else None,
    }


def schedule_details_json(agent: Agent) -> JSONObject:
    """What reading a schedule answers: all that was saved, and where the agent stands."""
    return schedule_json(agent) | {
        "scheduleOverlap": agent.schedule.overlap.value if agent.schedule else None,
        "scheduleMissedRuns": agent.schedule.missed_runs.value if agent.schedule else None,
        "lastRunAt": time_json(agent.last_run_at),
        "status": agent.status.value,
        "taskDetails": task_details_json(agent),
    }


def task_details_json(agent: Agent) -> JSONObject | None:
    """The agent as the scheduler sees it; None when nothing is scheduled."""
    return task_json(agent) if agent.is_scheduled else None


def task_json(agent: Agent) -> JSONObject:
    """The same of any agent: one without a schedule may run too."""
    is_retry = agent.pending is not None and agent.pending.trigger is Trigger.RETRY
    return {
        "agentId": agent.id,
        "agentName": agent.name,
        "priority": int(agent.priority),
        "nextRunTime": _next_run(agent),
        "retryCount": agent.retry_count,
        "lastError": agent.last_error,
        "backoffUntil": time_json(agent.pending.due_at) if agent.pending and is_retry else None,
        "isRunning": agent.is_running,
        "isPaused": agent.is_paused,
        "jobId": agent.id,
    }


def session_json(row: Session | Gap) -> JSONObject:
    """One row of the history: a session, or a gap in the same columns with what it stands for beside them."""
    if isinstance(row, Gap):
        return _gap_json(row)
    return {
        "id": row.id,
        "startedAt": time_json(row.started_at),
        "completedAt": time_json(row.completed_at),
        "success": row.success,
        "duration": row.duration_ms,
        "outputSummary": row.output_summary,
        "errorMessage": row.error_message,
        "outcome": row.outcome.value,
    }


def session_details_json(session: Session, logs: Iterable[LogEntry] = ()) -> JSONObject:
    """One session whole. What the caller of *run now* handed over stands under ``context.input``, masked."""
    context: JSONObject = {
        "priority": int(session.priority),
        "trigger": session.trigger.value,
        "scheduledFor": time_json(session.scheduled_for),
        "attempt": session.attempt,
        "missed": session.missed,
    }
    if session.context:
        context["input"] = masked(session.context)
    return session_json(session) | {
        "context": context,
        "metrics": session.metrics,
        "progress": progress_json(session.progress),
        "logs": [log_json(entry) for entry in logs],
    }


def progress_json(progress: Progress | None) -> JSONObject | None:
    """How far a run is, in the words of ``agent:progress``; whole percents are integers."""
    if progress is None:
        return None
    percent = progress.percent
    return {
        "progress": int(percent) if percent == int(percent) else percent,
        "message": progress.message,
        "currentStep": progress.step,
        "totalSteps": progress.of,
    }


def log_json(entry: LogEntry) -> JSONObject:
    return {"timestamp": time_json(entry.timestamp), "level": entry.level, "message": entry.message}


def statistics_json(statistics: Statistics) -> JSONObject:
    """The scheduler in numbers, without its tasks."""
    return {
        "isRunning": statistics.is_running,
        "scheduledTasksCount": statistics.scheduled,
        "runningAgentsCount": statistics.running,
        "queuedTasksCount": statistics.queued,
        "maxConcurrentAgents": statistics.max_concurrent,
        "pausedJobsCount": statistics.paused,
    }


def pagination_json(total: int, limit: int, offset: int) -> JSONObject:
    return {"total": total, "limit": limit, "offset": offset}


def _next_run(agent: Agent) -> str | None:
    return time_json(agent.next_run_at) if agent.is_scheduled else None


def _gap_json(gap: Gap) -> JSONObject:
    return {
        "id": gap.id,
        "startedAt": None,
        "completedAt": None,
        "success": None,
        "duration": None,
        "outputSummary": None,
        "errorMessage": None,
        "outcome": gap.outcome.value,
        "count": gap.count,
        "firstAt": time_json(gap.first_at),
        "lastAt": time_json(gap.last_at),
        "reason": gap.reason,
    }
