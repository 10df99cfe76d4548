"""The occurrences of an agent's grid that have come, and what becomes of those that do not run; pure.

"Fallen" occurrences are those between the agent's ``next_run_at`` and now. Those before ``up_since`` were *missed*: no
scheduler was up. The others are late, and *skipped* where they do not run.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeGuard

from scheduler.cron import Span, Timetable, timetable
from store.records import Agent, Gap, Outcome, Pending, Schedule, Trigger

MILLISECOND = timedelta(milliseconds=1)
GAPS = uuid.UUID("5c1d0b5e-6f0e-4e0c-9a57-3c1f6f0f7a11")
"""The namespace that gaps' ids are derived in."""

WHILE_DOWN = "The server was down, or could not reach its database"
WHILE_RUNNING = "The agent was still running"
WHILE_BUSY = "All slots were busy until a newer occurrence fell due"
WHILE_PAUSED = "The agent was paused"
WHEN_STOPPED = "The agent was stopped while this occurrence waited for it"
WHEN_RUN_BY_HAND = "A run was asked for by hand while this occurrence waited"
WHEN_RESCHEDULED = "The schedule was changed before this occurrence ran"


def grid(schedule: Schedule) -> Timetable:
    """The occurrences of *schedule*."""
    return timetable(schedule.expression, schedule.timezone, anchor=schedule.anchor)


def occurrence_key(moment: datetime) -> str:
    """What names an occurrence of the grid in the store's unique key."""
    return f"cron:{moment.isoformat(timespec='milliseconds')}"


@dataclass(frozen=True, slots=True)
class Fallen:
    """Occurrences that have come: all of them, whether one is late rather than missed, and where the grid goes on."""

    all: Span
    late: bool
    up_since: datetime
    following: datetime


def fallen_since(agent: Agent, now: datetime, up_since: datetime) -> Fallen | None:
    """The occurrences of *agent* that have come up to *now*; None when there are none."""
    if agent.schedule is None or not agent.is_scheduled or agent.next_run_at is None or agent.next_run_at > now:
        return None
    times = grid(agent.schedule)
    span = times.span(agent.next_run_at, now)
    if span is None:  # next_run_at is not on the grid: cannot be, but must not stop the loop for ever
        span = Span(1, agent.next_run_at, agent.next_run_at)
    return Fallen(span, span.last >= up_since, up_since, times.next_after(now))


def gaps_in(
    agent: Agent, fallen: Fallen, *, until: datetime, late: str = WHILE_BUSY, queued: bool = False
) -> tuple[Gap, ...]:
    """What of *fallen* up to *until* did not run: what was missed in one gap, what *late* explains in another."""
    assert agent.schedule is not None
    times = grid(agent.schedule)
    first = fallen.all.first
    missed = _span(times, first, min(until, fallen.up_since - MILLISECOND))
    skipped = _span(times, max(first, fallen.up_since), until)
    found = ((missed, Outcome.MISSED, WHILE_DOWN), (skipped, Outcome.SKIPPED, late))
    return tuple(gap_of(agent, outcome, span, reason, queued=queued) for span, outcome, reason in found if span)


def _span(times: Timetable, first: datetime, last: datetime) -> Span | None:
    return times.span(first, last) if first <= last else None


def gap_of(agent: Agent, outcome: Outcome, span: Span, reason: str, *, queued: bool = False) -> Gap:
    # Everything skipped during one session is one gap, however many turns of the loop saw it grow. The id follows from
    # what the gap is, so that an edit that is run again writes the same row. What gave way in the queue is a gap of its
    # own: it may be older than what was skipped outright, and a gap grows in the order of its moments.
    of = f"{agent.id} {span.first}"
    if agent.session_id and outcome is Outcome.SKIPPED:
        of = f"queue {agent.session_id}" if queued else agent.session_id
    gap_id = str(uuid.uuid5(GAPS, f"{outcome} {of}"))
    return Gap(gap_id, agent.id, outcome, span.count, span.first, span.last, reason)


def newest_run(agent: Agent, newest: datetime, gaps: tuple[Gap, ...], now: datetime) -> Pending:
    """The run of the occurrence at *newest*, which stands for those in *gaps* and for what a queued run stood for."""
    missed = sum(gap.count for gap in gaps) + (agent.pending.missed if is_queued(agent.pending) else 0)
    return Pending(now, Trigger.CRON, occurrence_key(newest), newest, missed=missed)


def is_queued(pending: Pending | None) -> TypeGuard[Pending]:
    """Whether *pending* is an occurrence of the grid that has had no session yet."""
    return pending is not None and pending.trigger is Trigger.CRON


def superseded(agent: Agent, reason: str) -> tuple[Gap, ...]:
    """The gap that the queued run leaves when it is not to come any more."""
    if not is_queued(agent.pending):
        return ()
    moment = agent.pending.scheduled_for
    return (gap_of(agent, Outcome.SKIPPED, Span(1, moment, moment), reason, queued=True),)
