"""What people ask of an agent, as edits for ``Store.change_agent``; pure, as the rules of a run's life are."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from scheduler.occurrences import (
    WHEN_RESCHEDULED,
    WHEN_RUN_BY_HAND,
    WHILE_PAUSED,
    fallen_since,
    gap_of,
    grid,
    superseded,
)
from scheduler.rules import STOPPED
from store.errors import Conflict, Invalid, NotFound
from store.records import (
    Agent,
    AgentStatus,
    Change,
    Gap,
    JSONObject,
    Outcome,
    Pending,
    Priority,
    Schedule,
    Trigger,
)


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
    return Change(replace(agent, pending=wanted), gaps=superseded(agent, WHEN_RUN_BY_HAND))


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
    fallen = fallen_since(agent, now, up_since=now)
    gone = (gap_of(agent, Outcome.SKIPPED, fallen.all, reason),) if fallen else ()
    return superseded(agent, reason) + gone


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
    fallen = fallen_since(agent, now, up_since)
    if fallen is None:
        return Change(resumed)
    gap = gap_of(agent, Outcome.SKIPPED, fallen.all, WHILE_PAUSED)
    return Change(replace(resumed, next_run_at=fallen.following), gaps=(gap,))


def request_stop(agent: Agent) -> Change:
    """Ask for the running session to be stopped; whichever process runs it will see it. ``Conflict`` if none runs."""
    if agent.lease is None or agent.session_id is None:
        raise Conflict("Agent is not running, so there is nothing to stop")
    return Change(replace(agent, stop_requested=STOPPED))
