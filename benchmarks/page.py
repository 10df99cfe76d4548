"""``python -m benchmarks.page``: what the monitoring page costs the viewer's machine at 200 progress events a second.

Forty runs on the screen at once, each telling its progress five times a second, in headless Chromium, which draws in
software: the shares are of one core, first that of the page's own process, then that of all of Chromium's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.browser import Browser, browser
from tests.support.server_process import ServerProcess, server_process

RUNS = 40
TOLD_PER_S = 5
MEASURED_S = 15.0
VIEWS = ("agents", "timeline", "events")


async def _talk(request: web.Request) -> web.StreamResponse:
    """An agent that tells its progress until it is hung up on."""
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    step = 0
    with contextlib.suppress(ConnectionResetError):
        while True:
            step += 1
            told = {"progress": step % 100, "message": f"Page {step} of many", "currentStep": step, "totalSteps": 9999}
            await answer.write(json.dumps(told).encode() + b"\n")
            await asyncio.sleep(1 / TOLD_PER_S)
    return answer


@contextlib.asynccontextmanager
async def _talker() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", _talk)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _start_runs(server: ServerProcess, url: str) -> None:
    async with server.rest() as rest:
        for number in range(RUNS):
            await rest.agent(f"agent-{number}", "TALKER", configuration={"url": url})
            await rest.run(f"agent-{number}")


async def _shares(chromium: Browser) -> tuple[float, float]:
    """The processor time that the busiest page's process and all processes took, as shares of the time measured."""
    before, began = await chromium.do("processes"), time.perf_counter()
    await asyncio.sleep(MEASURED_S)
    after, took = await chromium.do("processes"), time.perf_counter() - began
    spent = {key: (after[key] - before.get(key, 0.0)) / took for key in after}
    return max(share for key, share in spent.items() if key.startswith("renderer")), sum(spent.values())


async def measure(server: ServerProcess, chromium: Browser) -> Mapping[str, Any]:
    """The shares by view."""
    found = {}
    async with chromium.page(viewport={"width": 1360, "height": 2600}) as page:
        await page.goto(f"{server.url}/#token={server.token()}")
        for view in VIEWS:
            await page.evaluate("(view) => { location.hash = `#/${view}`; }", view)
            await page.sees(f"#view .{view if view != 'events' else 'feed'}")
            found[view] = await _shares(chromium)
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _talker() as url, browser() as chromium:
            with server_process(Path(folder), SCHEDULER_MAX_CONCURRENT=str(RUNS), LOG_LEVEL="warning") as server:
                await _start_runs(server, url)
                print(f"{RUNS * TOLD_PER_S} progress events a second on {RUNS} rows; shares of one core:")
                for view, (own, everything) in (await measure(server, chromium)).items():
                    print(f"  {view:<10} page {own:6.1%}   all of Chromium {everything:6.1%}")


if __name__ == "__main__":
    asyncio.run(main())
