"""What a runner is, and what it is handed: the seam between the claim loop and whatever does the work."""

from __future__ import annotations

import math
from typing import Protocol

from store.errors import ServiceError
from store.records import JSON, Agent, JSONObject, Progress


class RunFailed(ServiceError):
    """The run ended as a failure; the message is the one sentence that its session keeps."""


class Sink(Protocol):
    """Where a run's news goes. Each call returns when the entry is accepted, in the order of the calls."""

    async def progress(self, progress: Progress) -> None: ...

    async def log(self, level: str, message: str) -> None: ...


class Run:
    """One execution of an agent, as its runner sees it.

    ``context`` is what the caller of *run now* handed over, else ``{}``; ``attempt`` is 1 on the first try of an
    occurrence; what is put into ``metrics`` is kept with the session.
    """

    def __init__(self, *, agent: Agent, session_id: str, attempt: int, context: JSONObject, sink: Sink) -> None:
        self.agent = agent
        self.session_id = session_id
        self.attempt = attempt
        self.context = context
        self.metrics: JSONObject = {}
        self._sink = sink

    @property
    def configuration(self) -> JSONObject:
        return self.agent.configuration

    async def progress(
        self, percent: float, message: str = "", *, step: int | None = None, of: int | None = None
    ) -> None:
        """Tell how far the run is: *percent* is held to 0..100; *step* *of* how many, where it has steps.

        ``ValueError`` when *percent* is not a number.
        """
        if math.isnan(percent):
            raise ValueError("progress must be a number from 0 to 100")
        percent = min(max(float(percent), 0.0), 100.0)
        await self._sink.progress(Progress(percent, str(message), step, of))

    async def log(self, level: str, message: str) -> None:
        """Add a line to the session's log; a level other than ``debug info warning error`` becomes ``info``."""
        await self._sink.log(level if level in LEVELS else "info", str(message))


LEVELS = frozenset({"debug", "info", "warning", "error"})


class Runner(Protocol):
    async def __call__(self, run: Run) -> JSON:
        """Do the work and return its result.

        An exception is the failure, its text the session's error. Cancellation (stop, time-out, shutdown) arrives as
        ``asyncio.CancelledError``; the runner has ended when this returns or raises, and not before.
        """
        ...


class Runners(Protocol):
    """Which runner runs an agent."""

    def find(self, agent_type: str, configuration: JSONObject) -> Runner:
        """The runner for this type and configuration.

        ``Invalid`` (field ``agentType`` or ``configuration...``) when there is none, saying which types have one and
        how to provide one, or when the configuration is not one this runner accepts.
        """
        ...

    def types(self) -> list[str]:
        """The agent types with a registered runner, sorted."""
        ...
