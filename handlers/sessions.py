"""The execution history over REST."""

from __future__ import annotations

from aiohttp import web

from handlers.answer_schemas import SessionDetailsPart, SessionsPart, nested, success
from handlers.answers import ok
from handlers.json import pagination_json, session_details_json, session_json
from handlers.operations import QUERY, Answer, operation
from handlers.paths import agent_id, session_id
from handlers.schemas import SessionsQuery, SessionsWanted
from store.base import Store
from store.records import SessionFilter

LOGS_SHOWN = 1000
"""The last entries of a session's log that its reading shows."""


class SessionHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/agents/{id}/sessions", self.list),
            web.get("/api/agents/{id}/sessions/{sessionId}", self.read),
        ]

    @operation(
        "List an agent's sessions",
        tag="Sessions",
        query=SessionsQuery(),
        answers={
            200: Answer("A page of the history, the newest first.", success("SessionsAnswer", nested(SessionsPart)))
        },
        errors=(404,),
    )
    async def list(self, request: web.Request) -> web.Response:
        """Of a run in progress, `success`, `completedAt` and `duration` are null. Occurrences that did not run are
        listed and counted with `include=missed` only."""
        wanted: SessionsWanted = request[QUERY]
        window = wanted.window
        agent = await self._store.get_agent(agent_id(request))
        rows = SessionFilter(agent.id, wanted.success, wanted.outcomes, wanted.since, wanted.until, wanted.gaps)
        page = await self._store.list_sessions(rows, limit=window.limit, offset=window.offset)
        pagination = pagination_json(page.total, window.limit, window.offset)
        return ok({"sessions": [session_json(row) for row in page.items], "pagination": pagination})

    @operation(
        "Read a session",
        tag="Sessions",
        answers={
            200: Answer(
                "The session with its context, metrics, progress and log.",
                success("SessionAnswer", nested(SessionDetailsPart)),
            )
        },
        errors=(404,),
    )
    async def read(self, request: web.Request) -> web.Response:
        """The last 1000 entries of its log, oldest first."""
        agent = await self._store.get_agent(agent_id(request))
        session = await self._store.get_session(agent.id, session_id(request))
        return ok(session_details_json(session, await self._store.list_logs(session.id, limit=LOGS_SHOWN)))
