"""``scheduler:status``: on every change, at most five times a second, the last state never held back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from scheduler.events import AgentStarted, SchedulerStatus
from scheduler.status import LONGEST, SHORTEST
from tests.support.stack import Stack

SECOND = timedelta(seconds=1)


@pytest.fixture
async def telling(stack: Stack) -> AsyncIterator[Stack]:
    """A server whose board is at work, with nothing to tell at present."""
    board = asyncio.create_task(stack.board.run())
    await stack.advance(SECOND)
    stack.news.events.clear()
    yield stack
    board.cancel()
    await asyncio.gather(board, return_exceptions=True)


def running(stack: Stack) -> list[int]:
    """How many ran, in each status that was told."""
    return [status.statistics.running for status in stack.statuses()]


async def test_a_change_is_told_at_once(telling: Stack) -> None:
    await telling.agent("a", "HOLD")
    telling.news.events.clear()
    await telling.advance(SHORTEST)

    await telling.run()

    assert running(telling) == [1]


async def test_it_is_told_after_the_event_that_changed_it(telling: Stack) -> None:
    await telling.agent("a", "HOLD")

    await telling.advance(SHORTEST)
    await telling.run()
    await telling.advance(SHORTEST)

    kinds = [type(event) for event in telling.news.events]
    assert kinds.index(AgentStarted) < max(i for i, kind in enumerate(kinds) if kind is SchedulerStatus)


async def test_many_changes_are_told_at_most_five_times_a_second_and_the_last_state_is(telling: Stack) -> None:
    for number in range(30):
        await telling.agent(f"a{number}", "HOLD")
    await telling.advance(SECOND)
    telling.news.events.clear()
    begun = telling.clock.now()

    for number in range(30):  # within one second
        await telling.service.run(f"a{number}", {})
        await telling.advance(SECOND / 30)
    for agent_id in list(telling.runners.running):
        await telling.succeed(agent_id)
    await telling.advance(SECOND)

    statuses = telling.statuses()
    assert 2 <= len([status for status in statuses if status.timestamp < begun + SECOND]) <= 5
    gaps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(statuses)]
    assert min(gaps) >= SHORTEST
    assert statuses[-1].statistics == await telling.service.statistics()


async def test_without_a_change_it_is_told_every_thirty_seconds(telling: Stack) -> None:
    await telling.advance(LONGEST * 3 + SECOND)

    stamps = [status.timestamp for status in telling.statuses()]
    assert len(stamps) == 3
    assert all(b - a <= LONGEST + SHORTEST for a, b in itertools.pairwise(stamps))


async def test_it_waits_for_a_store_that_is_away(telling: Stack) -> None:
    telling.watched.away = True
    telling.board.changed()
    await telling.advance(SECOND)
    assert telling.statuses() == []

    telling.watched.away = False
    await telling.advance(LONGEST)

    assert len(telling.statuses()) >= 1


async def test_that_the_scheduler_stops_is_told(telling: Stack) -> None:
    await telling.shut_down()
    await telling.advance(SHORTEST)

    assert not telling.statuses()[-1].statistics.is_running
