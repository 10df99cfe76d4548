"""What becomes of the occurrences that fell due while no server was up."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler import occurrences
from scheduler.requests import ScheduleRequest
from store.records import AgentStatus, MissedRuns, Outcome, Priority, Trigger
from tests.support.clock import START
from tests.support.stack import ScriptedRunners, Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


async def test_once_makes_one_run_of_all_that_was_missed_and_records_the_rest(world: World) -> None:
    before = await world.server()
    await before.agent(expression="* * * * *", missed_runs=MissedRuns.ONCE)
    await before.shut_down()
    world.clock.jump(MINUTE * 5.5)

    after = await world.server()

    (session,) = await after.history()
    assert (session.scheduled_for, session.started_at, session.missed) == (at(5), at(5.5), 4)
    assert (session.trigger, session.outcome) == (Trigger.CRON, Outcome.COMPLETED)
    (gap,) = await after.gaps()
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at) == (Outcome.MISSED, 4, at(1), at(4))
    assert gap.reason == occurrences.WHILE_DOWN
    assert after.news.gaps() == [gap]
    assert (await after.get()).next_run_at == at(6)


async def test_a_single_missed_occurrence_runs_late_and_leaves_no_gap(world: World) -> None:
    before = await world.server()
    await before.agent(expression="1 8 * * *", missed_runs=MissedRuns.ONCE)
    await before.shut_down()
    world.clock.jump(MINUTE * 30)

    after = await world.server()

    assert [session.scheduled_for for session in await after.history()] == [at(1)]
    assert await after.gaps() == []


async def test_skip_runs_none_of_what_was_missed_and_records_all(world: World) -> None:
    before = await world.server()
    await before.agent(expression="* * * * *", missed_runs=MissedRuns.SKIP)
    await before.shut_down()
    world.clock.jump(MINUTE * 5.5)

    after = await world.server()

    assert await after.history() == []
    (gap,) = await after.gaps()
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at) == (Outcome.MISSED, 5, at(1), at(5))
    agent = await after.get()
    assert (agent.status, agent.lease, agent.next_run_at) == (AgentStatus.IDLE, None, at(6))
    await after.advance(MINUTE)
    assert [session.scheduled_for for session in await after.history()] == [at(6)]


async def test_the_server_decides_about_missed_runs_where_the_schedule_does_not(world: World) -> None:
    stack = await world.server(missed_runs=MissedRuns.SKIP)

    agent = await stack.agent(expression="* * * * *")

    assert agent.schedule is not None
    assert agent.schedule.missed_runs is MissedRuns.SKIP


async def test_after_downtime_no_more_run_at_a_time_than_allowed_and_the_important_first(world: World) -> None:
    before = await world.server()
    await before.agent("low", "HOLD", "1 8 * * *", priority=Priority.LOW)
    await before.agent("normal", "HOLD", "2 8 * * *")
    await before.agent("critical", "HOLD", "3 8 * * *", priority=Priority.CRITICAL)
    await before.shut_down()
    world.clock.jump(MINUTE * 5)

    after = await world.server(max_concurrent=2)

    assert after.runners.running == ["critical", "normal"]
    await after.succeed("normal")
    assert after.runners.running == ["critical", "low"]


async def test_what_fell_due_before_and_after_the_start_is_told_apart(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "* * * * *")
    await before.agent("vip", "HOLD", "1 8 * * *", priority=Priority.CRITICAL)
    await before.shut_down()
    world.clock.jump(MINUTE * 3.5)
    after = await world.server(max_concurrent=1)
    await after.advance(MINUTE * 3)

    await after.succeed("vip")

    (session,) = await after.history("a")
    assert (session.scheduled_for, session.missed) == (at(6), 5)
    assert [(gap.outcome, gap.count, gap.first_at, gap.last_at, gap.reason) for gap in await after.gaps("a")] == [
        (Outcome.MISSED, 3, at(1), at(3), occurrences.WHILE_DOWN),
        (Outcome.SKIPPED, 2, at(4), at(5), occurrences.WHILE_BUSY),
    ]


async def test_with_skip_an_occurrence_that_is_late_only_for_want_of_a_slot_still_runs(world: World) -> None:
    before = await world.server()
    await before.agent("a", "HOLD", "* * * * *", missed_runs=MissedRuns.SKIP)
    await before.agent("vip", "HOLD", "1 8 * * *", priority=Priority.CRITICAL)
    await before.shut_down()
    world.clock.jump(MINUTE * 3.5)
    after = await world.server(max_concurrent=1)
    await after.advance(MINUTE)

    await after.succeed("vip")

    assert [session.scheduled_for for session in await after.history("a")] == [at(4)]
    assert [(gap.outcome, gap.count) for gap in await after.gaps("a")] == [(Outcome.MISSED, 3)]


async def test_a_disabled_schedule_misses_nothing(world: World) -> None:
    before = await world.server()
    await before.agent(expression="* * * * *", enabled=False)
    await before.shut_down()
    world.clock.jump(MINUTE * 5)

    after = await world.server()

    assert (await after.history(), await after.gaps()) == ([], [])


async def test_what_passed_while_an_agent_was_paused_is_skipped_also_across_a_restart(world: World) -> None:
    before = await world.server()
    await before.agent(expression="* * * * *")
    await before.service.pause("a")
    await before.advance(MINUTE * 1.5)
    await before.shut_down()
    world.clock.jump(MINUTE * 2)
    after = await world.server()
    assert await after.history() == []

    agent = await after.service.resume("a")

    (gap,) = await after.gaps()
    assert (gap.outcome, gap.count, gap.first_at, gap.last_at) == (Outcome.SKIPPED, 3, at(1), at(3))
    assert gap.reason == occurrences.WHILE_PAUSED
    assert agent.next_run_at == at(4)


async def test_a_missed_one_and_a_retry_that_waited_become_one_run(world: World) -> None:
    before = await world.server(backoff_base=MINUTE * 2)
    await before.agent("a", "FAIL", "* * * * *")
    await before.advance(MINUTE * 1.25)
    assert (await before.get()).pending is not None
    await before.shut_down()
    world.clock.jump(MINUTE)
    runners = ScriptedRunners()
    runners.behaviours["FAIL"] = runners.behaviours["ECHO"]

    after = await world.server(runners=runners)

    assert [(session.scheduled_for, session.attempt) for session in await after.history()] == [(at(1), 1), (at(2), 1)]
    assert (await after.get()).pending is None


async def test_with_skip_a_retry_that_waited_is_still_made(world: World) -> None:
    before = await world.server(backoff_base=SECOND * 20)
    await before.agent("a", "FAIL", "* * * * *", missed_runs=MissedRuns.SKIP)
    await before.advance(MINUTE * 1.1)
    await before.shut_down()
    world.clock.jump(MINUTE)

    after = await world.server()

    second = (await after.history())[1]
    assert (second.scheduled_for, second.attempt, second.trigger) == (at(1), 2, Trigger.RETRY)
    assert [(gap.outcome, gap.first_at) for gap in await after.gaps()] == [(Outcome.MISSED, at(2))]


async def test_what_a_paused_schedule_passed_over_is_recorded_when_another_one_takes_its_place(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")
    await stack.advance(MINUTE * 2.5)

    await stack.service.save_schedule("a", ScheduleRequest("*/5 * * * *"))

    (gap,) = await stack.gaps()
    assert (gap.count, gap.first_at, gap.last_at, gap.reason) == (2, at(1), at(2), occurrences.WHILE_PAUSED)
    assert stack.news.gaps() == [gap]
