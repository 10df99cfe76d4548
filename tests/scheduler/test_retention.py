"""Old sessions go, by age and by number; what runs stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from scheduler import retention as module
from scheduler.retention import EVERY, Retention
from store.records import Outcome
from tests.support.clock import START
from tests.support.stack import Stack, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def sweeper(stack: Stack) -> Retention:
    return Retention(stack.store, stack.settings, stack.clock)


async def test_sessions_older_than_the_retention_go(world: World) -> None:
    stack = await world.server(retention=MINUTE * 5)
    await stack.agent(expression="* * * * *")
    await stack.advance(MINUTE * 8)

    removed = await sweeper(stack).sweep()

    assert removed == 2
    assert (await stack.history())[0].started_at == START + MINUTE * 3
    assert len(await stack.history()) == 6


async def test_sessions_beyond_the_number_kept_go_the_oldest_first_and_for_each_agent(world: World) -> None:
    stack = await world.server(keep_sessions=2)
    for name in "ab":
        await stack.agent(name, expression="* * * * *")
    await stack.advance(MINUTE * 5)

    assert await sweeper(stack).sweep() == 6

    for name in "ab":
        assert [session.started_at for session in await stack.history(name)] == [
            START + MINUTE * 4,
            START + MINUTE * 5,
        ]


async def test_gaps_go_with_the_sessions_of_their_time(world: World) -> None:
    stack = await world.server(retention=MINUTE * 5)
    await stack.agent(expression="* * * * *")
    await stack.service.pause("a")
    await stack.advance(MINUTE * 2)
    await stack.service.resume("a")
    await stack.service.unschedule("a")
    await stack.advance(MINUTE * 10)

    await sweeper(stack).sweep()

    assert await stack.gaps() == []


async def test_a_session_that_runs_is_never_removed(world: World) -> None:
    stack = await world.server(retention=MINUTE, keep_sessions=1)
    await stack.agent("a", "HOLD")
    await stack.run()
    await stack.advance(MINUTE * 10)

    assert await sweeper(stack).sweep() == 0

    assert [session.outcome for session in await stack.history()] == [Outcome.RUNNING]


async def test_logs_go_with_their_session(world: World) -> None:
    stack = await world.server(retention=MINUTE)

    async def talks(run: object) -> None:
        await run.log("info", "hello")  # type: ignore[attr-defined]

    stack.runners.behaviours["TALK"] = talks
    await stack.agent("a", "TALK")
    session_id = await stack.run()
    assert await stack.logs(session_id)
    await stack.advance(MINUTE * 2)

    await sweeper(stack).sweep()

    assert await stack.logs(session_id) == []


async def test_much_is_removed_in_small_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "AGENTS_AT_ONCE", 1)
    stack = await world.server(retention=SECOND)
    for name in "ab":
        await stack.agent(name, expression="every 2 seconds")
    await stack.advance(SECOND * 16)
    stack.watched.calls.clear()

    assert await sweeper(stack).sweep() == 14

    assert stack.watched.calls["purge_sessions"] == 6
    assert stack.watched.calls["agent_ids"] == 3


async def test_it_sweeps_at_the_start_and_every_hour(world: World) -> None:
    stack = await world.server(retention=MINUTE)
    await stack.agent()
    await stack.run()
    await stack.shut_down()
    stack.clock.jump(MINUTE * 2)
    task = asyncio.create_task(sweeper(stack).run())
    await stack.settled()
    assert await stack.history() == []
    before = stack.watched.calls["agent_ids"]

    await stack.advance(EVERY)

    assert stack.watched.calls["agent_ids"] > before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_sweep_that_fails_is_tried_again_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    stack = await world.server(retention=MINUTE)
    await stack.agent()
    await stack.run()
    await stack.shut_down()
    stack.clock.jump(MINUTE * 2)
    stack.watched.away = True
    task = asyncio.create_task(sweeper(stack).run())
    await stack.settled()
    assert "retention waits for the store" in caplog.text

    stack.watched.away = False
    await stack.advance(EVERY)

    assert await stack.history() == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
