"""The pure rules of a run's life, where the claim loop cannot easily be brought to the point."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler import commands, occurrences, rules
from scheduler.rules import Ending
from scheduler.settings import SchedulerSettings
from store.errors import Conflict, Invalid, LeaseLost, NotFound
from store.records import (
    Agent,
    AgentStatus,
    Change,
    Lease,
    MissedRuns,
    Outcome,
    Overlap,
    Pending,
    Priority,
    Session,
    Trigger,
)
from tests.support.records import MINUTE, NOW, SECOND, a_pending, a_schedule, a_session, an_agent

SETTINGS = SchedulerSettings()
LEASE = Lease("us", "lease", NOW + timedelta(days=1))


def at(minutes: float) -> datetime:
    return NOW + MINUTE * minutes


def every_minute(**given: Any) -> Agent:
    """An idle agent that fires each minute, next at 09:01; *given* may be fields of the schedule too."""
    of_schedule = {key: given.pop(key) for key in ("overlap", "missed_runs", "enabled") if key in given}
    schedule = a_schedule(expression="* * * * *", **of_schedule)
    return an_agent("a", **{"schedule": schedule, "next_run_at": at(1), **given})


def claimed(agent: Agent) -> Agent:
    return replace(agent, lease=LEASE)


def running(agent: Agent, **given: Any) -> tuple[Agent, Session]:
    """*agent* in the middle of a session."""
    session = a_session("a", occurrence=occurrences.occurrence_key(NOW), lease_id=LEASE.id, **given)
    return replace(agent, lease=LEASE, session_id=session.id, status=AgentStatus.RUNNING), session


def a_queued(minutes: float, **given: Any) -> Pending:
    moment = at(minutes)
    return Pending(moment, Trigger.CRON, occurrences.occurrence_key(moment), moment, **given)


def start(agent: Agent, minutes: float, *, up: float = -60) -> Change:
    return rules.start(claimed(agent), lease_id=LEASE.id, session_id="new", now=at(minutes), up_since=at(up))


def end(agent: Agent, session: Session, outcome: Outcome, error: str | None = None) -> Change:
    return rules.end(agent, session, Ending(outcome, error), now=at(0.5), settings=SETTINGS, jitter=0.0)


def spans(change: Change) -> list[tuple[Outcome, int, datetime, datetime]]:
    return [(gap.outcome, gap.count, gap.first_at, gap.last_at) for gap in change.gaps]


# Starting


def test_a_start_writes_session_status_and_grid_in_one_change() -> None:
    change = start(every_minute(), 1)

    assert change.start is not None
    assert (change.start.id, change.start.occurrence, change.start.lease_id) == (
        "new",
        occurrences.occurrence_key(at(1)),
        LEASE.id,
    )
    assert (change.agent.status, change.agent.session_id, change.agent.last_run_at, change.agent.next_run_at) == (
        AgentStatus.RUNNING,
        "new",
        at(1),
        at(2),
    )
    assert change.gaps == ()


def test_only_the_owner_of_the_lease_can_start() -> None:
    with pytest.raises(LeaseLost):
        rules.start(claimed(every_minute()), lease_id="another", session_id="new", now=at(1), up_since=NOW)
    with pytest.raises(LeaseLost):
        rules.start(every_minute(), lease_id=LEASE.id, session_id="new", now=at(1), up_since=NOW)


def test_an_agent_that_is_owed_nothing_any_more_gives_its_lease_back() -> None:
    change = start(every_minute(next_run_at=at(5)), 1)

    assert change == Change(every_minute(next_run_at=at(5)))


def test_a_start_that_is_decided_twice_is_the_same() -> None:
    agent = every_minute()

    assert start(agent, 7.5, up=4.5) == start(agent, 7.5, up=4.5)


def test_a_run_by_hand_comes_first_and_leaves_the_fallen_occurrence_to_the_overlap_policy() -> None:
    by_hand = a_pending(session_id="promised", context={"topic": "cats"})

    change = start(every_minute(pending=by_hand), 1.5)

    assert change.start is not None
    assert (change.start.id, change.start.context) == ("promised", {"topic": "cats"})
    assert (change.agent.next_run_at, change.agent.pending, change.gaps) == (at(1), None, ())


def test_a_newer_occurrence_takes_the_place_of_a_queued_run_which_is_recorded() -> None:
    change = start(every_minute(next_run_at=at(3), pending=a_queued(2, missed=4)), 3)

    assert change.start is not None
    assert (change.start.scheduled_for, change.start.missed) == (at(3), 5)
    assert spans(change) == [(Outcome.SKIPPED, 1, at(2), at(2))]


def test_a_newer_occurrence_takes_the_place_of_a_retry_which_had_its_session() -> None:
    retry = a_pending(trigger=Trigger.RETRY, occurrence=occurrences.occurrence_key(NOW), attempt=2)

    change = start(every_minute(pending=retry), 1)

    assert change.start is not None
    assert (change.start.attempt, change.start.scheduled_for, change.gaps) == (1, at(1), ())


def test_a_retry_that_is_not_yet_due_stays_when_all_that_fell_was_missed_and_is_skipped() -> None:
    retry = a_pending(trigger=Trigger.RETRY, occurrence=occurrences.occurrence_key(NOW), attempt=2, due_at=at(9))

    change = start(every_minute(missed_runs=MissedRuns.SKIP, pending=retry), 3.5, up=3.2)

    assert (change.start, change.agent.pending, change.agent.lease) == (None, retry, None)
    assert spans(change) == [(Outcome.MISSED, 3, at(1), at(3))]


@pytest.mark.parametrize("policy", list(MissedRuns))
def test_of_missed_and_late_ones_the_newest_runs_and_each_other_is_in_one_gap(policy: MissedRuns) -> None:
    change = start(every_minute(missed_runs=policy), 6.5, up=3.0)  # up since the very moment of an occurrence

    assert change.start is not None
    assert (change.start.scheduled_for, change.start.missed) == (at(6), 5)
    assert spans(change) == [(Outcome.MISSED, 2, at(1), at(2)), (Outcome.SKIPPED, 3, at(3), at(5))]


def test_an_occurrence_at_the_very_moment_the_server_came_up_was_not_missed() -> None:
    change = start(every_minute(missed_runs=MissedRuns.SKIP), 3, up=3)

    assert change.start is not None
    assert change.start.scheduled_for == at(3)


def test_a_next_run_off_the_grid_does_not_stop_the_agent_for_ever() -> None:
    change = start(every_minute(next_run_at=at(1.25)), 1.5)

    assert change.start is not None
    assert (change.start.scheduled_for, change.agent.next_run_at) == (at(1.25), at(2))


# While it runs


def test_nothing_overlaps_before_it_is_due() -> None:
    agent, _session = running(every_minute())

    assert rules.overlap(agent, now=at(0.5), up_since=NOW) == Change(agent)


def test_an_overlap_that_is_looked_at_twice_is_recorded_once() -> None:
    agent, _session = running(every_minute())

    first = rules.overlap(agent, now=at(1), up_since=NOW)
    second = rules.overlap(first.agent, now=at(1), up_since=NOW)

    assert (len(first.gaps), len(second.gaps)) == (1, 0)


def test_what_was_missed_during_a_run_that_outlived_all_servers_is_owed_one_run() -> None:
    agent, _session = running(every_minute(overlap=Overlap.SKIP, missed_runs=MissedRuns.ONCE))

    change = rules.overlap(agent, now=at(3.5), up_since=at(3.2))

    assert change.agent.pending is not None
    assert (change.agent.pending.scheduled_for, change.agent.pending.missed) == (at(3), 2)
    assert spans(change) == [(Outcome.MISSED, 2, at(1), at(2))]


def test_what_was_missed_during_such_a_run_is_only_recorded_where_the_schedule_says_so() -> None:
    agent, _session = running(every_minute(overlap=Overlap.REPLACE, missed_runs=MissedRuns.SKIP))

    change = rules.overlap(agent, now=at(3.5), up_since=at(3.2))

    assert (change.agent.pending, change.agent.stop_requested) == (None, None)
    assert spans(change) == [(Outcome.MISSED, 3, at(1), at(3))]


def test_pieces_of_one_gap_come_in_the_order_of_their_moments() -> None:
    agent, _session = running(every_minute(pending=a_queued(1), next_run_at=at(2)))

    skipped = rules.overlap(agent, now=at(2), up_since=NOW)
    dropped = commands.unschedule(skipped.agent, now=at(2.5))

    (newer,), (older,) = skipped.gaps, dropped.gaps
    assert newer.first_at > older.first_at
    assert newer.id != older.id


def test_a_stop_needs_a_run_that_has_begun() -> None:
    with pytest.raises(Conflict):
        commands.request_stop(every_minute())
    with pytest.raises(Conflict):
        commands.request_stop(claimed(every_minute()))


# Ending


def test_only_the_owner_of_the_lease_can_end() -> None:
    agent, session = running(every_minute())

    with pytest.raises(LeaseLost):
        end(replace(agent, lease=replace(LEASE, id="another")), session, Outcome.COMPLETED)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.INTERRUPTED])
def test_a_run_that_was_to_be_stopped_was_stopped_however_it_broke_off(outcome: Outcome) -> None:
    agent, session = running(every_minute())
    agent = replace(agent, stop_requested=rules.STOPPED)

    change = end(agent, session, outcome, "it broke")

    assert change.end is not None
    assert (change.end.outcome, change.end.error_message) == (Outcome.STOPPED, rules.STOPPED)
    assert (change.agent.status, change.agent.pending) == (AgentStatus.IDLE, None)


def test_a_run_that_completed_before_it_could_be_stopped_has_completed() -> None:
    agent, session = running(every_minute())

    change = end(replace(agent, stop_requested=rules.STOPPED), session, Outcome.COMPLETED)

    assert change.end is not None
    assert (change.end.outcome, change.agent.status) == (Outcome.COMPLETED, AgentStatus.COMPLETED)
    assert change.agent.stop_requested is None


def test_a_stop_or_a_hand_back_does_not_touch_the_count_of_failures() -> None:
    agent, session = running(every_minute(retry_count=2, last_error="it broke"))

    for outcome, error in ((Outcome.STOPPED, rules.STOPPED), (Outcome.INTERRUPTED, rules.HANDED_BACK)):
        assert end(agent, session, outcome, error).agent.retry_count == 2
        assert rules.failures_after(agent, Ending(outcome, error)) == 2


def test_the_moment_of_a_retry_is_whole_milliseconds() -> None:
    agent, session = running(every_minute())

    change = rules.end(agent, session, Ending(Outcome.FAILED), now=at(0.5), settings=SETTINGS, jitter=0.123456789)

    assert change.agent.pending is not None
    assert change.agent.pending.due_at.microsecond % 1000 == 0
    assert SECOND * 0.9 <= change.agent.pending.due_at - at(0.5) <= SECOND


# After a crash


def recover(agent: Agent, session: Session | None, minutes: float = 1) -> Change:
    expired = replace(agent, lease=replace(LEASE, until=NOW))
    return rules.recover(expired, session, lease_id=LEASE.id, now=at(minutes), settings=SETTINGS, jitter=0.0)


def test_a_lease_that_was_renewed_meanwhile_is_left_alone() -> None:
    agent, session = running(every_minute())

    with pytest.raises(LeaseLost):
        rules.recover(agent, session, lease_id=LEASE.id, now=at(1), settings=SETTINGS, jitter=0.0)


def test_an_agent_that_was_claimed_and_not_started_is_as_it_was_before() -> None:
    agent = every_minute(status=AgentStatus.ERROR, retry_count=1, pending=a_pending())

    assert recover(agent, None).agent == agent


def test_a_start_that_wrote_only_its_history_is_completed_before_its_end() -> None:
    session = a_session(
        "a", occurrence=occurrences.occurrence_key(at(3)), scheduled_for=at(3), started_at=at(3.2), lease_id=LEASE.id
    )

    change = recover(every_minute(pending=a_queued(0)), session, 3.5)

    assert change.agent.next_run_at == at(4)
    assert change.agent.last_run_at == at(3.2)
    assert change.agent.pending is not None
    assert (change.agent.pending.attempt, change.agent.pending.scheduled_for) == (2, at(3))


def test_a_run_by_hand_whose_start_wrote_only_its_history_does_not_pass_over_an_occurrence() -> None:
    by_hand = a_pending(session_id="promised")
    session = a_session("a", occurrence=by_hand.occurrence, started_at=at(2), scheduled_for=at(2), lease_id=LEASE.id)

    change = recover(every_minute(pending=by_hand), session, 2.5)

    assert change.agent.next_run_at == at(1)
    assert change.agent.pending is not None
    assert (change.agent.pending.occurrence, change.agent.pending.attempt) == (by_hand.occurrence, 2)


def test_an_occurrence_that_fell_due_during_a_crashed_run_is_not_passed_over() -> None:
    agent, session = running(every_minute(next_run_at=at(1)), scheduled_for=at(2), started_at=at(2))

    assert recover(agent, session, 2.5).agent.next_run_at == at(1)


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.COMPLETED, AgentStatus.COMPLETED), (Outcome.FAILED, AgentStatus.ERROR)]
)
def test_an_end_that_wrote_only_its_history_is_settled_as_it_ended(outcome: Outcome, status: AgentStatus) -> None:
    agent, session = running(every_minute(retry_count=1))

    change = recover(agent, replace(session, outcome=outcome, completed_at=at(0.5), error_message="it broke"))

    assert (change.end, change.agent.status, change.agent.lease, change.agent.session_id) == (None, status, None, None)


# What people ask for


def test_a_run_by_hand_takes_the_place_of_a_queued_one_which_is_recorded() -> None:
    change = commands.run_by_hand(every_minute(pending=a_queued(0)), now=at(0.5), session_id="promised", context={})

    assert spans(change) == [(Outcome.SKIPPED, 1, NOW, NOW)]
    assert change.gaps[0].reason == occurrences.WHEN_RUN_BY_HAND
    assert change.agent.next_run_at == at(1)


def test_a_run_by_hand_needs_an_agent_that_neither_runs_nor_is_paused() -> None:
    for agent in (claimed(every_minute()), every_minute(is_paused=True), every_minute(pending=a_pending())):
        with pytest.raises(Conflict):
            commands.run_by_hand(agent, now=NOW, session_id="promised", context={})


def save(agent: Agent, minutes: float = 0.5, priority: Priority = Priority.NORMAL, **given: Any) -> Change:
    wanted = a_schedule(**{"expression": "* * * * *", "anchor": at(minutes), **given})
    return commands.save_schedule(agent, wanted, priority, now=at(minutes))


def test_the_same_schedule_changes_nothing() -> None:
    agent = every_minute(retry_count=1, status=AgentStatus.ERROR)

    assert save(agent) == Change(agent)


def test_another_policy_or_priority_leaves_grid_retry_and_status() -> None:
    agent = every_minute(retry_count=1, status=AgentStatus.ERROR, pending=a_pending(trigger=Trigger.RETRY))

    changed = save(agent, 7, Priority.HIGH, overlap=Overlap.QUEUE).agent

    assert (changed.priority, changed.schedule and changed.schedule.overlap) == (Priority.HIGH, Overlap.QUEUE)
    assert (changed.next_run_at, changed.pending, changed.status) == (at(1), agent.pending, AgentStatus.ERROR)


@pytest.mark.parametrize("given", [{"expression": "*/2 * * * *"}, {"timezone": "Europe/Berlin"}, {"enabled": False}])
def test_another_grid_starts_after_now_and_records_what_the_old_one_still_owed(given: dict[str, Any]) -> None:
    change = save(every_minute(pending=a_queued(0)), 2.5, **given)

    assert spans(change) == [(Outcome.SKIPPED, 1, NOW, NOW), (Outcome.SKIPPED, 2, at(1), at(2))]
    assert change.agent.pending is None
    assert change.agent.next_run_at is None or change.agent.next_run_at > at(2.5)


def test_a_new_schedule_keeps_a_run_that_was_asked_for_by_hand() -> None:
    by_hand = a_pending()

    assert save(every_minute(pending=by_hand), expression="0 0 * * *").agent.pending == by_hand


def test_a_paused_agent_stays_paused_when_it_is_rescheduled() -> None:
    agent = every_minute(is_paused=True, status=AgentStatus.PAUSED)

    changed = save(agent, expression="0 0 * * *").agent

    assert (changed.is_paused, changed.status) == (True, AgentStatus.PAUSED)


def test_a_running_agent_goes_on_running_when_it_is_rescheduled() -> None:
    agent, _session = running(every_minute())

    changed = save(agent, expression="0 0 * * *").agent

    assert (changed.status, changed.session_id, changed.lease) == (AgentStatus.RUNNING, agent.session_id, LEASE)


def test_forgetting_a_schedule_that_is_not_there_changes_nothing() -> None:
    agent = an_agent("a", status=AgentStatus.ERROR, last_error="it broke")

    assert commands.unschedule(agent, now=NOW) == Change(agent)


def test_pausing_needs_a_schedule_and_no_run() -> None:
    with pytest.raises(NotFound):
        commands.pause(an_agent())
    with pytest.raises(NotFound):
        commands.pause(every_minute(enabled=False, next_run_at=None))
    with pytest.raises(Conflict):
        commands.pause(claimed(every_minute()))


def test_resuming_needs_a_schedule_that_is_paused() -> None:
    with pytest.raises(NotFound):
        commands.resume(an_agent(), now=NOW, up_since=NOW)
    with pytest.raises(Invalid):
        commands.resume(every_minute(), now=NOW, up_since=NOW)


def test_a_paused_agent_is_never_due() -> None:
    assert every_minute(is_paused=True, pending=a_pending()).due_at is None
