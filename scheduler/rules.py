"""The rules of a run's life, pure: from an agent as it stands (and the time) to what shall be written.

Every function here is an edit for ``Store.change_agent``: it reads no clock, keeps nothing, and may be called twice.
"Fallen" occurrences are those of the grid between the agent's ``next_run_at`` and now. Those before ``up_since`` were
*missed*: no scheduler was up. The others are late, and *skipped* where they do not run.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from scheduler.cron import Span, Timetable, timetable
from scheduler.settings import SchedulerSettings
from store.errors import Conflict, Invalid, LeaseLost, NotFound
from store.records import (
    Agent,
    AgentStatus,
    Change,
    Gap,
    JSONObject,
    MissedRuns,
    Outcome,
    Overlap,
    Pending,
    Priority,
    Schedule,
    Session,
    SessionEnd,
    Trigger,
    milliseconds,
)

MILLISECOND = timedelta(milliseconds=1)
GAPS = uuid.UUID("5c1d0b5e-6f0e-4e0c-9a57-3c1f6f0f7a11")
"""The namespace that gaps' ids are derived in."""

INTERRUPTED = "Interrupted: the server running it stopped"
HANDED_BACK = "Handed back: the server running it was shutting down"
OUT_OF_REACH = "Handed back: the server running it lost touch with the database"
STOPPED = "Agent execution manually stopped"
REPLACED = "Replaced: its next occurrence fell due while it ran"

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


# Starting


def start(agent: Agent, *, lease_id: str, session_id: str, now: datetime, up_since: datetime) -> Change:
    """Decide which run a claimed agent makes, and start it; ``Change.start`` is None when there is none to make.

    A run asked for by hand comes first, also its retry; else the newest fallen occurrence, which stands for those
    before it, for a retry that waited and for a queued run; else the retry or the queued run.
    """
    _check_lease(agent, lease_id)
    plan = _plan(agent, now, up_since)
    if plan.run is None:
        return Change(replace(agent, lease=None, next_run_at=plan.next_run_at, pending=plan.left), gaps=plan.gaps)
    session = _session(agent, plan.run, lease_id, plan.run.session_id or session_id, now)
    started = replace(
        agent,
        status=AgentStatus.RUNNING,
        session_id=session.id,
        last_run_at=now,
        next_run_at=plan.next_run_at,
        pending=None,
        stop_requested=None,
    )
    return Change(started, start=session, gaps=plan.gaps)


def start_refused(agent: Agent, *, lease_id: str, now: datetime, up_since: datetime) -> Change:
    """Go on after the store refused a session because this attempt has had one: the occurrence counts as run."""
    _check_lease(agent, lease_id)
    plan = _plan(agent, now, up_since)
    return Change(replace(agent, lease=None, next_run_at=plan.next_run_at, pending=plan.left), gaps=plan.gaps)


@dataclass(frozen=True, slots=True)
class _Plan:
    run: Pending | None
    next_run_at: datetime | None
    left: Pending | None = None
    gaps: tuple[Gap, ...] = ()


def _plan(agent: Agent, now: datetime, up_since: datetime) -> _Plan:
    waiting = agent.pending
    ready = waiting if waiting is not None and waiting.due_at <= now else None
    if ready is not None and is_by_hand(ready):
        return _Plan(ready, agent.next_run_at)
    fallen = _fallen(agent, now, up_since)
    if fallen is None:
        return _Plan(ready, agent.next_run_at, left=None if ready else waiting)
    if not fallen.late and agent.schedule and agent.schedule.missed_runs is MissedRuns.SKIP:
        gaps = _gaps(agent, fallen, until=now)
        return _Plan(ready, fallen.following, left=None if ready else waiting, gaps=gaps)
    newest = fallen.all.last
    gaps = _superseded(agent, WHILE_BUSY) + _gaps(agent, fallen, until=newest - MILLISECOND)
    return _Plan(_newest(agent, newest, gaps, now), fallen.following, gaps=gaps)


