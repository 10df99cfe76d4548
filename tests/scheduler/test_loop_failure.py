"""Failures, time-outs, retries and their backoff; and what a runner may give back without harm."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime, timedelta

import pytest

from scheduler import rules
from scheduler.events import AgentCompleted, AgentFailed
from scheduler.executor import ERROR_LIMIT
from scheduler.requests import ScheduleRequest
from scheduler.runners.base import Run
from scheduler.settings import SchedulerSettings
from store.records import JSON, AgentStatus, Outcome, Trigger
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


async def test_a_failure_is_retried_after_a_doubling_backoff_until_the_retries_are_used_up(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")

    await stack.advance(MINUTE * 10)

    sessions = await stack.history()
    waits = [later.started_at - earlier.started_at for earlier, later in itertools.pairwise(sessions)]
    assert waits == [SECOND * 10, SECOND * 20, SECOND * 40]
    assert [(session.attempt, session.trigger) for session in sessions] == [
        (1, Trigger.CRON),
        (2, Trigger.RETRY),
        (3, Trigger.RETRY),
        (4, Trigger.RETRY),
    ]
    assert {session.scheduled_for for session in sessions} == {at(1)}
    assert {session.error_message for session in sessions} == {"it broke"}


async def test_each_failure_tells_how_many_there_were_and_when_the_retry_comes(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE * 10)

    told = stack.told(AgentFailed)
    assert [failed.retry_count for failed in told] == [1, 2, 3, 4]
    assert [failed.will_retry for failed in told] == [True, True, True, False]
    started = [session.started_at for session in await stack.history()]
    assert [failed.next_retry_at for failed in told] == [*started[1:], None]


async def test_after_the_last_retry_the_agent_is_in_error_and_its_count_starts_anew(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE * 10)

    agent = await stack.get()
    assert (agent.status, agent.retry_count, agent.last_error, agent.pending) == (
        AgentStatus.ERROR,
        0,
        "it broke",
        None,
    )
    assert agent.next_run_at == START + timedelta(days=1, minutes=1)


async def test_after_the_last_retry_the_next_occurrence_runs_and_fails_anew(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "every 5 minutes")

    await stack.advance(MINUTE * 11)

    assert [failed.retry_count for failed in stack.told(AgentFailed)][:5] == [1, 2, 3, 4, 1]
    assert [session.attempt for session in await stack.history()][:5] == [1, 2, 3, 4, 1]


async def test_a_success_resets_count_error_and_backoff(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "1 8 * * *")
    await stack.advance(MINUTE)
    await stack.fail()
    assert (await stack.get()).retry_count == 1
    await stack.advance(SECOND * 10)
    await stack.succeed()

    agent = await stack.get()
    assert (agent.status, agent.retry_count, agent.last_error, agent.pending) == (AgentStatus.COMPLETED, 0, None, None)


async def test_between_a_failure_and_its_retry_the_agent_is_in_error_and_not_running(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE)

    agent = await stack.get()
    assert (agent.status, agent.is_running, agent.retry_count) == (AgentStatus.ERROR, False, 1)
    assert agent.due_at == at(1) + SECOND * 10


async def test_a_newer_occurrence_comes_instead_of_a_retry_that_waits(world: World) -> None:
    stack = await world.server(backoff_base=MINUTE * 2)
    await stack.agent("a", "FAIL", "* * * * *")

    await stack.advance(MINUTE * 2)

    assert [(session.scheduled_for, session.attempt) for session in await stack.history()] == [(at(1), 1), (at(2), 1)]
    assert [failed.retry_count for failed in stack.told(AgentFailed)] == [1, 2]


async def test_a_failed_run_by_hand_is_retried_with_its_context(stack: Stack) -> None:
    await stack.agent("a", "FAIL")
    await stack.run(topic="cats")
    await stack.advance(SECOND * 10)

    first, second = await stack.history()
    assert (second.attempt, second.context, second.occurrence) == (2, {"topic": "cats"}, first.occurrence)


async def test_no_retries_means_none(world: World) -> None:
    stack = await world.server(max_retries=0)
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE * 10)

    (failed,) = stack.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry) == (1, False)


async def test_jitter_takes_up_to_a_tenth_off_the_backoff(world: World) -> None:
    stack = await world.server(jitter=1.0)
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE)

    assert stack.told(AgentFailed)[0].next_retry_at == at(1) + SECOND * 9


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (1000, 300)]
)
def test_the_backoff_doubles_up_to_its_bound(failures: int, seconds: float) -> None:
    assert rules.backoff(failures, SchedulerSettings(), 0.0) == SECOND * seconds


# Time-out


async def test_a_run_past_its_time_is_cancelled_and_counts_as_failed(world: World) -> None:
    stack = await world.server(run_timeout=MINUTE)
    await stack.agent("a", "HOLD", "1 8 * * *")

    await stack.advance(MINUTE * 2)

    (session,) = await stack.history()
    assert (session.outcome, session.error_message) == (Outcome.TIMED_OUT, "Timed out after 60000 ms")
    (failed,) = stack.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry) == (1, True)
    assert stack.runners.running == []


async def test_an_agent_may_have_a_time_out_of_its_own(stack: Stack) -> None:
    await stack.agent("a", "HOLD", configuration={"timeoutMs": 1500})
    await stack.run()

    await stack.advance(SECOND * 1.5)

    (session,) = await stack.history()
    assert (session.outcome, session.duration_ms) == (Outcome.TIMED_OUT, 1500)


@pytest.mark.parametrize("timeout", [0, -1, True, "60", None, float("nan"), [1]])
async def test_a_time_out_that_is_none_is_ignored(stack: Stack, timeout: JSON) -> None:
    await stack.agent("a", "HOLD", configuration={"timeoutMs": timeout})
    await stack.run()

    await stack.advance(SECOND)

    assert stack.runners.running == ["a"]


@pytest.mark.parametrize("timeout", [1e300, 10**400, float("inf")])
async def test_a_time_out_beyond_all_bounds_is_a_long_one(stack: Stack, timeout: float) -> None:
    await stack.agent("a", "HOLD", configuration={"timeoutMs": timeout})
    await stack.run()

    await stack.succeed()

    assert (await stack.history())[0].outcome is Outcome.COMPLETED


async def test_no_retry_starts_before_a_cancelled_run_has_really_ended(world: World) -> None:
    stack = await world.server(run_timeout=MINUTE)
    stubborn = stack.runners.add_stubborn()
    await stack.agent("a", "STUBBORN", "1 8 * * *")

    await stack.advance(MINUTE * 5)
    assert (stubborn.cancelled, stubborn.alive, len(await stack.history())) == (1, 1, 1)
    assert (await stack.get()).is_running

    stubborn.end.set()
    await stack.settled()
    (session,) = await stack.history()
    assert (session.outcome, session.completed_at) == (Outcome.TIMED_OUT, at(5))
    await stack.advance(SECOND * 10)
    assert len(await stack.history()) == 2


# What runners do


async def a_run_of(stack: Stack, behaviour: object) -> None:
    stack.runners.behaviours["ODD"] = behaviour  # type: ignore[assignment]
    await stack.agent("a", "ODD")
    await stack.run()


async def test_a_result_becomes_the_summary(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        run.metrics["posts"] = 5
        return "Generated 5 blog posts"

    await a_run_of(stack, behaviour)

    (completed,) = stack.told(AgentCompleted)
    (session,) = await stack.history()
    assert (completed.result, completed.metrics) == ("Generated 5 blog posts", {"posts": 5})
    assert (session.output_summary, session.metrics) == ("Generated 5 blog posts", {"posts": 5})


async def test_metrics_that_json_cannot_carry_are_kept_as_text(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        run.metrics.update(good=1, nan=float("nan"), when=START)  # type: ignore[call-overload]
        return None

    await a_run_of(stack, behaviour)

    (session,) = await stack.history()
    assert session.outcome is Outcome.COMPLETED
    assert session.metrics == {"good": 1, "nan": "nan", "when": str(START)}


async def test_a_run_that_fails_keeps_its_metrics(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        run.metrics["posts"] = 2
        raise RuntimeError("it broke")

    await a_run_of(stack, behaviour)

    assert (await stack.history())[0].metrics == {"posts": 2}


async def test_a_result_that_cannot_be_read_fails_the_run_and_nothing_else(stack: Stack) -> None:
    class Unreadable:
        def __str__(self) -> str:
            raise ValueError("no text")

    async def behaviour(run: Run) -> object:
        return Unreadable()

    await a_run_of(stack, behaviour)

    (session,) = await stack.history()
    assert (session.outcome, session.error_message) == (
        Outcome.FAILED,
        "The runner's result cannot be read: ValueError",
    )


async def test_an_error_of_any_length_and_kind_is_kept_as_text(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        raise RuntimeError("x" * 1_000_000 + "\ud800")

    await a_run_of(stack, behaviour)

    message = (await stack.history())[0].error_message
    assert message is not None
    assert len(message) == ERROR_LIMIT + 3


@pytest.mark.parametrize(
    ("error", "text"),
    [(RuntimeError(), "RuntimeError"), (KeyError("name"), "KeyError: 'name'"), (ValueError("bad"), "bad")],
)
async def test_an_error_says_what_it_is(stack: Stack, error: Exception, text: str) -> None:
    async def behaviour(run: Run) -> JSON:
        raise error

    await a_run_of(stack, behaviour)

    assert (await stack.history())[0].error_message == text


async def test_a_runner_that_cancels_itself_has_failed(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        raise asyncio.CancelledError

    await a_run_of(stack, behaviour)

    (session,) = await stack.history()
    assert session.outcome is Outcome.FAILED
    assert stack.told(AgentFailed)[0].will_retry


async def test_an_agent_whose_runner_is_gone_fails_and_says_so(stack: Stack) -> None:
    await stack.agent(expression="1 8 * * *")
    del stack.runners.behaviours["ECHO"]
    await stack.advance(MINUTE)

    assert (await stack.history())[0].error_message == "No runner for ECHO"
    assert stack.story() == ["started", "failed"]


# Schedules that change meanwhile


async def test_a_run_whose_schedule_was_forgotten_is_not_retried(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "1 8 * * *")
    await stack.advance(MINUTE)
    await stack.service.unschedule("a")

    await stack.fail()

    (failed,) = stack.told(AgentFailed)
    assert (failed.retry_count, failed.will_retry) == (1, False)
    agent = await stack.get()
    assert (agent.status, agent.pending, agent.due_at) == (AgentStatus.ERROR, None, None)


async def test_a_new_schedule_forgets_the_retry_and_the_error_of_the_old_one(stack: Stack) -> None:
    await stack.agent("a", "FAIL", "1 8 * * *")
    await stack.advance(MINUTE)

    agent = await stack.service.save_schedule("a", ScheduleRequest("30 8 * * *"))

    assert (agent.status, agent.retry_count, agent.last_error, agent.pending) == (AgentStatus.IDLE, 0, None, None)
