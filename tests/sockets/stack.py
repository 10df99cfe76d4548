"""The server below a test of its sockets: SQLite, the claim loop, the realtime server and the subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from handlers.admission import identity
from handlers.auth import Role, Tokens
from handlers.events import publisher
from handlers.sockets import Subscriptions
from scheduler.announcer import Announcer
from scheduler.clock import SystemClock
from scheduler.events import Publish
from scheduler.loop import Scheduler
from scheduler.requests import NewAgent, ScheduleRequest
from scheduler.service import AgentService
from scheduler.settings import SchedulerSettings
from scheduler.status import StatusBoard
from server.realtime import RealtimeServer
from store.base import Store
from store.records import Agent
from store.sqlite import SqliteStore
from tests.handlers.stack import SECRET, HeldClock, TestRunners
from tests.support.listening import listening

AGENT = "agent-123"
HOUR = timedelta(hours=1)


@dataclass
class Stack:
    """A running server. ``clock`` is the scheduler's, ``door`` tells when tokens expire."""

    url: str
    sio: RealtimeServer
    store: Store
    service: AgentService
    publish: Publish
    clock: HeldClock
    door: HeldClock
    runners: TestRunners
    tokens: Tokens

    def token(self, role: Role = Role.USER, *, user: str = "alice", ttl: timedelta = HOUR) -> str:
        return self.tokens.mint(user, role, ttl)

    def auth(self, **given: Any) -> dict[str, str]:
        """What a client's ``auth`` holds."""
        return {"token": self.token(**given)}

    async def agent(self, agent_id: str = AGENT, agent_type: str = "ECHO", *, cron: str | None = None) -> Agent:
        agent = await self.service.create(NewAgent(id=agent_id, name="Daily", agent_type=agent_type))
        if cron is not None:
            agent = await self.service.save_schedule(agent_id, ScheduleRequest(expression=cron))
        return agent


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    anonymous: bool = False,
    max_per_user: int = 5,
    patience_s: float = 10.0,
    wrapped: Callable[[Store], Store] | None = None,
    settings: SchedulerSettings | None = None,
    **options: Any,
) -> AsyncIterator[Stack]:
    """A server on a free port of this machine. *wrapped* stands in front of its store; *options* are the engine's."""
    settings = replace(settings or SchedulerSettings(), grace=timedelta(0))
    clock, door, runners, tokens = HeldClock(), HeldClock(datetime.now(UTC)), TestRunners(), Tokens(SECRET)
    real = await SqliteStore.open(folder)
    store = wrapped(real) if wrapped else real
    sio = RealtimeServer(identity=identity(tokens), **options)
    publish = publisher(sio)
    board = StatusBoard(
        store,
        publish,
        SystemClock(),  # else nothing would be told before a test moves the time
        is_running=lambda: scheduler.is_running,
        max_concurrent=settings.max_concurrent,
    )
    announcer = Announcer(publish, clock, board.changed)
    scheduler = Scheduler(store, runners, announcer, settings, clock, random=lambda: 0.0)
    service = AgentService(store, runners, scheduler, announcer, board, settings, clock)
    Subscriptions(
        sio,
        store,
        service,
        tokens,
        anonymous=anonymous,
        max_per_user=max_per_user,
        clock=door,
        patience_s=patience_s,
    )
    stop = asyncio.Event()
    async with _listening(sio) as url:
        loop, status = asyncio.create_task(scheduler.run(stop)), asyncio.create_task(board.run())
        try:
            yield Stack(url, sio, store, service, publish, clock, door, runners, tokens)
        finally:
            stop.set()
            await loop
            status.cancel()
            await asyncio.gather(status, return_exceptions=True)
    await real.close()


@contextlib.asynccontextmanager
async def _listening(sio: RealtimeServer) -> AsyncIterator[str]:
    app = web.Application()
    sio.attach(app)
    async with listening(app, shutdown_timeout=1.0) as url:
        try:
            yield url
        finally:
            await sio.shutdown()