def _newest(agent: Agent, newest: datetime, gaps: tuple[Gap, ...], now: datetime) -> Pending:
    """The run of the occurrence at *newest*, which stands for those in *gaps* and for what a queued run stood for."""
    missed = sum(gap.count for gap in gaps) + (agent.pending.missed if _is_queued(agent.pending) else 0)
    return Pending(now, Trigger.CRON, occurrence_key(newest), newest, missed=missed)


def _is_queued(pending: Pending | None) -> TypeGuard[Pending]:
    """Whether *pending* is an occurrence of the grid that has had no session yet."""
    return pending is not None and pending.trigger is Trigger.CRON


def _superseded(agent: Agent, reason: str) -> tuple[Gap, ...]:
    """The gap that the queued run leaves when it is not to come any more."""
    if not _is_queued(agent.pending):
        return ()
    moment = agent.pending.scheduled_for
    return (_gap(agent, Outcome.SKIPPED, Span(1, moment, moment), reason, queued=True),)


@dataclass(frozen=True, slots=True)
class _Fallen:
    """Occurrences that have come: all of them, whether one is late rather than missed, and where the grid goes on."""

    all: Span
    late: bool
    up_since: datetime
    following: datetime


def _fallen(agent: Agent, now: datetime, up_since: datetime) -> _Fallen | None:
    if agent.schedule is None or not agent.is_scheduled or agent.next_run_at is None or agent.next_run_at > now:
        return None
    times = grid(agent.schedule)
    span = times.span(agent.next_run_at, now)
    if span is None:  # next_run_at is not on the grid: cannot be, but must not stop the loop for ever
        span = Span(1, agent.next_run_at, agent.next_run_at)
    return _Fallen(span, span.last >= up_since, up_since, times.next_after(now))


def _gaps(
    agent: Agent, fallen: _Fallen, *, until: datetime, late: str = WHILE_BUSY, queued: bool = False
) -> tuple[Gap, ...]:
    """What of *fallen* up to *until* did not run: what was missed in one gap, what *late* explains in another."""
    assert agent.schedule is not None
    times = grid(agent.schedule)
    first = fallen.all.first
    missed = _span(times, first, min(until, fallen.up_since - MILLISECOND))
    skipped = _span(times, max(first, fallen.up_since), until)
    found = ((missed, Outcome.MISSED, WHILE_DOWN), (skipped, Outcome.SKIPPED, late))
    return tuple(_gap(agent, outcome, span, reason, queued=queued) for span, outcome, reason in found if span)


def _span(times: Timetable, first: datetime, last: datetime) -> Span | None:
    return times.span(first, last) if first <= last else None


def _gap(agent: Agent, outcome: Outcome, span: Span, reason: str, *, queued: bool = False) -> Gap:
    # Everything skipped during one session is one gap, however many turns of the loop saw it grow. The id follows from
    # what the gap is, so that an edit that is run again writes the same row. What gave way in the queue is a gap of its
    # own: it may be older than what was skipped outright, and a gap grows in the order of its moments.
    of = f"{agent.id} {span.first}"
    if agent.session_id and outcome is Outcome.SKIPPED:
        of = f"queue {agent.session_id}" if queued else agent.session_id
    gap_id = str(uuid.uuid5(GAPS, f"{outcome} {of}"))
    return Gap(gap_id, agent.id, outcome, span.count, span.first, span.last, reason)


def _session(agent: Agent, run: Pending, lease_id: str, session_id: str, now: datetime) -> Session:
    return Session(
        id=session_id,
        agent_id=agent.id,
        occurrence=run.occurrence,
        attempt=run.attempt,
        trigger=run.trigger,
        scheduled_for=run.scheduled_for,
        started_at=now,
        lease_id=lease_id,
        priority=agent.priority,
        missed=run.missed,
        context=run.context,
    )


# While it runs


