"""An agent behind HTTP under the hand of a test: it answers each run with the lines the test says, when it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.support.listening import listening

PATIENCE_S = 15.0


class Call:
    """One run, as the agent sees it: ``body`` is what it was sent."""

    def __init__(self, body: dict[str, Any], answer: web.StreamResponse) -> None:
        self.body = body
        self.ended = asyncio.Event()
        self._answer = answer

    async def say(self, **line: Any) -> None:
        """Send one line, such as ``progress=40, message="..."``."""
        await self._answer.write(json.dumps(line).encode() + b"\n")

    async def end(self, **line: Any) -> None:
        """Send the last line, such as ``result="done"`` or ``error="..."``, and end the answer."""
        await self.say(**line)
        self.ended.set()


class HttpAgent:
    """Every run waits for the test; ``url`` goes into an agent's configuration."""

    def __init__(self) -> None:
        self.url = ""
        self._calls: asyncio.Queue[Call] = asyncio.Queue()

    async def called(self) -> Call:
        """Wait for the next run."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._calls.get()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        call = Call(await request.json(), answer)
        self._calls.put_nowait(call)
        await call.ended.wait()
        return answer


@contextlib.asynccontextmanager
async def http_agent() -> AsyncIterator[HttpAgent]:
    """An agent on a free port of this machine until the end of the block."""
    agent = HttpAgent()
    app = web.Application()
    app.router.add_post("/", agent.handle)
    async with listening(app, handler_cancellation=True, shutdown_timeout=0.5) as url:
        agent.url = f"{url}/"
        yield agent
