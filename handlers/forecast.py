"""What will run and why something does not: expressions explained, coming occurrences, one agent's standing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from aiohttp import web

from handlers.answer_schemas import nested, success
from handlers.answers import ok
from handlers.json import time_json
from handlers.monitor_schemas import (
    ExplanationPart,
    PreviewPart,
    PreviewQuery,
    PreviewWanted,
    UpcomingPart,
    UpcomingQuery,
    UpcomingWanted,
)
from handlers.operations import QUERY, Answer, operation
from handlers.paths import agent_id
from scheduler.clock import Clock
from scheduler.cron import Span, Timetable, describe, dst_warnings, timetable
from scheduler.events import Statistics
from scheduler.explain import explain
from scheduler.occurrences import MILLISECOND, grid
from store.base import Store
from store.errors import Invalid
from store.records import JSON, Agent, AgentFilter, AgentOrder, Gap, JSONObject, Outcome, Page, SessionFilter

HOUR = timedelta(hours=1)
FARTHEST = timedelta(days=31)
MOST_FIRES = 3000
"""Occurrences one answer lists: finding each takes some microseconds of the loop that everybody shares."""
GAPS = frozenset({Outcome.MISSED, Outcome.SKIPPED})


class Statistician(Protocol):
    async def statistics(self) -> Statistics: ...


class ForecastHandlers:
    def __init__(self, store: Store, service: Statistician, clock: Clock, zone: str) -> None:
        self._store = store
        self._service = service
        self._clock = clock
        self._zone = zone

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/schedule/preview", self.preview),
            web.get("/api/schedule/upcoming", self.upcoming),
            web.get("/api/agents/{id}/schedule/explain", self.explain),
        ]

    @operation(
        "Try a schedule",
        tag="Schedules",
        query=PreviewQuery(),
        answers={200: Answer("What it means and when it fires.", success("PreviewAnswer", nested(PreviewPart)))},
    )
    async def preview(self, request: web.Request) -> web.Response:
        """Saves nothing. 400 says why an expression or a zone is refused, as saving it would."""
        wanted: PreviewWanted = request[QUERY]
        now, zone = self._clock.now(), wanted.timezone or self._zone
        times = timetable(wanted.expression, zone, anchor=now)
        fires: list[JSON] = [time_json(moment) for moment in _fires(times, now, wanted.count)]
        warnings: list[JSON] = [*dst_warnings(times, now)]
        return ok(
            {
                "cronExpression": wanted.expression,
                "timezone": zone,
                "words": describe(wanted.expression, zone),
                "fires": fires,
                "warnings": warnings,
            }
        )

    @operation(
        "List what is coming",
        tag="Schedules",
        query=UpcomingQuery(),
        answers={
            200: Answer("The occurrences up to a moment, by agent.", success("UpcomingAnswer", nested(UpcomingPart)))
        },
    )
    async def upcoming(self, request: web.Request) -> web.Response:
        """Agents whose schedule is enabled and not paused, the soonest first. `hasMore` tells whether further agents
        or occurrences were left out."""
        wanted: UpcomingWanted = request[QUERY]
        now = self._clock.now()
        until = wanted.until or now + HOUR
        if not now < until <= now + FARTHEST:
            raise Invalid("until must lie in the future, at most 31 days ahead.", field="until")
        page = await self._store.list_agents(
            AgentFilter(scheduled=True, paused=False), limit=wanted.limit, order=AgentOrder.SOONEST
        )
        coming = _coming(page.items, now, until, wanted.per_agent)
        rows: list[JSON] = [row.json() for row in coming]
        return ok(
            {
                "since": time_json(now),
                "until": time_json(until),
                "agents": rows,
                "hasMore": _has_more(page, until) or any(row.is_cut for row in coming),
            }
        )

    @operation(
        "Explain why an agent does not run",
        tag="Schedules",
        answers={
            200: Answer(
                "Reasons in words, the decisive one first.", success("ExplanationAnswer", nested(ExplanationPart))
            )
        },
        errors=(404,),
    )
    async def explain(self, request: web.Request) -> web.Response:
        """Or why it did not, and when it will: from where it stands now and its latest occurrence that did not run."""
        agent = await self._store.get_agent(agent_id(request))
        gaps = await self._store.list_sessions(SessionFilter(agent.id, outcomes=GAPS, gaps=True), limit=1)
        gap = next((row for row in gaps.items if isinstance(row, Gap)), None)
        found = explain(agent, now=self._clock.now(), statistics=await self._service.statistics(), gap=gap)
        reasons: list[JSON] = [
            {"code": reason.code, "message": reason.message, "at": time_json(reason.at)} for reason in found.reasons
        ]
        return ok({"agentId": agent.id, "willRunAt": time_json(found.will_run_at), "reasons": reasons})


def _fires(times: Timetable, after: datetime, count: int, until: datetime | None = None) -> list[datetime]:
    """The next *count* occurrences after *after*, none later than *until*; fewer where the calendar ends."""
    fires: list[datetime] = []
    moment = after
    while len(fires) < count:
        try:
            moment = times.next_after(moment)
        except OverflowError:
            break
        if until is not None and moment > until:
            break
        fires.append(moment)
    return fires


@dataclass(frozen=True, slots=True)
class _Coming:
    """The occurrences of one agent: *fires* are the first of those in *span*."""

    agent: Agent
    span: Span
    fires: list[datetime]

    @property
    def is_cut(self) -> bool:
        return len(self.fires) < self.span.count

    def json(self) -> JSONObject:
        return {
            "agentId": self.agent.id,
            "agentName": self.agent.name,
            "count": self.span.count,
            "lastAt": time_json(self.span.last),
            "fires": [time_json(moment) for moment in self.fires],
        }


def _coming(agents: list[Agent], now: datetime, until: datetime, per_agent: int) -> list[_Coming]:
    coming: list[_Coming] = []
    left = MOST_FIRES
    for agent in agents:
        if agent.schedule is None or agent.next_run_at is None or agent.next_run_at > until:
            continue
        times = grid(agent.schedule)
        span = times.span(now + MILLISECOND, until)
        if span is None:
            continue
        fires = _fires(times, now, min(per_agent, left), until)
        left -= len(fires)
        coming.append(_Coming(agent, span, fires))
    return coming


def _has_more(page: Page[Agent], until: datetime) -> bool:
    """Whether agents beyond *page* may be due before *until*: they come in the order of what is due."""
    last = page.items[-1].due_at if page.items else None
    return page.total > len(page.items) and last is not None and last <= until