def overlap(agent: Agent, *, now: datetime, up_since: datetime) -> Change:
    """Let the overlap policy deal with the occurrences that fell due while the agent runs."""
    fallen = _fallen(agent, now, up_since)
    if fallen is None or agent.session_id is None or agent.schedule is None:
        return Change(agent)
    policy = agent.schedule.overlap
    if not fallen.late:  # owed since before this server was up: the missed-run policy decides
        policy = Overlap.QUEUE if agent.schedule.missed_runs is MissedRuns.ONCE else Overlap.SKIP
    moved = replace(agent, next_run_at=fallen.following)
    if policy is Overlap.SKIP:
        return Change(moved, gaps=_gaps(agent, fallen, until=now, late=WHILE_RUNNING))
    newest = fallen.all.last
    gaps = _superseded(agent, WHILE_RUNNING)
    gaps += _gaps(agent, fallen, until=newest - MILLISECOND, late=WHILE_RUNNING, queued=True)
    moved = replace(moved, pending=_newest(agent, newest, gaps, now))
    if policy is Overlap.REPLACE:
        moved = replace(moved, stop_requested=agent.stop_requested or REPLACED)
    return Change(moved, gaps=gaps)


def request_stop(agent: Agent) -> Change:
    """Ask for the running session to be stopped; whichever process runs it will see it. ``Conflict`` if none runs."""
    if agent.lease is None or agent.session_id is None:
        raise Conflict("Agent is not running, so there is nothing to stop")
    return Change(replace(agent, stop_requested=STOPPED))


