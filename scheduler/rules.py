"""The rules of a run's life, pure: from an agent as it stands (and the time) to what shall be written.

Every function here is an edit for ``Store.change_agent``: it reads no clock, keeps nothing, and may be called twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scheduler.occurrences import (
    MILLISECOND,
    WHEN_STOPPED,
    WHILE_BUSY,
    WHILE_RUNNING,
    fallen_since,
    gaps_in,
    grid,
    newest_run,
    superseded,
)
from scheduler.settings import SchedulerSettings
from store.errors import LeaseLost
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
    Session,
    SessionEnd,
    Trigger,
    milliseconds,
)

INTERRUPTED = "Interrupted: the server running it stopped"
HANDED_BACK = "Handed back: the server running it was shutting down"
OUT_OF_REACH = "Handed back: the server running it lost touch with the database"
STOPPED = "Agent execution manually stopped"
REPLACED = "Replaced: its next occurrence fell due while it ran"

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
    fallen = fallen_since(agent, now, up_since)
    if fallen is None:
        return _Plan(ready, agent.next_run_at, left=None if ready else waiting)
    if not fallen.late and agent.schedule and agent.schedule.missed_runs is MissedRuns.SKIP:
        gaps = gaps_in(agent, fallen, until=now)
        return _Plan(ready, fallen.following, left=None if ready else waiting, gaps=gaps)
    newest = fallen.all.last
    gaps = superseded(agent, WHILE_BUSY) + gaps_in(agent, fallen, until=newest - MILLISECOND)
    return _Plan(newest_run(agent, newest, gaps, now), fallen.following, gaps=gaps)


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
    fallen = fallen_since(agent, now, up_since)
    if fallen is None or agent.session_id is None or agent.schedule is None:
        return Change(agent)
    policy = agent.schedule.overlap
    if not fallen.late:  # owed since before this server was up: the missed-run policy decides
        policy = Overlap.QUEUE if agent.schedule.missed_runs is MissedRuns.ONCE else Overlap.SKIP
    moved = replace(agent, next_run_at=fallen.following)
    if policy is Overlap.SKIP:
        return Change(moved, gaps=gaps_in(agent, fallen, until=now, late=WHILE_RUNNING))
    newest = fallen.all.last
    gaps = superseded(agent, WHILE_RUNNING)
    gaps += gaps_in(agent, fallen, until=newest - MILLISECOND, late=WHILE_RUNNING, queued=True)
    moved = replace(moved, pending=newest_run(agent, newest, gaps, now))
    if policy is Overlap.REPLACE:
        moved = replace(moved, stop_requested=agent.stop_requested or REPLACED)
    return Change(moved, gaps=gaps)


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
            gaps = superseded(agent, WHEN_STOPPED)
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
