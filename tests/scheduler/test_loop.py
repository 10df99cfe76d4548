"""What is due is run, in order, on time, once; and the grid stays where it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.events import AgentCompleted, AgentStarted, AgentStatusChanged
from scheduler.requests import AgentPatch, ScheduleRequest
from store.errors import Conflict
from store.records import AgentStatus, Outcome, Priority, Trigger
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


async def test_a_run_starts_at_the_moment_its_occurrence_falls_due(stack: Stack) -> None:
    await stack.agent(expression="* * * * *")

    await stack.advance(MINUTE - timedelta(milliseconds=1))
    assert await stack.history() == []

    await stack.advance(timedelta(milliseconds=1))
    (session,) = await stack.history()
    assert session.started_at == session.scheduled_for == START + MINUTE
    assert (session.trigger, session.attempt, session.missed) == (Trigger.CRON, 1, 0)


async def test_a_schedule_saved_while_the_loop_sleeps_wakes_it(stack: Stack) -> None:
    await stack.advance(MINUTE)

    await stack.agent(expression="every 1 seconds")
    await stack.advance(SECOND)

    assert len(await stack.history()) == 1


async def test_a_run_by_hand_starts_at_once_with_its_context_and_the_promised_id(stack: Stack) -> None:
    await stack.agent()

    session_id = await stack.run(topic="cats")

    (session,) = await stack.history()
    assert (session.id, session.trigger, session.context) == (session_id, Trigger.MANUAL, {"topic": "cats"})
    assert session.started_at == START


async def test_an_idle_loop_sleeps_until_something_is_due(stack: Stack) -> None:
    await stack.agent(expression="0 9 * * *")
    before = stack.watched.calls["next_due"]

    await stack.advance(SECOND * 4)

    assert stack.watched.calls["next_due"] == before


async def test_the_highest_priority_runs_first_then_the_longest_due(world: World) -> None:
    stack = await world.server(max_concurrent=1)
    await stack.agent("busy", "HOLD")
    await stack.run("busy")
    await stack.agent("late", "HOLD", "2 8 * * *", priority=Priority.NORMAL)
    await stack.agent("early", "HOLD", "1 8 * * *", priority=Priority.NORMAL)
    await stack.agent("low", "HOLD", "1 8 * * *", priority=Priority.LOW)
    await stack.agent("critical", "HOLD", "3 8 * * *", priority=Priority.CRITICAL)
    await stack.agent("high", "HOLD", "3 8 * * *", priority=Priority.HIGH)
    await stack.advance(MINUTE * 3)

    for running in ("busy", "critical", "high", "early", "late", "low"):
        assert stack.runners.running == [running]
        await stack.succeed(running)


async def test_no_more_run_at_a_time_than_allowed_and_a_freed_slot_is_filled_at_once(world: World) -> None:
    stack = await world.server(max_concurrent=2)
    for name in "abc":
        await stack.agent(name, "HOLD", "1 8 * * *")

    await stack.advance(MINUTE)
    assert stack.runners.running == ["a", "b"]

    await stack.succeed("a")
    assert stack.runners.running == ["b", "c"]


async def test_runs_of_different_agents_are_concurrent(stack: Stack) -> None:
    for name in "abcde":
        await stack.agent(name, "HOLD", "1 8 * * *")

    await stack.advance(MINUTE)

    assert sorted(stack.runners.running) == list("abcde")


async def test_an_agent_that_runs_cannot_be_run_by_hand_again(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()

    with pytest.raises(Conflict, match="already running"):
        await stack.service.run("a", {})


async def test_an_agent_that_waits_for_a_slot_cannot_be_run_by_hand_again(world: World) -> None:
    stack = await world.server(max_concurrent=1)
    await stack.agent("busy", "HOLD")
    await stack.run("busy")
    await stack.agent("a")
    await stack.run("a")

    with pytest.raises(Conflict, match="already waiting"):
        await stack.service.run("a", {})


# The grid


async def test_a_run_by_hand_leaves_the_next_occurrence_where_it_was(stack: Stack) -> None:
    await stack.agent(expression="every 10 minutes")
    await stack.advance(MINUTE * 3)

    await stack.run()

    assert (await stack.get()).next_run_at == START + MINUTE * 10


async def test_a_long_run_leaves_the_grid_of_an_interval_where_it_was(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "every 10 minutes")
    await stack.advance(MINUTE * 17)
    await stack.succeed()

    assert (await stack.get()).next_run_at == START + MINUTE * 20


async def test_retries_leave_the_grid_where_it_was(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "every 10 minutes")
    await stack.advance(MINUTE * 12)

    assert len(await stack.history()) == 4
    assert (await stack.get()).next_run_at == START + MINUTE * 20


async def test_edits_of_other_fields_leave_the_grid_where_it_was(stack: Stack) -> None:
    await stack.agent(expression="every 10 minutes")
    await stack.advance(MINUTE * 3)

    await stack.service.update("a", AgentPatch(name="Another", configuration={"topic": "cats"}))
    await stack.service.save_schedule("a", ScheduleRequest("every 10 minutes", priority=Priority.HIGH))

    agent = await stack.get()
    assert agent.next_run_at == START + MINUTE * 10
    assert agent.priority is Priority.HIGH


async def test_saving_the_same_schedule_again_moves_nothing(stack: Stack) -> None:
    await stack.agent(expression="every 10 minutes")
    before = await stack.get()
    await stack.advance(MINUTE * 3)

    await stack.service.save_schedule("a", ScheduleRequest("every 10 minutes"))

    assert await stack.get() == before


async def test_an_interval_counts_from_the_moment_it_was_saved(stack: Stack) -> None:
    await stack.advance(SECOND * 17)

    agent = await stack.agent(expression="every 30 minutes")

    assert agent.next_run_at == START + SECOND * 17 + MINUTE * 30


# Status and events


async def test_the_status_goes_from_idle_to_running_to_completed(stack: Stack) -> None:
    agent = await stack.agent("a", "HOLD", "1 8 * * *")
    assert agent.status is AgentStatus.IDLE

    await stack.advance(MINUTE)
    assert (await stack.get()).status is AgentStatus.RUNNING

    await stack.succeed()
    agent = await stack.get()
    assert agent.status is AgentStatus.COMPLETED
    assert (agent.is_running, agent.session_id, agent.last_run_at) == (False, None, START + MINUTE)
    told = [event.status for event in stack.told(AgentStatusChanged)]
    assert told[-2:] == [AgentStatus.RUNNING, AgentStatus.COMPLETED]


async def test_an_agent_that_ended_is_idle_when_it_is_rescheduled(stack: Stack) -> None:
    await stack.agent(expression="1 8 * * *")
    await stack.advance(MINUTE)

    agent = await stack.service.save_schedule("a", ScheduleRequest("5 8 * * *"))

    assert agent.status is AgentStatus.IDLE


async def test_a_run_tells_started_then_progress_and_logs_in_order_then_one_end(stack: Stack) -> None:
    async def talkative(run) -> str:  # type: ignore[no-untyped-def]
        for step in range(1, 4):
            await run.log("info", f"step {step}")
            await run.progress(step * 30, f"at {step}", step=step, of=3)
        return "said"

    stack.runners.behaviours["TALK"] = talkative
    await stack.agent("a", "TALK")

    session_id = await stack.run()

    assert stack.story() == ["started", *["log", "progress"] * 3, "completed"]
    assert [entry.message for entry in await stack.logs(session_id)] == ["step 1", "step 2", "step 3"]
    (session,) = await stack.history()
    assert session.progress is not None
    assert session.progress.percent == 90
    assert (session.outcome, session.output_summary) == (Outcome.COMPLETED, "said")


async def test_started_carries_the_priority_of_the_run_and_completed_its_duration(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "1 8 * * *", priority=Priority.CRITICAL)
    await stack.advance(MINUTE * 3)
    await stack.succeed(result={"posts": 5})

    (started,) = stack.told(AgentStarted)
    (completed,) = stack.told(AgentCompleted)
    assert (started.priority, started.agent_name, started.agent_type) == (Priority.CRITICAL, "a", "HOLD")
    assert (completed.duration_ms, completed.result) == (120_000, '{"posts": 5}')
    assert started.session_id == completed.session_id