# Ending


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, as its executor saw it."""

    outcome: Outcome
    error: str | None = None
    summary: str | None = None
    metrics: JSONObject | None = None


def as_asked(agent: Agent, ending: Ending) -> Ending:
    """How the run ended, given what *agent* was asked: one that was to be stopped was stopped, however it broke off.

    So neither a failure nor a hand-back that came first undoes a stop that somebody was promised.
    """
    if agent.stop_requested is None or ending.outcome is Outcome.COMPLETED:
        return ending
    return replace(ending, outcome=Outcome.STOPPED, error=agent.stop_requested)


def end(
    agent: Agent, session: Session, ending: Ending, *, now: datetime, settings: SchedulerSettings, jitter: float
) -> Change:
    """End *session* and let the agent go on: to its grid, a retry, or a queued run. Only the lease's owner may.

    *jitter*, 0..1, says how much of the 10 % is taken off the backoff. ``Change.end`` tells the ending that was
    written: ``as_asked``.
    """
    _check_lease(agent, session.lease_id)
    ending = as_asked(agent, ending)
    finished = SessionEnd(session.id, ending.outcome, now, ending.summary, ending.error, ending.metrics or {})
    freed = replace(agent, lease=None, session_id=None, stop_requested=None)
    change = _after(freed, agent, session, ending, now, settings, jitter)
    return replace(change, end=finished)


def _after(
    freed: Agent,
    agent: Agent,
    session: Session,
    ending: Ending,
    now: datetime,
    settings: SchedulerSettings,
    jitter: float,
) -> Change:
    match ending.outcome:
        case Outcome.COMPLETED:
            return Change(replace(freed, status=AgentStatus.COMPLETED, retry_count=0, last_error=None))
        case Outcome.STOPPED if ending.error == REPLACED:
            return Change(replace(freed, status=AgentStatus.IDLE))
        case Outcome.STOPPED:
            gaps = _superseded(agent, WHEN_STOPPED)
            return Change(replace(freed, status=AgentStatus.IDLE, pending=None), gaps=gaps)
        case Outcome.INTERRUPTED if _is_handed_back(ending):  # nobody's failure: it runs again at once
            back = agent.pending or _again(session, now)
            return Change(replace(freed, status=AgentStatus.IDLE, pending=back))
    return Change(_failed(freed, session, ending.error, now, settings, jitter))


def _failed(
    freed: Agent, session: Session, error: str | None, now: datetime, settings: SchedulerSettings, jitter: float
) -> Agent:
    count = freed.retry_count + 1
    failed = replace(freed, status=AgentStatus.ERROR, retry_count=count, last_error=error)
    if count > settings.max_retries:
        return replace(failed, retry_count=0)
    if freed.pending is not None:  # a newer occurrence is queued: it comes instead of a retry
        return failed
    if not (freed.is_scheduled or is_by_hand(session)):  # unscheduled meanwhile: nothing is owed any more
        return replace(failed, retry_count=0)
    return replace(failed, pending=_again(session, milliseconds(now + backoff(count, settings, jitter))))


def failures_after(agent: Agent, ending: Ending) -> int:
    """How many failures in a row there have been when a run of *agent* ends so: a stop or a hand-back is none."""
    if ending.outcome is Outcome.COMPLETED:
        return 0
    blameless = ending.outcome is Outcome.STOPPED or _is_handed_back(ending)
    return agent.retry_count + (0 if blameless else 1)


def _is_handed_back(ending: Ending) -> bool:
    return ending.outcome is Outcome.INTERRUPTED and ending.error != INTERRUPTED


def _again(session: Session, due_at: datetime) -> Pending:
    return Pending(
        due_at,
        Trigger.RETRY,
        session.occurrence,
        session.scheduled_for,
        attempt=session.attempt + 1,
        context=session.context,
        missed=session.missed,
    )


def is_by_hand(run: Session | Pending) -> bool:
    """Whether the run, or the one it is a retry of, was asked for by hand."""
    return run.occurrence.startswith("manual:")


def backoff(failures: int, settings: SchedulerSettings, jitter: float) -> timedelta:
    """How long to wait after so many failures in a row: doubling, bounded, with up to 10 % taken off."""
    doubled: timedelta = settings.backoff_base * 2 ** min(failures - 1, 20)
    return min(doubled, settings.backoff_max) * (1 - 0.1 * jitter)


def recover(
    agent: Agent,
    session: Session | None,
    *,
    lease_id: str,
    now: datetime,
    settings: SchedulerSettings,
    jitter: float,
) -> Change:
    """Take up an agent whose lease ran out. *session* is the one started under that lease, None if there is none.

    An open session ends as interrupted and the agent goes the way of a failure (of a stop, where one was asked for).
    A session that has ended already is settled as it ended: its server died between the two writes.
    """
    _check_lease(agent, lease_id)
    if agent.lease is not None and agent.lease.until > now:
        raise LeaseLost("The lease has been renewed meanwhile")
    if session is None:
        status = AgentStatus.IDLE if agent.status is AgentStatus.RUNNING else agent.status
        return Change(replace(agent, lease=None, session_id=None, stop_requested=None, status=status))
    agent = _as_started(agent, session)
    ending = recovered_ending(agent, session)
    change = end(agent, session, ending, now=now, settings=settings, jitter=jitter)
    return change if session.outcome is Outcome.RUNNING else replace(change, end=None)


def recovered_ending(agent: Agent, session: Session) -> Ending:
    """How *session*, whose lease ran out, ends or has ended."""
    if session.outcome is not Outcome.RUNNING:
        return Ending(session.outcome, session.error_message, session.output_summary, session.metrics)
    if agent.stop_requested is not None:
        return Ending(Outcome.STOPPED, agent.stop_requested)
    return Ending(Outcome.INTERRUPTED, INTERRUPTED)


def _as_started(agent: Agent, session: Session) -> Agent:
    """*agent* as the session's start leaves it, for a start that died when only its history was written."""
    if agent.session_id is not None:
        return agent
    agent = replace(agent, session_id=session.id, last_run_at=session.started_at, pending=None)
    passed = agent.next_run_at is not None and agent.next_run_at <= session.started_at
    if agent.schedule is None or not passed or is_by_hand(session):
        return agent
    return replace(agent, next_run_at=grid(agent.schedule).next_after(session.started_at))


def _check_lease(agent: Agent, lease_id: str) -> None:
    if agent.lease is None or agent.lease.id != lease_id:
        raise LeaseLost(f"The lease of agent {agent.id} has passed to somebody else")


# What people ask for


