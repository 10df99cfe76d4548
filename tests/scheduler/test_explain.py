"""Why an agent does not run, in words: from its record, whatever the moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.events import Statistics
from scheduler.explain import Explanation, explain
from store.records import Agent, AgentStatus, Gap, Lease, Outcome, Pending, Schedule, Trigger

NOW = datetime(2024, 1, 1, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
IDLE = Statistics(is_running=True, scheduled=1, running=0, queued=1, max_concurrent=2, paused=0)


def an_agent(**fields: Any) -> Agent:
    schedule = Schedule("0 9 * * *", "Europe/Berlin", NOW)
    agent = Agent("a", "A", "ECHO", NOW, NOW, schedule=schedule, next_run_at=NOW + 60 * MINUTE)
    return replace(agent, **fields)


def codes(explanation: Explanation) -> list[str]:
    return [reason.code for reason in explanation.reasons]


def test_one_that_is_not_due_yet_says_when_it_is_in_its_own_zone() -> None:
    found = explain(an_agent(), now=NOW, statistics=IDLE)

    assert codes(found) == ["next"]
    assert found.reasons[0].message == "Its next occurrence is due at 2024-01-01 10:00:00 (Europe/Berlin)."
    assert found.will_run_at == found.reasons[0].at == NOW + 60 * MINUTE


def test_a_paused_one_is_never_due() -> None:
    found = explain(an_agent(is_paused=True, status=AgentStatus.PAUSED), now=NOW, statistics=IDLE)

    assert codes(found) == ["paused"]
    assert found.will_run_at is None


def test_without_a_schedule_it_runs_by_hand_only() -> None:
    found = explain(an_agent(schedule=None, next_run_at=None), now=NOW, statistics=IDLE)

    assert codes(found) == ["no-schedule"]
    assert found.will_run_at is None


def test_a_disabled_schedule_is_named_as_the_reason() -> None:
    schedule = Schedule("0 9 * * *", "UTC", NOW, enabled=False)

    assert codes(explain(an_agent(schedule=schedule, next_run_at=None), now=NOW, statistics=IDLE)) == ["disabled"]


def test_one_that_is_due_while_all_slots_are_taken_waits_for_one() -> None:
    full = replace(IDLE, running=2)

    found = explain(an_agent(next_run_at=NOW - MINUTE), now=NOW, statistics=full)

    assert codes(found) == ["waiting-for-slot"]
    assert "2 runs are in progress, 2 at a time" in found.reasons[0].message
    assert found.reasons[0].at == NOW - MINUTE


def test_one_that_is_due_while_a_slot_is_free_starts_at_any_moment() -> None:
    assert codes(explain(an_agent(next_run_at=NOW), now=NOW, statistics=IDLE)) == ["due"]


def test_a_scheduler_that_does_not_run_comes_before_everything_else() -> None:
    stopped = replace(IDLE, is_running=False)

    found = explain(an_agent(next_run_at=NOW - MINUTE), now=NOW, statistics=stopped)

    assert codes(found) == ["scheduler-stopped", "due"]


def test_a_retry_tells_how_often_it_failed_and_when_it_tries_again() -> None:
    retry = Pending(NOW + MINUTE, Trigger.RETRY, "cron:x", NOW, attempt=3)
    agent = an_agent(pending=retry, retry_count=2, last_error="it broke", status=AgentStatus.ERROR)

    found = explain(agent, now=NOW, statistics=IDLE)

    assert codes(found) == ["backoff", "next"]
    assert found.reasons[0].message.startswith("Its last 2 runs failed. Attempt 3 starts at 2024-01-01 09:01:00")
    assert found.will_run_at == NOW + MINUTE


def test_a_failure_that_nothing_retries_is_told_after_what_is_coming() -> None:
    agent = an_agent(last_error="it broke", status=AgentStatus.ERROR, last_run_at=NOW - MINUTE)

    found = explain(agent, now=NOW, statistics=IDLE)

    assert codes(found) == ["next", "failed"]
    assert found.reasons[1].message == "Its last run failed: it broke"


def test_one_that_runs_says_since_when_and_what_follows() -> None:
    lease = Lease("here", "lease-1", NOW + MINUTE)
    agent = an_agent(lease=lease, session_id="s", last_run_at=NOW - MINUTE, last_error="an older failure")

    assert codes(explain(agent, now=NOW, statistics=IDLE)) == ["running", "next"]


def test_one_that_was_asked_to_stop_says_so() -> None:
    lease = Lease("here", "lease-1", NOW + MINUTE)

    found = explain(an_agent(lease=lease, session_id="s", stop_requested="stop"), now=NOW, statistics=IDLE)

    assert codes(found) == ["stopping"]


def test_one_that_was_only_claimed_is_about_to_start() -> None:
    agent = an_agent(lease=Lease("here", "lease-1", NOW + MINUTE))

    assert codes(explain(agent, now=NOW, statistics=IDLE)) == ["starting"]


def test_a_lease_that_ran_out_means_a_server_that_is_gone() -> None:
    agent = an_agent(lease=Lease("gone", "lease-1", NOW - MINUTE), session_id="s")

    found = explain(agent, now=NOW, statistics=IDLE)

    assert codes(found) == ["lease-expired"]
    assert found.reasons[0].at == NOW - MINUTE


def test_occurrences_that_did_not_run_are_counted_with_their_reason() -> None:
    gap = Gap("g", "a", Outcome.MISSED, 3, NOW - 3 * MINUTE, NOW - MINUTE, "The server was down")

    found = explain(an_agent(), now=NOW, statistics=IDLE, gap=gap)

    assert codes(found) == ["next", "missed"]
    assert found.reasons[1].message == (
        "3 occurrences from 2024-01-01 08:57:00 (Europe/Berlin) to 2024-01-01 08:59:00 (Europe/Berlin)"
        " did not run. The server was down."
    )


def test_a_queued_run_is_owed() -> None:
    queued = Pending(NOW + MINUTE, Trigger.CRON, "cron:x", NOW)

    assert codes(explain(an_agent(pending=queued), now=NOW, statistics=IDLE)) == ["owed", "next"]
