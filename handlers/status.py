"""How the service is: the scheduler's status for clients, health for whoever watches the process, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import web

from handlers.answer_schemas import HealthPart, SchedulerStatusPart, UnhealthyPart, nested, success
from handlers.answers import ok
from handlers.errors import RETRY_AFTER_S, failure
from handlers.json import pagination_json, statistics_json, task_details_json
from handlers.metrics import Metrics
from handlers.operations import QUERY, Answer, operation
from handlers.schemas import TasksQuery, Window
from scheduler.events import Statistics
from store.base import Store
from store.errors import StoreUnavailable
from store.records import JSON, AgentFilter, AgentOrder, JSONObject

PATIENCE_S = 2.0
"""How long the database may take before it counts as away: whoever asks for health has a time-out too."""


class SchedulerNumbers(Protocol):
    """What these handlers ask of the service."""

    async def statistics(self) -> Statistics: ...


class StatusHandlers:
    """*faults* tells what of this process has died that should be running; nothing when all is well."""

    def __init__(
        self, store: Store, service: SchedulerNumbers, metrics: Metrics, faults: Callable[[], Sequence[str]]
    ) -> None:
        self._store = store
        self._service = service
        self._metrics = metrics
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/agents/scheduler/status", self.scheduler),
            web.get("/api/agents/schedule/status", self.scheduler),
            web.get("/api/scheduler/status", self.scheduler),
        ]

    def open_routes(self) -> list[web.RouteDef]:
        """Those that want no token."""
        return [web.get("/health", self.health), web.get("/metrics", self.metrics)]

    @operation(
        "Read the scheduler's status",
        tag="Scheduler",
        query=TasksQuery(),
        answers={
            200: Answer(
                "The scheduler in numbers, and a page of what is scheduled, the soonest first.",
                success("SchedulerStatusAnswer", nested(SchedulerStatusPart)),
            )
        },
    )
    async def scheduler(self, request: web.Request) -> web.Response:
        """Over all servers, but for isRunning and maxConcurrentAgents. queuedTasksCount counts those scheduled and
        not running."""
        window: Window = request[QUERY]
        page = await self._store.list_agents(
            AgentFilter(scheduled=True), limit=window.limit, offset=window.offset, order=AgentOrder.SOONEST
        )
        tasks: list[JSON] = [task_details_json(agent) for agent in page.items]
        numbers = statistics_json(await self._service.statistics())
        return ok(numbers | {"tasks": tasks, "pagination": pagination_json(page.total, window.limit, window.offset)})

    @operation(
        "Check the health of the service",
        tag="Service",
        answers={
            200: Answer("All is well.", success("HealthAnswer", nested(HealthPart))),
            503: Answer("Something is not: `data` says what.", UnhealthyPart()),
        },
        wants_token=False,
    )
    async def health(self, _: web.Request) -> web.Response:
        """200 while the process, the database and the scheduler are well, else 503 that says which is not."""
        statistics, faults = await self._statistics(), list(self._faults())
        data: JSONObject = {
            "status": "ok" if statistics and not faults else "failing",
            "process": "ok",
            "database": "ok" if statistics else "unreachable",
            "scheduler": _scheduler_word(statistics, faults),
        }
        if statistics and not faults:
            return ok(data)
        wrong = faults or ["The database cannot be reached"]
        return failure(503, f"{'; '.join(wrong)}.", headers={"Retry-After": str(RETRY_AFTER_S)}, data=data)

    @operation(
        "Read the metrics",
        tag="Service",
        answers={200: Answer("Counters and gauges for Prometheus.", media="text/plain")},
        wants_token=False,
    )
    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus' text format; still answered while the database is away."""
        self._metrics.scheduler(await self._statistics())
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": self._metrics.content_type})

    async def _statistics(self) -> Statistics | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._store.ping()
                return await self._service.statistics()
        except (StoreUnavailable, TimeoutError):
            return None


def _scheduler_word(statistics: Statistics | None, faults: Sequence[str]) -> str:
    if faults:
        return "failed"
    if statistics is None:
        return "unknown"
    return "running" if statistics.is_running else "stopped"