def run_by_hand(agent: Agent, *, now: datetime, session_id: str, context: JSONObject) -> Change:
    """Owe the agent a run at once, beside its grid. ``Conflict`` while it runs, waits for a slot, or is paused.

    It comes instead of a retry or a queued run that waited.
    """
    if agent.is_running:
        raise Conflict("Agent is already running: wait until it ends, or stop it first")
    if agent.is_paused:
        raise Conflict("Agent is paused: resume it before running it")
    if agent.pending is not None and agent.pending.trigger is Trigger.MANUAL:
        raise Conflict("Agent is already waiting for a free slot to run in")
    wanted = Pending(now, Trigger.MANUAL, f"manual:{session_id}", now, session_id=session_id, context=context)
    return Change(replace(agent, pending=wanted), gaps=_superseded(agent, WHEN_RUN_BY_HAND))


def save_schedule(agent: Agent, wanted: Schedule, priority: Priority, *, now: datetime) -> Change:
    """Replace the schedule. The same expression and zone keep their grid: saving them again moves nothing."""
    old = agent.schedule
    same_grid = old is not None and (old.expression, old.timezone) == (wanted.expression, wanted.timezone)
    if old is not None and same_grid:
        wanted = replace(wanted, anchor=old.anchor)
    if wanted == old and priority is agent.priority:
        return Change(agent)
    saved = replace(agent, schedule=wanted, priority=priority, updated_at=now)
    if same_grid and wanted.enabled and agent.next_run_at is not None:
        return Change(saved)
    next_run_at = grid(wanted).next_after(now) if wanted.enabled else None
    return Change(_fresh(replace(saved, next_run_at=next_run_at)), gaps=_left_behind(agent, now))


def unschedule(agent: Agent, *, now: datetime) -> Change:
    """Forget the schedule, its pause and its retries; a run in progress, or asked for by hand, goes on."""
    bare = replace(agent, schedule=None, next_run_at=None, is_paused=False, updated_at=now)
    return Change(_fresh(bare) if agent.schedule else agent, gaps=_left_behind(agent, now))


def _fresh(agent: Agent) -> Agent:
    """*agent* without what an older schedule left: failures, and runs owed by its grid."""
    by_hand = agent.pending is not None and agent.pending.trigger is Trigger.MANUAL
    status = AgentStatus.PAUSED if agent.is_paused else AgentStatus.IDLE
    return replace(
        agent,
        status=agent.status if agent.is_running else status,
        retry_count=0,
        last_error=None,
        pending=agent.pending if by_hand else None,
    )


def _left_behind(agent: Agent, now: datetime) -> tuple[Gap, ...]:
    """What *agent* still owes its present grid, and will not run: its schedule goes."""
    reason = WHILE_PAUSED if agent.is_paused else WHEN_RESCHEDULED
    fallen = _fallen(agent, now, up_since=now)
    gone = (_gap(agent, Outcome.SKIPPED, fallen.all, reason),) if fallen else ()
    return _superseded(agent, reason) + gone


def pause(agent: Agent) -> Change:
    """Keep the schedule, but let nothing fire. Pausing twice changes nothing."""
    if not agent.is_scheduled:
        raise NotFound("Agent is not scheduled, so there is nothing to pause")
    if agent.is_running:
        raise Conflict("Agent is running: stop it, or wait until it ends, before pausing it")
    return Change(replace(agent, is_paused=True, status=AgentStatus.PAUSED))


def resume(agent: Agent, *, now: datetime, up_since: datetime) -> Change:
    """Let the schedule fire again, from its next occurrence on; those passed over are kept as skipped."""
    if not agent.is_scheduled:
        raise NotFound("Agent is not scheduled, so there is nothing to resume")
    if not agent.is_paused:
        raise Invalid("Agent is not paused, so there is nothing to resume")
    resumed = replace(agent, is_paused=False, status=AgentStatus.IDLE)
    fallen = _fallen(agent, now, up_since)
    if fallen is None:
        return Change(resumed)
    gap = _gap(agent, Outcome.SKIPPED, fallen.all, WHILE_PAUSED)
    return Change(replace(resumed, next_run_at=fallen.following), gaps=(gap,))
