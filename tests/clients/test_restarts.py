"""A server that dies or is replaced in mid-run, as clients and store live through it. Section 4: crash, shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.http_agent import Call, HttpAgent, http_agent
from tests.support.js_client import JsClients, JsSocket
from tests.support.server_process import PATIENCE_S, ServerProcess, server_process

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

INTERRUPTED = "Interrupted: the server running it stopped"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server for one test alone."""
    with server_process(tmp_path, SHUTDOWN_GRACE="200") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def agent() -> AsyncIterator[HttpAgent]:
    """An agent whose runs last as long as the test wants."""
    async with http_agent() as agent:
        yield agent


async def in_mid_run(server: ServerProcess, agent: HttpAgent, js: JsClients) -> tuple[JsSocket, Call]:
    """A client that has seen the first progress of a run, and the run."""
    socket = await js.connect(server.url, auth={"token": server.token()})
    await socket.wait("connect")
    async with server.rest() as rest:
        await rest.agent("held", "CRAWLER", configuration={"url": agent.url})
        await socket.call("agent:subscribe", "held")
        await rest.run("held")
    call = await agent.called()
    await call.say(progress=40, message="on the way")
    await socket.event("agent:progress")
    return socket, call


async def session_of(server: ServerProcess, call: Call) -> dict[str, Any]:
    async with server.rest() as rest:
        session: dict[str, Any] = (await rest.get(f"/api/agents/held/sessions/{call.body['sessionId']}")).data
        return session


async def restarted(server: ServerProcess) -> None:
    await asyncio.to_thread(server.start)


async def test_after_a_kill_the_run_is_interrupted_retried_and_shown_to_a_client_that_comes_back_by_itself(
    server: ServerProcess, agent: HttpAgent, js: JsClients
) -> None:
    socket, first = await in_mid_run(server, agent, js)

    server.kill()
    parted = await socket.wait("disconnect")
    await restarted(server)
    back = await socket.wait("connect")
    second = await agent.called()
    snapshot = (await socket.call("agent:subscribe", "held"))["data"]
    await second.end(result="got there")
    completed, *_ = await socket.event("agent:completed")

    assert parted["reason"] in ("transport close", "transport error")  # not one after which it stays away
    assert back["recovered"] is False
    assert (first.body["attempt"], second.body["attempt"]) == (1, 2)
    assert (snapshot["isRunning"], snapshot["session"]["id"]) == (True, second.body["sessionId"])
    assert completed["sessionId"] == second.body["sessionId"]
    interrupted = await session_of(server, first)
    assert (interrupted["outcome"], interrupted["success"]) == ("interrupted", False)
    assert interrupted["errorMessage"] == INTERRUPTED
    assert interrupted["completedAt"] is not None


async def test_after_a_stop_in_mid_run_the_run_is_handed_back_and_the_client_meets_the_next_server(
    server: ServerProcess, agent: HttpAgent, js: JsClients
) -> None:
    socket, first = await in_mid_run(server, agent, js)

    server.terminate()
    parted = await socket.wait("disconnect")
    code = await asyncio.to_thread(server.ended)
    await restarted(server)
    await socket.wait("connect")
    second = await agent.called()
    snapshot = (await socket.call("agent:subscribe", "held"))["data"]
    await second.end(result="got there")
    await socket.event("agent:completed")

    assert (parted["reason"], code) == ("transport close", 0)
    assert snapshot["session"]["id"] == second.body["sessionId"] != first.body["sessionId"]
    assert (await session_of(server, first))["outcome"] == "interrupted"
    assert (await session_of(server, second))["outcome"] == "completed"


async def test_while_runs_have_their_grace_a_load_balancer_is_told_to_send_nothing_more(
    tmp_path: Path, agent: HttpAgent, js: JsClients
) -> None:
    with server_process(tmp_path, SHUTDOWN_GRACE="60000") as server:
        _, call = await in_mid_run(server, agent, js)

        server.terminate()
        async with server.rest() as rest, asyncio.timeout(PATIENCE_S):
            while (health := await rest.get("/health")).status == 200:
                pass
        await call.end(result="got there in time")
        code = await asyncio.to_thread(server.ended)

    assert (health.status, health.body["error"], code) == (503, "The server is stopping.", 0)


async def test_a_client_that_only_listens_does_not_hold_up_a_stop(server: ServerProcess, js: JsClients) -> None:
    polling = await js.connect(server.url, auth={"token": server.token()}, transports=("polling",))
    websocket = await js.connect(server.url, auth={"token": server.token()})
    for socket in (polling, websocket):
        await socket.wait("connect")

    server.terminate()
    code = await asyncio.to_thread(server.ended)

    assert code == 0
    assert (await websocket.wait("disconnect"))["reason"] == "transport close"
    assert (await polling.wait("disconnect"))["reason"] in ("transport close", "transport error")


async def test_a_second_server_on_the_same_data_is_refused_with_one_line_and_disturbs_nothing(
    server: ServerProcess,
) -> None:
    second = server.another(PORT="0")
    out, err = await asyncio.to_thread(second.communicate, timeout=PATIENCE_S)

    assert (second.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"DATA_DIR {server.data_dir} is used by another server (process {server.pid})")
    async with server.rest() as rest:
        assert (await rest.get("/health")).status == 200
