"""A database that does not answer for a while: the loop goes on after it, and no end is lost or told twice."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler.events import AgentCompleted
from scheduler.runners.base import Run
from store.records import JSON, AgentStatus, Outcome
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return START + MINUTE * minutes


def trouble(stack: Stack) -> str | None:
    """What keeps the loop from its work."""
    return stack.scheduler.trouble


async def test_the_loop_goes_on_when_the_store_is_back(stack: Stack) -> None:
    await stack.agent(expression="1 8 * * *")
    stack.watched.away = True
    await stack.advance(MINUTE * 1.1)
    assert trouble(stack) == "the store is away: The store is away"

    stack.watched.away = False
    await stack.advance(SECOND)

    assert trouble(stack) is None
    assert [session.scheduled_for for session in await stack.history()] == [at(1)]


async def test_a_turn_that_goes_wrong_is_tried_again_and_seen(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stack.agent(expression="1 8 * * *")

    async def broken() -> None:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(stack.watched, "next_due", broken, raising=False)
        await stack.advance(MINUTE * 1.1)
        assert trouble(stack) == "RuntimeError: a mistake of ours"
    await stack.advance(SECOND)

    assert trouble(stack) is None
    assert "a turn of the scheduler failed" in caplog.text
    assert len(await stack.history()) == 1


async def test_an_end_is_written_when_the_store_is_back_with_the_moment_the_run_ended(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "0 9 * * *")
    await stack.run()
    await stack.advance(SECOND * 10)
    stack.watched.away = True
    await stack.succeed()
    await stack.advance(SECOND * 50)
    assert stack.told(AgentCompleted) == []

    stack.watched.away = False
    await stack.advance(SECOND)

    (session,) = await stack.history()
    assert (session.outcome, session.duration_ms) == (Outcome.COMPLETED, 10_000)
    assert stack.story() == ["started", "completed"]
    assert (await stack.get()).status is AgentStatus.COMPLETED


async def test_an_end_whose_answer_was_lost_is_told_once(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()
    stack.watched.lose_answer("change_agent")
    await stack.succeed()

    await stack.advance(SECOND * 5)

    assert stack.story() == ["started", "completed"]
    assert stack.told(AgentCompleted)[0].result == "done"


async def test_a_failure_whose_answer_was_lost_is_retried_once(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()
    stack.watched.lose_answer("change_agent")
    await stack.fail()

    await stack.advance(SECOND * 30)

    assert stack.story() == ["started", "failed", "started"]
    assert [session.attempt for session in await stack.history()] == [1, 2]


async def test_a_claim_whose_answer_was_lost_comes_back_after_its_lease(stack: Stack) -> None:
    await stack.agent(expression="1 8 * * *")
    stack.watched.lose_answer("claim_due")

    await stack.advance(MINUTE + SECOND * 40)

    assert [(session.scheduled_for, session.outcome) for session in await stack.history()] == [
        (at(1), Outcome.COMPLETED)
    ]


async def test_a_start_whose_answer_was_lost_ends_as_interrupted_after_its_lease(stack: Stack) -> None:
    await stack.agent("a", "HOLD", "1 8 * * *")
    stack.watched.lose_answer("change_agent")

    await stack.advance(MINUTE + SECOND * 50)

    first, second = await stack.history()
    assert (first.outcome, first.attempt) == (Outcome.INTERRUPTED, 1)
    assert (second.outcome, second.attempt) == (Outcome.RUNNING, 2)


async def test_progress_and_logs_keep_their_order_and_come_before_the_end(stack: Stack) -> None:
    async def talkative(run: Run) -> JSON:
        for number in range(20):
            await run.log("info", str(number))
            await run.progress(number)
            if number == 5:
                stack.watched.away = True
        return None

    stack.runners.behaviours["TALK"] = talkative
    await stack.agent("a", "TALK")
    session_id = await stack.run()
    await stack.advance(SECOND * 10)
    assert "completed" not in stack.story()

    stack.watched.away = False
    await stack.advance(SECOND * 2)

    assert [entry.message for entry in await stack.logs(session_id)] == [str(number) for number in range(20)]
    assert stack.story() == ["started", *["log", "progress"] * 20, "completed"]


async def test_a_lease_of_the_embedded_store_is_not_lost_by_its_absence(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    await stack.run()
    stack.watched.away = True
    await stack.advance(MINUTE * 3)
    stack.watched.away = False
    await stack.advance(MINUTE)

    assert stack.runners.running == ["a"]
    await stack.succeed()
    assert stack.story() == ["started", "completed"]


async def test_an_end_that_another_server_wrote_meanwhile_is_not_told_again(shared: World) -> None:
    first = await shared.server(shared=True)
    second = await shared.server(shared=True)
    await first.agent("a", "HOLD")
    await first.run()
    first.watched.away = True
    await first.succeed()
    await shared.clock.advance(MINUTE)

    first.watched.away = False
    await shared.clock.advance(SECOND * 5)

    assert (first.story(), second.story()[:1]) == (["started"], ["failed"])
    assert (await second.history())[0].outcome is Outcome.INTERRUPTED
