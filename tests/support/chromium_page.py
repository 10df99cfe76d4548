"""A web site of a test's own, and Chromium on one of its pages, which reports back what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.listening import listening
from tests.support.tools import JS_TESTS, chromium

PATIENCE_S = 30.0


class Site:
    """Serves ``page`` at ``/``, versions of socket.io-client below ``/clients``; ``origin`` is what a browser sends."""

    def __init__(self, page: str) -> None:
        self.origin = ""
        self.page = page
        self._reports: asyncio.Queue[Any] = asyncio.Queue()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/clients/{version:socket[.]io-client[-.0-9]*}.js", self._client),
            web.post("/report", self._report),
        ]

    async def report(self) -> Any:
        """Wait for the next thing that the page reports."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reports.get()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=self.page, content_type="text/html")

    async def _client(self, request: web.Request) -> web.FileResponse:
        package = JS_TESTS / "node_modules" / request.match_info["version"]
        return web.FileResponse(package / "dist" / "socket.io.js")

    async def _report(self, request: web.Request) -> web.Response:
        self._reports.put_nowait(json.loads(await request.text()))
        return web.Response()


@contextlib.asynccontextmanager
async def site(page: str) -> AsyncIterator[Site]:
    """The site, at a free port of ``localhost``, until the end of the block."""
    served = Site(page)
    app = web.Application()
    app.router.add_routes(served.routes())
    async with listening(app, shutdown_timeout=0.5) as url:
        served.origin = url.replace("127.0.0.1", "localhost")
        yield served


@contextlib.asynccontextmanager
async def chromium_on(url: str, profile: Path) -> AsyncIterator[None]:
    """Headless Chromium with that page open, and a profile of its own, until the end of the block."""
    program = chromium()
    assert program is not None, "mark the test with `browser`"
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
        url,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the group that was made for it: its helpers too
        await process.wait()
