"""The whole server below a test: SQLite, the claim loop, the service and the web application, on a held clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from handlers.app import WebSettings, build_app
from handlers.auth import Role, Tokens
from handlers.limits import RateLimits
from handlers.metrics import Metrics
from scheduler.announcer import Announcer
from scheduler.events import Event
from scheduler.loop import Scheduler
from scheduler.runners.base import Run, Runner
from scheduler.service import AgentService
from scheduler.settings import SchedulerSettings
from scheduler.status import StatusBoard
from store.base import Store
from store.errors import Invalid
from store.records import JSON, JSONObject
from store.sqlite import SqliteStore

SECRET = "a secret for tests, of at least thirty-two bytes"
START = datetime(2024, 1, 1, 8, 0, 0, tzinfo=UTC)
PATIENCE_S = 10.0
"""How long a test waits for what it asserts, before it fails."""


class HeldClock:
    """Time stands still until a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def advance(self, span: timedelta) -> None:
        self._now += span
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep_until(self, moment: datetime) -> None:
        while self._now < moment:
            await self._moved.wait()


class TestRunners:
    """``ECHO`` returns its context, ``FAIL`` fails, ``HOLD`` runs until the test releases or stops it."""

    __test__ = False

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self._runners: dict[str, Runner] = {"ECHO": self._echo, "FAIL": self._fail, "HOLD": self._hold}

    def find(self, agent_type: str, configuration: JSONObject) -> Runner:
        if agent_type not in self._runners:
            raise Invalid(f"No runner for {agent_type}; there are {', '.join(self.types())}.", field="agentType")
        return self._runners[agent_type]

    def types(self) -> list[str]:
        return sorted(self._runners)

    def commands(self) -> list[str]:
        return ["report"]

    async def _echo(self, run: Run) -> JSON:
        await run.progress(50, "half", step=1, of=2)
        await run.log("info", "echoing")
        run.metrics["words"] = len(run.context)
        return dict(run.context)

    async def _fail(self, run: Run) -> JSON:
        raise RuntimeError("it broke")

    async def _hold(self, run: Run) -> JSON:
        await self.released.wait()
        return "released"


class News:
    """What the scheduler published, to be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Condition()

    async def publish(self, event: Event) -> None:
        async with self._more:
            self.events.append(event)
            self._more.notify_all()

    async def until(self, kind: type, *, count: int = 1) -> None:
        """Return when *count* events of that kind have been published."""
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(lambda: sum(isinstance(event, kind) for event in self.events) >= count)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str
    body: Any

    @property
    def data(self) -> Any:
        return self.body["data"]


@dataclass
class Stack:
    """A running server and one client of it; ``call`` sends the token of a USER unless told otherwise."""

    url: URL
    app: web.Application
    client: ClientSession
    store: Store
    service: AgentService
    clock: HeldClock
    runners: TestRunners
    news: News
    tokens: Tokens
    metrics: Metrics
    faults: list[str] = field(default_factory=list)

    def token(self, role: Role = Role.USER, *, user: str = "alice") -> str:
        return self.tokens.mint(user, role, timedelta(hours=1))

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Reply:
        """One request; ``token=None`` sends none. The path goes out exactly as it stands."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token()}")
        url = URL(f"{self.url.origin()}{path}", encoded=True)
        async with self.client.request(method, url, headers=sent, allow_redirects=False, **options) as answer:
            text = await answer.text()
            body = await answer.json() if answer.content_type == "application/json" and text else None
            return Reply(answer.status, answer.headers, text, body)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Reply:
        return await self.call("POST", path, **({"json": json} if json is not None else {}), **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> Reply:
        return await self.call("PATCH", path, **({"json": json} if json is not None else {}), **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.call("DELETE", path, **options)

    async def agent(self, agent_id: str = "agent-123", agent_type: str = "ECHO", **fields: Any) -> Any:
        """Make an agent over REST; its JSON."""
        made = await self.post("/api/agents", {"id": agent_id, "name": "Daily", "agentType": agent_type, **fields})
        assert made.status == 201, made.text
        return made.data

    async def schedule(self, agent_id: str = "agent-123", expression: str = "0 9 * * *", **fields: Any) -> Any:
        """Schedule an agent over REST; the answer's data."""
        saved = await self.post(f"/api/agents/{agent_id}/schedule", {"cronExpression": expression, **fields})
        assert saved.status == 200, saved.text
        return saved.data


Change = Callable[[Store], Store]


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    limit: int = 0,
    window_s: int = 900,
    origins: tuple[str, ...] = (),
    static: Path | None = None,
    tokens: Tokens | None = None,
    scheduling: bool = True,
    wrapped: Change | None = None,
    settings: SchedulerSettings | None = None,
) -> AsyncIterator[Stack]:
    """A server on a free port of this machine, as ``server/`` would wire it. *wrapped* stands in front of its store."""
    settings = settings or SchedulerSettings()
    clock, news, runners, metrics = HeldClock(), News(), TestRunners(), Metrics()
    tokens = tokens or Tokens(SECRET)
    real = await SqliteStore.open(folder)
    store: Store = wrapped(real) if wrapped else real
    board: StatusBoard
    announcer = Announcer(news.publish, clock, lambda: board.changed())
    scheduler = Scheduler(store, runners, announcer, settings, clock, random=lambda: 0.0)
    board = StatusBoard(
        store, news.publish, clock, is_running=lambda: scheduler.is_running, max_concurrent=settings.max_concurrent
    )
    service = AgentService(store, runners, scheduler, announcer, board, settings, clock)
    faults: list[str] = []
    web_settings = WebSettings(origins=origins, static=static or folder / "static")
    limits = RateLimits(limit, window_s)
    app = build_app(
        store,
        service,
        tokens,
        limits,
        metrics,
        web_settings,
        runners=runners,
        clock=clock,
        faults=lambda: faults,
    )
    stop = asyncio.Event()
    loop = asyncio.create_task(scheduler.run(stop)) if scheduling else None
    try:
        async with TestServer(app) as server, ClientSession() as client:
            yield Stack(
                server.make_url("/"), app, client, store, service, clock, runners, news, tokens, metrics, faults
            )
    finally:
        stop.set()
        runners.released.set()
        if loop is not None:
            await loop
        await real.close()
