"""Examples for the API's documents: made from the schemas, so that none can show what the server would not send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.records import JSON, JSONObject

START = "2024-01-01T09:00:00.000Z"
END = "2024-01-01T09:05:00.000Z"
NEXT = "2024-01-02T09:00:00.000Z"

FIELDS: Mapping[str, JSON] = {
    "acceptedAt": START,
    "agentId": "agent-123",
    "agentName": "Daily posts",
    "agentType": "CONTENT",
    "agentTypes": ["FILE_INVENTORY", "SYSTEM_SURVEY"],
    "attempt": 1,
    "backoffUntil": None,
    "code": "next",
    "commands": ["backup"],
    "completedAt": END,
    "configuration": {"url": "https://agents.example.com/posts", "apiToken": "***"},
    "context": {"topic": "cron"},
    "count": 5,
    "createdAt": "2023-12-31T12:00:00.000Z",
    "cronExpression": "0 9 * * *",
    "currentStep": 2,
    "data": "Generated 5 blog posts",
    "database": "ok",
    "description": "Writes five posts a day",
    "duration": 300000,
    "error": "The endpoint answered 502 Bad Gateway",
    "errorMessage": None,
    "field": "cronExpression",
    "fires": [START, NEXT],
    "firstAt": "2024-01-01T05:00:00.000Z",
    "hasMore": False,
    "id": "agent-123",
    "isPaused": False,
    "isRunning": False,
    "jobId": "agent-123",
    "lastAt": START,
    "lastError": None,
    "lastRunAt": START,
    "level": "info",
    "limit": 20,
    "managerId": None,
    "maxConcurrentAgents": 5,
    "message": "Post 2 of 5",
    "metrics": {"posts": 5},
    "missed": 0,
    "name": "Daily posts",
    "nextRetryAt": "2024-01-01T09:05:00.950Z",
    "nextRunAt": NEXT,
    "nextRunTime": NEXT,
    "offset": 0,
    "outcome": "completed",
    "outputSummary": "Generated 5 blog posts",
    "pausedJobsCount": 1,
    "priority": 3,
    "process": "ok",
    "progress": 40,
    "projectId": "project-7",
    "queuedTasksCount": 6,
    "reason": "The server was down, or could not reach its database",
    "retryCount": 0,
    "runningAgentsCount": 1,
    "scheduleEnabled": True,
    "scheduleExpression": "0 9 * * *",
    "scheduleMissedRuns": "ONCE",
    "scheduleOverlap": "SKIP",
    "schedulePriority": "HIGH",
    "scheduleTimezone": "Europe/Berlin",
    "scheduleWords": "every day at 09:00, Europe/Berlin",
    "scheduledFor": START,
    "scheduledTasksCount": 7,
    "scheduler": "running",
    "sessionId": "session-123",
    "since": START,
    "startedAt": START,
    "status": "COMPLETED",
    "success": True,
    "timestamp": START,
    "timezone": "Europe/Berlin",
    "total": 50,
    "totalSteps": 5,
    "trigger": "cron",
    "type": "CONTENT",
    "until": NEXT,
    "updatedAt": START,
    "warnings": [],
    "willRetry": True,
    "willRunAt": NEXT,
    "words": "every day at 09:00, Europe/Berlin",
}
"""By the field's name on the wire."""

_ENDED: JSONObject = {"id": "session-123"}
_OPEN: JSONObject = _ENDED | {
    "completedAt": None,
    "success": None,
    "duration": None,
    "outputSummary": None,
    "outcome": "running",
}
IN_SCHEMA: Mapping[str, JSONObject] = {
    "Session": _ENDED,
    "SessionOrGap": _ENDED,
    "SessionDetails": _ENDED,
    "HistoryRow": _ENDED,
    "RunningSession": _OPEN,
    "NamedSession": _OPEN,
    "Health": {"status": "ok"},
    "Unhealthy": {
        "error": "The database cannot be reached.",
        "data": {"status": "failing", "process": "ok", "database": "unreachable", "scheduler": "unknown"},
    },
    "Failed": {"retryCount": 1},
    "Scheduler": {"isRunning": True},
    "Statistics": {"isRunning": True},
    "StatusEvent": {"isRunning": True},
    "SchedulerStatus": {"isRunning": True},
    "AgentsSnapshot": {"isRunning": True},
    "Reason": {"message": "Its next occurrence is due at 2024-01-02 10:00:00 (Europe/Berlin).", "at": NEXT},
    "Stop": {"status": "stopping"},
    "StopAnswer": {"message": "Agent is being stopped"},
    "DeletedAnswer": {"message": "Agent deleted successfully"},
    "UnscheduledAnswer": {"message": "Agent unscheduled successfully"},
    "PausedAnswer": {"message": "Job agent-123 paused successfully"},
    "ResumedAnswer": {"message": "Job agent-123 resumed successfully"},
    "Message": {"message": "The endpoint answered 502 Bad Gateway"},
}
"""By the name of the schema and the field's, where it differs there."""

