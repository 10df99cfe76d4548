"""Section 2 of the contract: unchanged socket.io-client of each age, over each transport, at a real server."""

from __future__ import annotations

import pytest

from tests.clients.payloads import failed, success_story
from tests.support.js_client import POLLING, UPGRADE, WEBSOCKET, JsClients, JsSocket, Version
from tests.support.server_process import Rest, ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]


async def connected(js: JsClients, url: str, token: str, version: Version, transports: tuple[str, ...]) -> JsSocket:
    socket = await js.connect(url, auth={"token": token}, version=version, transports=transports)
    assert (await socket.wait("connect"))["recovered"] is False
    if transports == UPGRADE:
        assert (await socket.wait("upgrade"))["transport"] == "websocket"
    return socket


async def test_a_client_sees_a_run_from_start_to_end(
    server: ServerProcess, rest: Rest, js: JsClients, version: Version, transports: tuple[str, ...], agent_id: str
) -> None:
    await rest.agent(agent_id, "TALKATIVE")
    socket = await connected(js, server.url, server.token(), version, transports)
    snapshot = await socket.call("agent:subscribe", agent_id)

    session_id = await rest.run(agent_id, name="Ada")
    await socket.event("agent:completed")

    assert snapshot["success"] is True
    assert (snapshot["data"]["isRunning"], snapshot["data"]["session"]) == (False, None)
    heard = [(entry["event"], entry["args"][0]) for entry in socket.log if entry["type"] == "event"]
    assert heard == success_story(agent_id, session_id)


async def test_a_client_sees_a_failure_its_retry_and_the_end_of_retries(
    server: ServerProcess, rest: Rest, js: JsClients, version: Version, agent_id: str
) -> None:
    await rest.agent(agent_id, "CLUMSY")
    socket = await connected(js, server.url, server.token(), version, POLLING)
    await socket.call("monitoring:subscribe", "agents")

    first = await rest.run(agent_id)
    failure, *_ = await socket.event("agent:failed")
    last, *_ = await socket.event("agent:failed")

    assert failure == failed(agent_id, first, retry_count=1, will_retry=True)
    assert last == failed(agent_id, last["sessionId"], retry_count=2, will_retry=False)
    assert last["sessionId"] != first
    names = [entry["event"] for entry in socket.log if entry["type"] == "event"]
    assert names == ["agent:started", "agent:log", "agent:failed"] * 2


async def test_an_event_ends_with_an_offset_as_nodes_server_sends_it(
    server: ServerProcess, rest: Rest, js: JsClients, version: Version, agent_id: str
) -> None:
    """Recovery needs it, and Socket.IO's own server adds it for clients of every version: listeners do not look."""
    await rest.agent(agent_id, "TALKATIVE")
    socket = await connected(js, server.url, server.token(), version, WEBSOCKET)
    await socket.call("agent:subscribe", agent_id)

    await rest.run(agent_id, name="Ada")
    started = await socket.event("agent:started")

    assert len(started) == 2
    assert isinstance(started[1], str)


async def test_a_client_that_subscribed_to_nothing_hears_nothing(
    server: ServerProcess, rest: Rest, js: JsClients, agent_id: str
) -> None:
    await rest.agent(agent_id, "TALKATIVE")
    silent = await connected(js, server.url, server.token(), "socket.io-client", WEBSOCKET)
    socket = await connected(js, server.url, server.token(), "socket.io-client", WEBSOCKET)
    await socket.call("agent:subscribe", agent_id)

    await rest.run(agent_id, name="Ada")
    await socket.event("agent:completed")
    await silent.call("monitoring:unsubscribe", "agents")  # what was sent to it before is there by now

    assert [entry["type"] for entry in silent.log] == ["connect"]


async def test_a_client_without_a_token_is_told_why_it_may_not_connect(
    server: ServerProcess, js: JsClients, version: Version
) -> None:
    socket = await js.connect(server.url, version=version, transports=UPGRADE)

    refusal = await socket.wait("connect_error")

    assert refusal["message"] == "Authentication required"
    assert refusal["data"]["code"] == "TOKEN_MISSING"
