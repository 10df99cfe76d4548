"""Agents behind a URL: real servers on ports of their own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
import uvloop
from aiohttp import web

from scheduler.runners.http import HttpRunner
from scheduler.runners.targets import HostRules
from tests.support.listening import listening


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server runs on uvloop, whose sockets and processes are not those of asyncio: each test is for both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


SECRETS = {"AGENT_SECRET_CRM": "s3cret-of-crm", "AGENT_SECRET_ODD": "line\nbreak", "JWT_SECRET": "never-this"}


class Serve(Protocol):
    async def __call__(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], *, tls: ssl.SSLContext | None = None
    ) -> str:
        """Serve *handler* on every path of a new server, and return its URL."""
        ...


class ServeRaw(Protocol):
    async def __call__(self, handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> str:
        """Talk bytes: *handler* gets each connection, and it is closed after it."""
        ...


@pytest.fixture
async def http() -> AsyncIterator[HttpRunner]:
    runner = HttpRunner(HostRules(), SECRETS)
    await runner.start()
    yield runner
    await runner.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(handler: Any, *, tls: ssl.SSLContext | None = None) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            serving = listening(app, tls=tls, handler_cancellation=True, shutdown_timeout=0)
            return await stack.enter_async_context(serving) + "/run"

        yield start


@pytest.fixture
async def serve_raw() -> AsyncIterator[ServeRaw]:
    async with AsyncExitStack() as stack:

        async def start(handler: Any) -> str:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await handler(reader, writer)
                finally:
                    writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/run"

        yield start
