"""The execution history of all agents together over REST."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from handlers.answer_schemas import nested, success
from handlers.answers import ok
from handlers.json import pagination_json, progress_json, session_json
from handlers.monitor_schemas import HistoryPart, HistoryQuery, HistoryWanted
from handlers.operations import QUERY, Answer, operation
from store.base import Store
from store.records import JSON, Gap, JSONObject, Page, Session, SessionFilter


class HistoryHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/sessions", self.list)]

    @operation(
        "List sessions of all agents",
        tag="Sessions",
        query=HistoryQuery(),
        answers={
            200: Answer("A page of the history, the newest first.", success("HistoryAnswer", nested(HistoryPart)))
        },
    )
    async def list(self, request: web.Request) -> web.Response:
        """As the listing of one agent's sessions, with `agentId`, `trigger` and `progress` in each row. With
        `perAgent`, the newest so many of each agent named, and in `total` how many there are of them in all."""
        wanted: HistoryWanted = request[QUERY]
        rows = SessionFilter(None, wanted.success, wanted.outcomes, wanted.since, wanted.until, wanted.gaps)
        if wanted.per_agent is not None:
            return await self._newest_of_each(wanted, rows, wanted.per_agent)
        rows = replace(rows, agent_id=wanted.agent_ids[0] if wanted.agent_ids else None)
        window = wanted.window
        page = await self._store.list_sessions(rows, limit=window.limit, offset=window.offset)
        return _answer(page, window.limit, window.offset)

    async def _newest_of_each(self, wanted: HistoryWanted, rows: SessionFilter, limit: int) -> web.Response:
        found: list[Session | Gap] = []
        total = 0
        for agent_id in wanted.agent_ids:  # one after the other: a page of a hundred rows is no reason to hurry
            page = await self._store.list_sessions(replace(rows, agent_id=agent_id), limit=limit)
            found += page.items
            total += page.total
        found.sort(key=lambda row: row.first_at if isinstance(row, Gap) else row.started_at, reverse=True)
        return _answer(Page(found, total), limit)


def _answer(page: Page[Session | Gap], limit: int, offset: int = 0) -> web.Response:
    rows: list[JSON] = [_row(row) for row in page.items]
    return ok({"sessions": rows, "pagination": pagination_json(page.total, limit, offset)})


def _row(row: Session | Gap) -> JSONObject:
    shown = session_json(row) | {"agentId": row.agent_id}
    if isinstance(row, Session):
        shown |= {"trigger": row.trigger.value, "progress": progress_json(row.progress)}
    return shown
