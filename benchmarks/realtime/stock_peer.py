"""The same server written with python-socketio as it comes: ``python -m benchmarks.realtime.stock_peer PORT SOURCE``.

``POST /run`` reads the agent's stream and emits what it says to the room, as ours does without the store.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

import aiohttp
import socketio
from aiohttp import web


def main(port: int, source: str) -> None:
    sio = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
    tasks: set[asyncio.Task[None]] = set()

    async def subscribe(sid: str, what: str) -> None:
        await sio.enter_room(sid, f"monitoring:{what}")

    async def read(context: dict[str, Any]) -> None:
        async with aiohttp.ClientSession() as client, client.post(source, json={"context": context}) as answer:
            async for line in answer.content:
                told = json.loads(line)
                if "progress" in told:
                    await sio.emit("agent:progress", payload(told), room="monitoring:agents")

    async def run(request: web.Request) -> web.Response:
        task = asyncio.create_task(read(await request.json()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return web.json_response({})

    sio.on("monitoring:subscribe", subscribe)
    app = web.Application()
    sio.attach(app)
    app.router.add_post("/run", run)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def payload(told: dict[str, Any]) -> dict[str, Any]:
    """The payload of the contract."""
    return {
        "agentId": "bench",
        "sessionId": "3f6f4a0e-6a2f-4f3c-9a40-111111111111",
        "jobId": "bench",
        "progress": told["progress"],
        "message": told["message"],
        "currentStep": told["currentStep"],
        "totalSteps": None,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
