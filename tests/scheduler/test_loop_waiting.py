"""Waiting for whichever comes first."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.waiting import first_of
from tests.support.clock import turns


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_was_made_for_the_wait_is_gone_after_it() -> None:
    before = asyncio.all_tasks()
    done = asyncio.Event()
    done.set()

    await first_of(forever(), done.wait(), forever())

    assert asyncio.all_tasks() == before


async def test_a_task_that_was_handed_in_goes_on() -> None:
    given = asyncio.create_task(forever())

    await first_of(given, asyncio.sleep(0))
    assert not given.done()

    given.cancel()
    await first_of(given, forever())
    assert given.cancelled()


async def test_an_error_of_what_was_made_here_is_raised_and_one_of_a_given_task_is_not() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await first_of(broken(), forever())

    given = asyncio.create_task(broken())
    await first_of(given, forever())
    assert isinstance(given.exception(), ValueError)


async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(first_of(forever(), forever()))
    await turns()

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before
