"""A live realtime server on a port of its own, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.realtime import RealtimeServer
from tests.support.listening import listening

PATIENCE_S = 10.0


@dataclass
class Live:
    """The server under test, and what its handlers saw: ``connect`` and ``disconnect`` of each client, in order."""

    sio: RealtimeServer
    url: str
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, what: str, sid: str, detail: Any = None) -> None:
        self.seen.append((what, sid, detail))
        self._news.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until *reached*, looked at whenever a handler ran and every few milliseconds beside."""
        async with asyncio.timeout(PATIENCE_S):
            while not reached():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.005)

    async def saw(self, what: str) -> tuple[str, str, Any]:
        """Wait until a handler noted *what*, and return its latest note."""
        await self.until(lambda: any(note[0] == what for note in self.seen))
        return [note for note in self.seen if note[0] == what][-1]


@contextlib.asynccontextmanager
async def serving(
    prepare: Callable[[Live], None] | None = None, *, ssl_context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Live]:
    """Run a :class:`RealtimeServer` with *options*, its handlers set by *prepare*, until the end of the block.

    Without *prepare* it lets everybody in, notes who came and went, and has the events of :func:`with_rooms`.
    """
    sio = RealtimeServer(**options)
    live = Live(sio, "")
    (prepare or with_rooms)(live)
    app = web.Application()
    sio.attach(app)

    async def part(_app: web.Application) -> None:
        await sio.shutdown()

    app.on_shutdown.append(part)
    async with listening(app, tls=ssl_context, shutdown_timeout=1.0) as live.url:
        yield live


def with_rooms(live: Live, namespace: str = "/") -> None:
    """Handlers a client can use: ``join`` and ``part`` a room, ``echo`` its arguments back as the acknowledgement."""
    sio = live.sio

    async def connect(sid: str, _environ: dict[str, Any], auth: Any) -> None:
        live.note("connect", sid, auth)

    async def disconnect(sid: str, reason: str) -> None:
        live.note("disconnect", sid, reason)

    async def join(sid: str, room: str) -> bool:
        await sio.enter_room(sid, room, namespace)
        live.note("join", sid, room)
        return True

    async def part(sid: str, room: str) -> bool:
        await sio.leave_room(sid, room, namespace)
        return True

    async def echo(_sid: str, *args: Any) -> Any:
        return args

    for handler in (connect, disconnect, join, part, echo):
        sio.on(handler.__name__, handler, namespace=namespace)
