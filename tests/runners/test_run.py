"""What a run accepts of its runner, before it goes anywhere."""

from __future__ import annotations

import math

import pytest

from scheduler.runners import Run
from store.records import Progress
from tests.support.records import an_agent


class Heard:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.progresses: list[Progress] = []
        self.logs: list[tuple[str, str]] = []

    async def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)

    async def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))


def a_run(heard: Heard) -> Run:
    return Run(agent=an_agent(), session_id="s-1", attempt=1, context={}, sink=heard)


@pytest.mark.parametrize(("told", "kept"), [(-5, 0), (0, 0), (33.3, 33.3), (100, 100), (math.inf, 100)])
async def test_progress_is_held_to_its_range(told: float, kept: float) -> None:
    heard = Heard()

    await a_run(heard).progress(told, "on it", step=1, of=3)

    assert heard.progresses == [Progress(kept, "on it", 1, 3)]


async def test_progress_that_is_no_number_is_refused() -> None:
    heard = Heard()

    with pytest.raises(ValueError, match="a number from 0 to 100"):
        await a_run(heard).progress(math.nan)

    assert heard.progresses == []


async def test_a_log_level_nobody_knows_becomes_info() -> None:
    heard = Heard()

    await a_run(heard).log("shout", "hello")

    assert heard.logs == [("info", "hello")]
