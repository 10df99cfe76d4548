"""Why an agent does not run, or did not, and when it will: in words, from its record and its latest gap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.events import Statistics
from store.records import Agent, Gap, Outcome, Trigger


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing to know: *code* for programs, *message* for people, *at* the moment it speaks of, if one."""

    code: str
    message: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """*reasons* begin with the one that decides at present; ``will_run_at`` is None when nothing is due ever."""

    reasons: tuple[Reason, ...]
    will_run_at: datetime | None


def explain(agent: Agent, *, now: datetime, statistics: Statistics, gap: Gap | None = None) -> Explanation:
    """Explain where *agent* stands at *now*; *gap* is the latest time that occurrences of it did not run.

    Times in the words are local to the schedule's zone (UTC without a schedule).
    """
    present = [] if statistics.is_running else [_SCHEDULER_STOPPED]
    present += _running(agent, now) if agent.is_running else _standing(agent, now, statistics)
    return Explanation((*present, *_behind(agent, gap)), _will_run_at(agent))


_SCHEDULER_STOPPED = Reason(
    "scheduler-stopped", "The scheduler of this server is not running: nothing starts here until it does."
)


def _will_run_at(agent: Agent) -> datetime | None:
    """When it starts next if nothing stands in the way; while it runs, its next occurrence."""
    if agent.is_paused:
        return None
    owed = [agent.next_run_at] if agent.is_scheduled else []
    if agent.pending is not None:
        owed.append(agent.pending.due_at)
    return min((moment for moment in owed if moment is not None), default=None)


def _running(agent: Agent, now: datetime) -> list[Reason]:
    assert agent.lease is not None
    if agent.lease.until <= now:
        since = _local(agent, agent.lease.until)
        words = f"The server that ran it has not been heard of since {since}; it is being taken up again."
        return [Reason("lease-expired", words, agent.lease.until)]
    if agent.session_id is None:
        return [Reason("starting", "It was just claimed, and is about to start.")]
    if agent.stop_requested is not None:
        return [Reason("stopping", "It is running, was asked to stop, and has not ended yet.", agent.last_run_at)]
    since = f" since {_local(agent, agent.last_run_at)}" if agent.last_run_at else ""
    return [Reason("running", f"It is running{since}.", agent.last_run_at), *_next(agent, now)]


def _standing(agent: Agent, now: datetime, statistics: Statistics) -> list[Reason]:
    if agent.is_paused:
        return [Reason("paused", "It is paused: nothing fires until it is resumed.")]
    if agent.due_at is not None and agent.due_at <= now:
        return [_waiting(agent, agent.due_at, statistics)]
    reasons = []
    if agent.pending is not None:
        reasons.append(_owed(agent))
    if agent.schedule is None:
        reasons.append(Reason("no-schedule", "It has no schedule: it runs only when it is run by hand."))
    elif not agent.schedule.enabled:
        reasons.append(Reason("disabled", "Its schedule is disabled: it runs only when it is run by hand."))
    return reasons + _next(agent, now)


def _waiting(agent: Agent, since: datetime, statistics: Statistics) -> Reason:
    if not statistics.is_running:
        return Reason("due", f"It has been due since {_local(agent, since)}.", since)
    if statistics.running >= statistics.max_concurrent:
        words = (
            f"It has been due since {_local(agent, since)} and waits for a free slot: {statistics.running} runs are in "
            f"progress, {statistics.max_concurrent} at a time are allowed here. Those of higher priority go first."
        )
        return Reason("waiting-for-slot", words, since)
    return Reason("due", f"It is due since {_local(agent, since)} and starts at any moment.", since)


def _owed(agent: Agent) -> Reason:
    pending = agent.pending
    assert pending is not None
    at = _local(agent, pending.due_at)
    if pending.trigger is Trigger.RETRY and agent.retry_count:
        failures = "Its last run failed" if agent.retry_count == 1 else f"Its last {agent.retry_count} runs failed"
        return Reason("backoff", f"{failures}. Attempt {pending.attempt} starts at {at}.", pending.due_at)
    return Reason("owed", f"A run is owed and starts at {at}.", pending.due_at)


def _next(agent: Agent, now: datetime) -> list[Reason]:
    if not agent.is_scheduled or agent.next_run_at is None or agent.next_run_at <= now:
        return []
    words = f"Its next occurrence is due at {_local(agent, agent.next_run_at)}."
    return [Reason("next", words, agent.next_run_at)]


def _behind(agent: Agent, gap: Gap | None) -> list[Reason]:
    """What lies behind it: a failure that nothing retries, and occurrences that did not run."""
    reasons = []
    is_retried = agent.pending is not None and agent.pending.trigger is Trigger.RETRY
    if agent.last_error and not is_retried and not agent.is_running:
        reasons.append(Reason("failed", f"Its last run failed: {agent.last_error}", agent.last_run_at))
    if gap is not None:
        reasons.append(_lost(agent, gap))
    return reasons


def _lost(agent: Agent, gap: Gap) -> Reason:
    code = "missed" if gap.outcome is Outcome.MISSED else "skipped"
    first, last = _local(agent, gap.first_at), _local(agent, gap.last_at)
    which = f"The occurrence of {first}" if gap.count == 1 else f"{gap.count} occurrences from {first} to {last}"
    return Reason(code, f"{which} did not run. {gap.reason.rstrip('.')}.", gap.last_at)


def _local(agent: Agent, moment: datetime) -> str:
    """As ``2024-01-01 09:00:00 (Europe/Berlin)``."""
    zone = agent.schedule.timezone if agent.schedule else "UTC"
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} ({zone})"
