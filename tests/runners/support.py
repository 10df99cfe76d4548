"""A run to hand to a runner, and what was heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from scheduler.runners.base import Run
from store.records import JSONObject, Progress
from tests.support.records import an_agent

PATIENCE_S = 30.0
"""How long a test waits for what must happen; it never takes that long unless it has failed."""


class Heard:
    """A sink that keeps what it is told, and can be waited on."""

    def __init__(self) -> None:
        self.progress_told: list[Progress] = []
        self.logs: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    async def progress(self, progress: Progress) -> None:
        self.progress_told.append(progress)
        self._changed.set()

    async def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))
        self._changed.set()

    @property
    def lines(self) -> list[str]:
        return [message for _, message in self.logs]

    @property
    def percents(self) -> list[float]:
        return [progress.percent for progress in self.progress_told]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def a_run(configuration: JSONObject | None = None, *, sink: Any = None, context: JSONObject | None = None) -> Run:
    agent = an_agent("agent-1", configuration=configuration or {})
    return Run(agent=agent, session_id="session-1", attempt=1, context=context or {}, sink=sink or Heard())


async def ended(task: asyncio.Task[Any]) -> BaseException | None:
    """Wait for *task*; what it raised, its cancellation too, None if it returned."""
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({task})
    try:
        task.result()
    except BaseException as error:  # noqa: BLE001
        return error
    return None
