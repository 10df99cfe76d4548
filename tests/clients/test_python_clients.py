"""python-socketio's own clients at a real server: the offset that recovery needs is one more argument to them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionError as CannotConnect

from tests.clients.conftest import AGENTS
from tests.clients.payloads import success_story
from tests.support.server_process import Rest, ServerProcess, server_process

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 15


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], None], ids=["websocket", "polling", "upgrade"])
async def test_an_async_client_sees_a_run_from_start_to_end(
    server: ServerProcess, rest: Rest, agent_id: str, transports: list[str] | None
) -> None:
    await rest.agent(agent_id, "TALKATIVE")
    heard: list[tuple[str, Any]] = []
    ended = asyncio.Event()
    client = socketio.AsyncClient()

    async def any_event(event: str, payload: Any, *_offset: str) -> None:
        heard.append((event, payload))

    async def completed(payload: Any, *_offset: str) -> None:
        heard.append(("agent:completed", payload))
        ended.set()

    client.on("*", any_event)
    client.on("agent:completed", completed)

    await client.connect(server.url, auth={"token": server.token()}, transports=transports)
    try:
        snapshot = await client.call("agent:subscribe", agent_id)
        session_id = await rest.run(agent_id, name="Ada")
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
    finally:
        await client.disconnect()

    assert snapshot["success"] is True
    assert heard == success_story(agent_id, session_id)


async def test_a_simple_client_receives_lists_with_the_offset_last(
    server: ServerProcess, rest: Rest, agent_id: str
) -> None:
    await rest.agent(agent_id, "TALKATIVE")
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(server.url, auth={"token": server.token()})
        await client.call("agent:subscribe", agent_id)

        session_id = await rest.run(agent_id, name="Ada")
        received = [await client.receive(timeout=PATIENCE_S) for _ in range(5)]

    assert [(event, payload) for event, payload, _offset in received] == success_story(agent_id, session_id)
    assert all(isinstance(offset, str) for _, _, offset in received)


async def test_without_recovery_an_event_has_its_payload_and_nothing_else(tmp_path: Path) -> None:
    with server_process(tmp_path, SOCKET_RECOVERY="0", **AGENTS) as server:
        async with server.rest() as rest, socketio.AsyncSimpleClient() as client:
            await rest.agent("a", "TALKATIVE")
            await client.connect(server.url, auth={"token": server.token()})
            await client.call("agent:subscribe", "a")

            session_id = await rest.run("a", name="Ada")
            received = [tuple(await client.receive(timeout=PATIENCE_S)) for _ in range(5)]

    assert received == success_story("a", session_id)


async def test_a_python_client_without_a_token_is_refused(server: ServerProcess) -> None:
    client = socketio.AsyncClient(reconnection=False)

    with pytest.raises(CannotConnect):
        await client.connect(server.url)

    await client.disconnect()