BODIES: Mapping[str, JSONObject] = {
    "NewAgentBody": {
        "id": "agent-123",
        "name": "Daily posts",
        "agentType": "CONTENT",
        "description": "Writes five posts a day",
        "configuration": {"url": "https://agents.example.com/posts", "timeoutMs": 600000},
        "projectId": "project-7",
    },
    "AgentPatchBody": {"name": "Weekday posts", "description": None},
    "ScheduleBody": {"cronExpression": "0 9 * * *", "priority": "HIGH", "enabled": True, "timezone": "Europe/Berlin"},
    "RunBody": {"context": {"topic": "cron"}},
    "EarlierRunBody": {"agentId": "agent-123", "context": {"topic": "cron"}},
}

_CRON = (
    '"0 9 * *" has four fields: exactly five are accepted (minute, hour, day of month, month, day of week), '
    'or an interval such as "every 30 minutes".'
)
_REQUEST_ID = "5f0c7d4e9d6b4d0c8a3f2b1a0c9e8d7f"


def _failure(error: str, **more: JSON) -> JSONObject:
    return {"success": False, "error": error, **more}


FAILURES: Mapping[int, Mapping[str, JSONObject]] = {
    400: {
        "field": _failure(_CRON, errors=[{"field": "cronExpression", "message": _CRON}]),
        "body": _failure(
            "The body must be a JSON object, {...}.",
            errors=[{"field": None, "message": "The body must be a JSON object, {...}."}],
        ),
    },
    401: {
        "missing": _failure("Authentication required"),
        "invalid": _failure("Invalid or expired token"),
    },
    403: {
        "viewer": _failure(
            "The role VIEWER may only read. Ask your administrator for a token with the role USER.",
        )
    },
    404: {
        "agent": _failure("Agent not found"),
        "session": _failure("Session not found"),
        "job": _failure("Agent is not scheduled, so there is nothing to pause"),
    },
    409: {
        "running": _failure("Agent is already running: wait until it ends, or stop it first"),
        "taken": _failure("An agent with the id 'agent-123' exists already"),
        "idle": _failure("Agent is not running, so there is nothing to stop"),
    },
    413: {"large": _failure("The body is larger than the 1048576 bytes this server accepts.")},
    415: {"type": _failure("The body must be JSON; set Content-Type: application/json.")},
    429: {"limit": _failure("Over the limit of 100 requests in 900 s. Try again in 412 s.")},
    500: {
        "defect": _failure(
            f"Something went wrong on our side. If it happens again, report it with the id {_REQUEST_ID}.",
            id=_REQUEST_ID,
        )
    },
    503: {"database": _failure("The database cannot be reached. Try again in a few seconds.")},
}


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, name: str = "", field: str = "") -> JSON:
    """A value that *schema* describes; ``$ref`` is looked up in *schemas*. *name* is its name, *field* where it stands.

    Objects hold their required members; bodies are those written down above.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example(schemas[name], schemas, name=name, field=field)
    for either in ("allOf", "anyOf"):  # a nullable object is an object here
        if either in schema:
            inner = next((one for one in schema[either] if "$ref" in one), schema[either][0])
            return example(inner, schemas, name=name, field=field)
    if name in BODIES and not field:
        return BODIES[name]
    if "properties" in schema:
        return {
            key: _member(name, key, inner, schemas)
            for key, inner in schema["properties"].items()
            if key in schema.get("required", ())
        }
    return _value(schema, schemas, field)


def _member(name: str, key: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> JSON:
    own = IN_SCHEMA.get(name, {})
    if key in own:
        return own[key]
    return example(schema, schemas, field=key)


def _value(schema: Mapping[str, Any], schemas: Mapping[str, Any], field: str) -> JSON:
    choices: Sequence[JSON] = schema.get("enum", ())
    if choices and FIELDS.get(field) not in choices:
        return choices[0]
    if schema.get("type") == "array" and "$ref" in schema["items"]:
        return [example(schema["items"], schemas, field=field)]
    return FIELDS[field]
