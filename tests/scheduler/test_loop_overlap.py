"""What an occurrence does that falls due while its agent runs, or while no slot is free."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler import occurrences, rules
from scheduler.events import AgentFailed
from store.records import AgentStatus, Outcome, Overlap, Trigger
from tests.support.clock import START
from tests.support.stack import Stack, World

MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


async def test_skip_lets_the_run_go_on_and_records_what_it_passed_over_in_one_row(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.SKIP)
    await stack.advance(MINUTE * 4.5)

    (gap,) = await stack.gaps()
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at) == (Outcome.SKIPPED, 3, at(2), at(4))
    assert gap.reason == occurrences.WHILE_RUNNING
    assert len(await stack.history()) == 1


async def test_each_skipped_occurrence_is_told_when_it_is_skipped(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.SKIP)
    await stack.advance(MINUTE * 3.5)

    assert [(gap.count, gap.first_at) for gap in stack.news.gaps()] == [(1, at(2)), (1, at(3))]


async def test_after_a_skip_the_next_occurrence_runs_on_the_grid(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.SKIP)
    await stack.advance(MINUTE * 2.5)
    await stack.succeed()

    await stack.advance(MINUTE * 0.5)

    assert [session.scheduled_for for session in await stack.history()] == [at(1), at(3)]


async def test_each_run_has_a_row_of_its_own_for_what_it_passed_over(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.SKIP)
    for _ in range(2):
        await stack.advance(MINUTE * 2.5)
        await stack.succeed()
        await stack.advance(MINUTE * 0.5)

    assert [(gap.count, gap.first_at, gap.last_at) for gap in await stack.gaps()] == [
        (1, at(2), at(2)),
        (2, at(4), at(5)),
    ]


async def test_queue_makes_one_run_afterwards_however_many_fell_due(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.QUEUE)
    await stack.advance(MINUTE * 4.5)
    await stack.succeed()

    _first, second = await stack.history()
    assert (second.scheduled_for, second.started_at, second.trigger) == (at(4), at(4.5), Trigger.CRON)
    assert (second.outcome, second.missed) == (Outcome.RUNNING, 2)
    (gap,) = await stack.gaps()
    assert (gap.count, gap.first_at, gap.last_at) == (2, at(2), at(3))

    await stack.succeed()
    assert len(await stack.history()) == 2


async def test_a_queued_run_follows_a_failed_one_instead_of_its_retry(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.QUEUE)
    await stack.advance(MINUTE * 2.5)

    await stack.fail()

    (failed,) = stack.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry) == (1, False)
    assert [session.trigger for session in await stack.history()] == [Trigger.CRON, Trigger.CRON]
    assert (await stack.get()).status is AgentStatus.RUNNING


async def test_failures_with_a_queued_run_behind_them_start_the_count_anew_after_the_last_retry(world: World) -> None:
    stack = await world.server(max_retries=1)
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.QUEUE)
    counts = []
    for _ in range(4):
        await stack.advance(MINUTE * 1.5)
        await stack.fail()
        counts.append(stack.told(AgentFailed)[-1].retry_count)

    assert counts == [1, 2, 1, 2]


async def test_replace_stops_the_running_one_first_and_then_runs_the_new_occurrence(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.REPLACE)
    await stack.advance(MINUTE * 2)

    first, second = await stack.history()
    assert (first.outcome, first.error_message, first.completed_at) == (Outcome.STOPPED, rules.REPLACED, at(2))
    assert (second.outcome, second.scheduled_for, second.started_at) == (Outcome.RUNNING, at(2), at(2))
    assert stack.story() == ["started", "failed", "started"]
    assert not stack.told(AgentFailed)[0].will_retry
    assert await stack.gaps() == []


async def test_replace_does_not_count_as_a_failure(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.REPLACE)
    await stack.advance(MINUTE * 3)

    assert stack.told(AgentFailed)[-1].retry_count == 0
    assert (await stack.get()).retry_count == 0


async def test_a_stop_takes_the_queued_run_with_it_and_records_it(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.QUEUE)
    await stack.advance(MINUTE * 2.5)

    await stack.service.stop("a")
    await stack.settled()

    agent = await stack.get()
    assert (agent.status, agent.pending, agent.next_run_at) == (AgentStatus.IDLE, None, at(3))
    (gap,) = await stack.gaps()
    assert (gap.count, gap.first_at, gap.reason) == (1, at(2), occurrences.WHEN_STOPPED)


async def test_a_stop_wins_over_a_replacement_that_waits_for_a_stubborn_run(stack: Stack) -> None:
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN", "* * * * *", overlap=Overlap.REPLACE)
    await stack.advance(MINUTE * 2)
    assert stubborn.cancelled == 1

    await stack.service.stop("a")
    stubborn.end.set()
    await stack.settled()

    (session,) = await stack.history()
    assert (session.outcome, session.error_message) == (Outcome.STOPPED, rules.STOPPED)
    assert (await stack.get()).status is AgentStatus.IDLE


async def test_an_occurrence_that_waited_for_a_slot_until_the_next_one_came_is_recorded(world: World) -> None:
    stack = await world.server(max_concurrent=1)
    await stack.agent("busy", "HOLD")
    await stack.run("busy")
    await stack.agent("a", "HOLD", "* * * * *")
    await stack.advance(MINUTE * 3.5)

    await stack.succeed("busy")

    (session,) = await stack.history("a")
    assert (session.scheduled_for, session.started_at, session.missed) == (at(3), at(3.5), 2)
    (gap,) = await stack.gaps("a")
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at, gap.reason) == (
        Outcome.SKIPPED,
        2,
        at(1),
        at(2),
        occurrences.WHILE_BUSY,
    )


async def test_an_occurrence_during_a_run_by_hand_meets_the_overlap_policy(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "* * * * *", overlap=Overlap.SKIP)
    await stack.run()
    await stack.advance(MINUTE * 1.5)

    assert [(gap.count, gap.first_at) for gap in await stack.gaps()] == [(1, at(1))]
