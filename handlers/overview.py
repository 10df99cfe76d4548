"""What a monitoring page begins with: every agent in one short row, and what new agents can be made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from handlers.answer_schemas import nested, success
from handlers.answers import ok
from handlers.json import agent_json, pagination_json, task_json
from handlers.monitor_schemas import OverviewPart, OverviewQuery, RunnersPart
from handlers.operations import QUERY, Answer, operation
from handlers.schemas import Window
from scheduler.cron import describe
from store.base import Store
from store.errors import Invalid
from store.records import JSON, Agent, AgentFilter, JSONObject, Schedule

AT_ONCE = 250
"""Rows made in one turn of the loop."""

_OF_AGENT = (
    "id",
    "name",
    "agentType",
    "status",
    "schedulePriority",
    "scheduleExpression",
    "scheduleTimezone",
    "scheduleEnabled",
    "isPaused",
    "nextRunAt",
    "lastRunAt",
)
_OF_TASK = ("isRunning", "retryCount", "lastError", "backoffUntil")


class KnownRunners(Protocol):
    """What agents can be made of."""

    def types(self) -> Sequence[str]: ...

    def commands(self) -> Sequence[str]: ...


class NoRunners:
    """Of a server that registered none: agents are HTTP endpoints."""

    def types(self) -> Sequence[str]:
        return ()

    def commands(self) -> Sequence[str]:
        return ()


class OverviewHandlers:
    def __init__(self, store: Store, runners: KnownRunners) -> None:
        self._store = store
        self._runners = runners

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/overview", self.overview), web.get("/api/runners", self.runners)]

    @operation(
        "List agents in short rows",
        tag="Agents",
        query=OverviewQuery(),
        answers={
            200: Answer(
                "A page of the agents, the newest first, with their schedules in words and where they stand.",
                success("OverviewAnswer", nested(OverviewPart)),
            )
        },
    )
    async def overview(self, request: web.Request) -> web.Response:
        """For pages that show thousands of agents: without descriptions and configurations. Compressed on request."""
        window: Window = request[QUERY]
        page = await self._store.list_agents(AgentFilter(), limit=window.limit, offset=window.offset)
        rows: list[JSON] = []
        for agent in page.items:
            rows.append(_row(agent))
            if len(rows) % AT_ONCE == 0:
                await asyncio.sleep(0)  # thousands of rows are some hundredths of a second: others have their turn
        answer = ok({"agents": rows, "pagination": pagination_json(page.total, window.limit, window.offset)})
        answer.enable_compression()
        return answer

    @operation(
        "List the runners",
        tag="Agents",
        answers={200: Answer("What agents can be made of.", success("RunnersAnswer", nested(RunnersPart)))},
    )
    async def runners(self, request: web.Request) -> web.Response:
        """Types with a Python runner, and the programs the operator listed. Any type can run over HTTP."""
        types: list[JSON] = [*self._runners.types()]
        commands: list[JSON] = [*self._runners.commands()]
        return ok({"agentTypes": types, "commands": commands})


def _row(agent: Agent) -> JSONObject:
    whole, task = agent_json(agent), task_json(agent)
    row = {name: whole[name] for name in _OF_AGENT} | {name: task[name] for name in _OF_TASK}
    return row | {"scheduleWords": words_of(agent.schedule)}


def words_of(schedule: Schedule | None) -> str | None:
    """The schedule in English; None without one, or when this machine no longer knows its zone."""
    if schedule is None:
        return None
    try:
        return describe(schedule.expression, schedule.timezone)
    except Invalid:
        return None
