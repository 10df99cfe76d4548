"""What clients get, described for the API's documentation; tests hold real answers against it, key by key."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields

from store.records import AgentStatus, MissedRuns, Outcome, Overlap, Priority, Trigger

TIME = "2024-01-01T09:00:00.000Z"


class Part(Schema):
    """A JSON object with these keys, all of them, and no others."""

    class Meta:
        unknown = RAISE


def text(*, null: bool = False, **metadata: Any) -> fields.String:
    return fields.String(required=True, allow_none=null, metadata=metadata)


def when(*, null: bool = False) -> fields.String:
    return text(null=null, format="date-time", example=TIME)


def number(*, null: bool = False, **metadata: Any) -> fields.Integer:
    return fields.Integer(required=True, allow_none=null, metadata=metadata)


def flag(*, null: bool = False) -> fields.Boolean:
    return fields.Boolean(required=True, allow_none=null)


def anything() -> fields.Field:
    return fields.Raw(required=True, metadata={"type": "object", "additionalProperties": True})


def nested(schema: type[Schema], *, null: bool = False, required: bool = True) -> fields.Nested:
    return fields.Nested(schema, required=required, allow_none=null)


def many(schema: type[Schema]) -> fields.List:
    return fields.List(fields.Nested(schema), required=True)


def success(name: str, data: fields.Field | None = None, **beside: fields.Field) -> Schema:
    """The envelope of an answer, called *name* in the documentation."""
    members: dict[str, fields.Field] = {"success": fields.Boolean(required=True, metadata={"enum": [True]})}
    if data is not None:
        members["data"] = data
    envelope: type[Part] = type(name, (Part,), members | beside)
    return envelope()


class AgentPart(Part):
    id = text()
    name = text()
    description = text()
    agentType = text()  # noqa: N815 - the wire's names
    configuration = anything()
    status = text(enum=[status.value for status in AgentStatus])
    projectId = text(null=True)  # noqa: N815
    managerId = text(null=True)  # noqa: N815
    scheduleExpression = text(null=True)  # noqa: N815
    scheduleEnabled = flag()  # noqa: N815
    scheduleTimezone = text(null=True)  # noqa: N815
    schedulePriority = text(enum=[priority.name for priority in Priority])  # noqa: N815
    isPaused = flag()  # noqa: N815
    nextRunAt = when(null=True)  # noqa: N815
    lastRunAt = when(null=True)  # noqa: N815
    createdAt = when()  # noqa: N815
    updatedAt = when()  # noqa: N815


class EarlierAgentPart(AgentPart):
    type = text(description="The agentType, as earlier clients read it.")


class PaginationPart(Part):
    total = number()
    limit = number()
    offset = number()


class SchedulePart(Part):
    id = text()
    name = text()
    scheduleExpression = text(null=True)  # noqa: N815
    scheduleEnabled = flag()  # noqa: N815
    nextRunAt = when(null=True)  # noqa: N815
    schedulePriority = text(enum=[priority.name for priority in Priority])  # noqa: N815
    scheduleTimezone = text(null=True)  # noqa: N815


class TaskDetailsPart(Part):
    agentId = text()  # noqa: N815
    agentName = text()  # noqa: N815
    priority = number(enum=[int(priority) for priority in Priority])
    nextRunTime = when(null=True)  # noqa: N815
    retryCount = number()  # noqa: N815
    lastError = text(null=True)  # noqa: N815
    backoffUntil = when(null=True)  # noqa: N815
    isRunning = flag()  # noqa: N815
    isPaused = flag()  # noqa: N815
    jobId = text()  # noqa: N815


class ScheduleDetailsPart(SchedulePart):
    scheduleOverlap = text(null=True, enum=[*(overlap.value for overlap in Overlap), None])  # noqa: N815
    scheduleMissedRuns = text(null=True, enum=[*(missed.value for missed in MissedRuns), None])  # noqa: N815
    lastRunAt = when(null=True)  # noqa: N815
    status = text(enum=[status.value for status in AgentStatus])
    taskDetails = nested(TaskDetailsPart, null=True)  # noqa: N815


class JobPart(Part):
    agentId = text()  # noqa: N815
    jobId = text()  # noqa: N815


class PausedPart(JobPart):
    status = text(enum=["paused"])


class ResumedPart(JobPart):
    status = text(enum=["resumed"])
    nextRunAt = when(null=True)  # noqa: N815


class RunPart(JobPart):
    sessionId = text()  # noqa: N815
    status = text(enum=["queued"])
    acceptedAt = when()  # noqa: N815


class StopPart(JobPart):
    sessionId = text(null=True)  # noqa: N815
    status = text(enum=["stopped", "stopping"])


class SessionPart(Part):
    id = text()
    startedAt = when(null=True)  # noqa: N815
    completedAt = when(null=True)  # noqa: N815
    success = flag(null=True)
    duration = number(null=True, description="Milliseconds.")
    outputSummary = text(null=True)  # noqa: N815
    errorMessage = text(null=True)  # noqa: N815
    outcome = text(enum=[outcome.value for outcome in Outcome])


class SessionOrGapPart(SessionPart):
    """The last four stand in rows of occurrences that did not run, and in no others."""

    count = fields.Integer()
    firstAt = fields.String(metadata={"format": "date-time"})  # noqa: N815
    lastAt = fields.String(metadata={"format": "date-time"})  # noqa: N815
    reason = fields.String()


class SessionsPart(Part):
    sessions = many(SessionOrGapPart)
    pagination = nested(PaginationPart)


class ContextPart(Part):
    priority = number()
    trigger = text(enum=[trigger.value for trigger in Trigger])
    scheduledFor = when()  # noqa: N815
    attempt = number()
    missed = number()
    input = fields.Raw(metadata={"type": "object", "description": "What the caller of run now handed over."})


class ProgressPart(Part):
    progress = fields.Float(required=True)
    message = text()
    currentStep = number(null=True)  # noqa: N815
    totalSteps = number(null=True)  # noqa: N815


class LogPart(Part):
    timestamp = when()
    level = text()
    message = text()


class SessionDetailsPart(SessionPart):
    context = nested(ContextPart)  # type: ignore[assignment]  # marshmallow moves fields off the class
    metrics = anything()
    progress = nested(ProgressPart, null=True)
    logs = many(LogPart)


class StatisticsPart(Part):
    isRunning = flag()  # noqa: N815
    scheduledTasksCount = number()  # noqa: N815
    runningAgentsCount = number()  # noqa: N815
    queuedTasksCount = number()  # noqa: N815
    maxConcurrentAgents = number()  # noqa: N815
    pausedJobsCount = number()  # noqa: N815


class SchedulerStatusPart(StatisticsPart):
    tasks = many(TaskDetailsPart)
    pagination = nested(PaginationPart)


class HealthPart(Part):
    status = text(enum=["ok", "failing"])
    process = text(enum=["ok"])
    database = text(enum=["ok", "unreachable"])
    scheduler = text(enum=["running", "stopped", "failed", "unknown"])


class UnhealthyPart(Part):
    success = fields.Boolean(required=True, metadata={"enum": [False]})
    error = text(description="What is wrong.")
    data = nested(HealthPart)


class DeletedPart(Part):
    id = text()


class FieldErrorPart(Part):
    field = text(null=True)
    message = text()


class FailurePart(Part):
    """``errors`` stand in a 400, ``id`` in a 500."""

    success = fields.Boolean(required=True, metadata={"enum": [False]})
    error = text(description="One sentence a person can act on.")
    errors = fields.List(fields.Nested(FieldErrorPart))
    id = fields.String(metadata={"description": "Also in the server's log."})
