"""An agent behind HTTP that streams progress at a steady rate, each line stamped with the monotonic clock.

``python -m benchmarks.realtime.source PORT``; the run's context holds ``rate`` (lines/s) and ``seconds``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiohttp import web

TICK_S = 0.005


async def stream(request: web.Request) -> web.StreamResponse:
    """Lines leave on time, several at once where the rate is higher than one a tick, as a busy agent's do."""
    context = (await request.json())["context"]
    rate, total = float(context["rate"]), round(context["rate"] * context["seconds"])
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    began, sent = time.monotonic(), 0
    while sent < total:
        due = min(total, int((time.monotonic() - began) * rate) + 1)
        lines = [
            json.dumps({"progress": 100 * n // total, "message": str(time.monotonic_ns()), "currentStep": n})
            for n in range(sent, due)
        ]
        if lines:
            await response.write(("\n".join(lines) + "\n").encode())
        sent = due
        await asyncio.sleep(max(TICK_S, began + sent / rate - time.monotonic()))
    await response.write(b'{"result": "done"}\n')
    return response


def main(port: int) -> None:
    app = web.Application()
    app.router.add_post("/", stream)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
