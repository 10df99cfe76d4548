"""What events carry, described for their documentation; tests hold what is emitted against it, key by key."""

from __future__ import annotations

from handlers.answer_schemas import LogPart, Part, ProgressPart, StatisticsPart, flag, nested, number, text, when
from store.records import Priority

# The names of the fields are those of the wire.


class RunEventPart(Part):
    agentId = text()  # noqa: N815
    sessionId = text()  # noqa: N815


class NamedRunEventPart(RunEventPart):
    agentName = text()  # noqa: N815
    agentType = text()  # noqa: N815
    jobId = text(description="Equals agentId.")  # noqa: N815
    timestamp = when()


class StartedPart(NamedRunEventPart):
    priority = number(enum=[int(priority) for priority in Priority])
    status = text(enum=["started"])


class ProgressEventPart(ProgressPart):
    agentId = text()  # noqa: N815
    sessionId = text()  # noqa: N815
    jobId = text(description="Equals agentId.")  # noqa: N815
    timestamp = when()


class CompletedPart(NamedRunEventPart):
    duration = number(description="Milliseconds from start to end.")
    status = text(enum=["completed"])


class FailedPart(NamedRunEventPart):
    error = text()
    retryCount = number(description="Consecutive failures, this one included.")  # noqa: N815
    willRetry = flag()  # noqa: N815
    nextRetryAt = when(null=True)  # noqa: N815
    status = text(enum=["failed"])


class LostPart(Part):
    agentId = text()  # noqa: N815
    agentName = text()  # noqa: N815
    count = number(description="Occurrences that did not run.")
    firstAt = when()  # noqa: N815
    lastAt = when()  # noqa: N815
    reason = text()
    timestamp = when()


class PausedEventPart(Part):
    agentId = text()  # noqa: N815
    jobId = text(description="Equals agentId.")  # noqa: N815
    status = text(enum=["paused"])
    timestamp = when()


class ResumedEventPart(PausedEventPart):
    status = text(enum=["resumed"])


class LogEventPart(RunEventPart):
    log = nested(LogPart)


class StatusEventPart(StatisticsPart):
    stats = nested(StatisticsPart)
    timestamp = when()
