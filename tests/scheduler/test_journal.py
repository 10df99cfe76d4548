"""What a run tells on its way: in order, written before it is told, and never in the way of the run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from scheduler import journal as module
from scheduler.events import AgentLog, AgentProgress
from scheduler.journal import LOG_LINE_LIMIT, Journal
from scheduler.runners.base import Run
from store.base import Store
from store.records import JSON, LogEntry, Progress
from tests.support.stack import Stack

SECOND = timedelta(seconds=1)


async def a_journal(stack: Stack) -> Journal:
    """The journal of a session of agent ``a`` that is running."""
    await stack.agent("a", "HOLD")
    session_id = await stack.run()
    return Journal(stack.store, stack.news.publish, stack.clock, agent_id="a", session_id=session_id)


async def messages(stack: Stack) -> list[str]:
    (session,) = await stack.history()
    return [entry.message for entry in await stack.logs(session.id)]


async def test_everything_is_written_and_told_when_it_is_closed(stack: Stack) -> None:
    journal = await a_journal(stack)
    for number in range(600):  # more than its queue holds
        await journal.log("info", str(number))

    await journal.close()

    assert await messages(stack) == [str(number) for number in range(600)]
    assert [event.log.message for event in stack.told(AgentLog)] == [str(number) for number in range(600)]


async def test_what_comes_quickly_is_written_in_batches(stack: Stack) -> None:
    journal = await a_journal(stack)
    stack.watched.hold("add_journal")
    await journal.log("info", "first")
    await stack.settled()
    for number in range(100):
        await journal.progress(Progress(number))
        await journal.log("info", str(number))

    stack.watched.let_go("add_journal")
    await journal.close()

    assert stack.watched.calls["add_journal"] == 2
    assert len(await messages(stack)) == 101
    assert [event.progress.percent for event in stack.told(AgentProgress)] == list(range(100))


async def test_what_is_told_soon_after_a_write_is_gathered_and_written_together(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    journal = await a_journal(stack)
    for number in range(5):
        await journal.log("info", str(number))
        await stack.settled()
    assert [event.log.message for event in stack.told(AgentLog)] == ["0"]

    await journal.close()

    assert stack.watched.calls["add_journal"] == 2
    assert await messages(stack) == ["0", "1", "2", "3", "4"]


async def test_nothing_is_told_before_it_is_written(stack: Stack) -> None:
    journal = await a_journal(stack)
    stack.watched.hold("add_journal")

    await journal.log("info", "first")
    await stack.settled()
    assert stack.told(AgentLog) == []

    stack.watched.let_go("add_journal")
    await journal.close()
    assert len(stack.told(AgentLog)) == 1


async def test_a_run_that_tells_faster_than_the_store_writes_is_held_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_LIMIT", 5)
    journal = await a_journal(stack)
    stack.watched.hold("add_journal")

    async def tell() -> None:
        for number in range(100):
            await journal.log("info", str(number))

    telling = asyncio.create_task(tell())
    await stack.settled()
    assert not telling.done()

    stack.watched.let_go("add_journal")
    await telling
    await journal.close()
    assert len(await messages(stack)) == 100


async def test_a_run_that_is_held_up_when_its_session_is_given_up_goes_on(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_LIMIT", 1)
    journal = await a_journal(stack)
    stack.watched.hold("add_journal")

    async def tell() -> None:
        for number in range(3):
            await journal.log("info", str(number))

    telling = asyncio.create_task(tell())
    await stack.settled()
    assert not telling.done()

    journal.abandon()
    stack.watched.let_go("add_journal")
    await telling
    assert stack.told(AgentLog) == []


async def test_it_goes_on_in_order_when_the_store_is_back(stack: Stack) -> None:
    journal = await a_journal(stack)
    await journal.log("info", "before")
    await stack.settled()
    stack.watched.away = True
    await journal.log("info", "while away")
    await stack.advance(SECOND * 5)

    stack.watched.away = False
    await journal.log("info", "after")
    await stack.advance(SECOND)
    await journal.close()

    assert await messages(stack) == ["before", "while away", "after"]


async def test_nothing_is_told_of_a_session_that_has_ended_without_us(stack: Stack) -> None:
    journal = await a_journal(stack)
    await stack.succeed()

    await journal.log("info", "too late")
    await journal.close()

    assert (await messages(stack), stack.told(AgentLog)) == ([], [])


async def test_what_is_told_after_the_end_is_not_kept_and_holds_up_nobody(stack: Stack) -> None:
    journal = await a_journal(stack)
    await journal.log("info", "in time")
    await journal.close()

    for _ in range(1000):
        await journal.log("info", "too late")

    assert await messages(stack) == ["in time"]


async def test_a_task_that_goes_on_telling_after_the_end_lets_others_go_on(stack: Stack) -> None:
    journal = await a_journal(stack)
    await journal.close()

    async def never_silent() -> None:
        while True:
            await journal.progress(Progress(1))

    task = asyncio.create_task(never_silent())
    await stack.settled()

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_run_that_says_nothing_until_its_end_leaves_no_task_behind(stack: Stack) -> None:
    journal = await a_journal(stack)
    before = asyncio.all_tasks()

    await journal.close()
    await journal.log("info", "too late")

    assert asyncio.all_tasks() == before


async def test_a_batch_that_cannot_be_kept_does_not_stop_the_run(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        refused = False

        async def add_journal(self, session_id: str, progress: Progress | None, logs: list[LogEntry]) -> None:
            if not self.refused:
                self.refused = True
                raise ValueError("not this one")
            await stack.watched.real.add_journal(session_id, progress, logs)

    kept = await a_journal(stack)
    journal = Journal(
        cast(Store, Refusing()), stack.news.publish, stack.clock, agent_id="a", session_id=kept._session_id
    )
    await journal.log("info", "refused")
    await stack.settled()
    await journal.log("info", "kept")
    await journal.close()

    assert await messages(stack) == ["kept"]
    assert "could not be kept" in caplog.text


async def test_long_lines_are_cut(stack: Stack) -> None:
    journal = await a_journal(stack)
    await journal.log("info", "x" * 100_000)
    await journal.progress(Progress(1, "y" * 100_000))
    await journal.close()

    assert [len(message) for message in await messages(stack)] == [LOG_LINE_LIMIT]
    assert len(stack.told(AgentProgress)[0].progress.message) == LOG_LINE_LIMIT


async def test_the_log_of_a_run_that_never_stops_talking_ends_with_a_word_why(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_LINES_LIMIT", 10)
    journal = await a_journal(stack)
    for number in range(100):
        await journal.log("info", str(number))
    await journal.close()

    assert await messages(stack) == [
        *[str(number) for number in range(9)],
        "More than 10 lines: the rest of this run's log is not kept",
    ]


async def test_lines_that_databases_refuse_are_kept_without_what_they_refuse(stack: Stack) -> None:
    journal = await a_journal(stack)
    await journal.log("info", "a\ud800b")
    await journal.close()

    assert await messages(stack) == ["a?b"]


async def test_progress_is_held_between_0_and_100_and_an_unknown_level_becomes_info(stack: Stack) -> None:
    async def behaviour(run: Run) -> JSON:
        await run.progress(-5)
        await run.progress(250, "over", step=3, of=2)
        await run.log("shout", "hey")
        return None

    stack.runners.behaviours["ODD"] = behaviour
    await stack.agent("a", "ODD")
    await stack.run()

    assert [event.progress.percent for event in stack.told(AgentProgress)] == [0, 100]
    assert [event.log.level for event in stack.told(AgentLog)] == ["info"]


async def test_a_run_that_only_logs_lets_everybody_else_have_turns(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_LINES_LIMIT", 1)
    journal = await a_journal(stack)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await journal.log("info", "the last line that is kept")
    await asyncio.sleep(0)
    before = turns
    for _ in range(10 * module.DROPPED_A_TURN):
        await journal.log("info", "dropped")
    task.cancel()

    assert turns - before >= 9
    await journal.close()


async def test_every_text_is_hidden_before_it_is_cut(stack: Stack) -> None:
    await stack.agent("a", "HOLD")
    session_id = await stack.run()
    journal = Journal(
        stack.store,
        stack.news.publish,
        stack.clock,
        agent_id="a",
        session_id=session_id,
        hide=lambda text: text.replace("s3cret", "***"),
    )

    await journal.log("info", "x" * (LOG_LINE_LIMIT - 3) + "s3cret")
    await journal.progress(Progress(10, "with s3cret"))
    await journal.close()

    assert (await messages(stack))[0].endswith("x***")
    assert [event.progress.message for event in stack.told(AgentProgress)] == ["with ***"]
