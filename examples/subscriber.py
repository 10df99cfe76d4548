"""Prints what agents do, live, with python-socketio's client (pip install "python-socketio[asyncio_client]").

    export TOKEN=$(.venv/bin/python -m server token --user me --role VIEWER)
    .venv/bin/python examples/subscriber.py             # every agent
    .venv/bin/python examples/subscriber.py words disk  # these two

Handlers take one argument more than the payload: the server ends each event with the offset that JavaScript clients
recover with, as Socket.IO's own server does, and a Python client hands it on. SOCKET_RECOVERY=0 switches that off.
"""

import asyncio
import os
import sys
from typing import Any

import socketio

SERVER = os.environ.get("SERVER", "http://localhost:5000")
AGENTS = sys.argv[1:]

client = socketio.AsyncClient()


@client.event
async def connect() -> None:
    """Subscribe, also after a lost connection: this client keeps no subscriptions over one."""
    wanted = [("agent:subscribe", agent) for agent in AGENTS] or [("monitoring:subscribe", "agents")]
    for event, name in wanted:
        answer = await client.call(event, name)
        print(f"following {name}" if answer["success"] else answer["error"], flush=True)


@client.on("agent:progress")
async def progress(payload: dict[str, Any], *_offset: str) -> None:
    print(f"{payload['agentId']}: {payload['progress']:.0f} % {payload['message']}", flush=True)


@client.on("agent:failed")
async def failed(payload: dict[str, Any], *_offset: str) -> None:
    print(f"{payload['agentId']} failed: {payload['error']}", flush=True)


@client.on("*")
async def any_other(event: str, payload: dict[str, Any], *_offset: str) -> None:
    print(f"{payload.get('agentId', '')}: {event}", flush=True)


async def main() -> None:
    await client.connect(SERVER, auth={"token": os.environ["TOKEN"]})
    await client.wait()


asyncio.run(main())
