"""Section 3 of the contract: clients of the earlier kind, unchanged, at a server that lets them in without a token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.payloads import ANY_TIME, agents_story, earlier_story, success_story
from tests.support.js_client import JsClients, JsSocket, Version
from tests.support.server_process import Rest, ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

EARLIER_ONLY = {"agent-status-update", "agent-log"}


def heard(socket: JsSocket) -> list[tuple[str, Any]]:
    return [(entry["event"], entry["args"][0]) for entry in socket.log if entry["type"] == "event"]


async def caught_up(socket: JsSocket) -> None:
    """Return when everything that was sent to it before is there."""
    await socket.call("unsubscribe-scheduler-updates")


async def test_an_earlier_client_hears_of_a_run_in_both_its_ways(
    open_server: ServerProcess,
    open_rest: Rest,
    js: JsClients,
    version: Version,
    transports: tuple[str, ...],
    agent_id: str,
) -> None:
    await open_rest.agent(agent_id, "TALKATIVE")
    root = await js.connect(open_server.url, version=version, transports=transports)
    agents = await js.connect(open_server.url, namespace="/agents", version=version, transports=transports)
    for socket in (root, agents):
        await socket.wait("connect")
    subscribed = await root.call("subscribe-agent-updates", agent_id)
    joined = await agents.call("join:agent", agent_id)

    accepted = await open_rest.post("/api/agents/run", {"agentId": agent_id, "context": {"name": "Ada"}})
    await agents.event("agent:done")
    await root.wait_for("event", lambda entry: entry["args"][0].get("status") == "COMPLETED")

    assert accepted.status == 202
    assert subscribed["success"] is joined["success"] is True
    assert subscribed["data"] == joined["data"]
    now, earlier = [event for event in heard(root) if event[0] not in EARLIER_ONLY], heard(root)
    assert now == success_story(agent_id, accepted.data["sessionId"])
    assert [event for event in earlier if event[0] in EARLIER_ONLY] == earlier_story(agent_id)
    assert heard(agents) == agents_story(agent_id, {"name": "Ada"})


async def test_an_earlier_client_hears_of_a_failure_in_both_its_ways(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, version: Version, agent_id: str
) -> None:
    await open_rest.agent(agent_id, "CLUMSY")
    root = await js.connect(open_server.url, version=version)
    agents = await js.connect(open_server.url, namespace="/agents", version=version)
    for socket in (root, agents):
        await socket.wait("connect")
    await root.call("subscribe-agent-updates", agent_id)
    await agents.call("join:agent", agent_id)

    await open_rest.run(agent_id)
    await agents.event("agent:error")
    error, *_ = await agents.event("agent:error")  # of the retry: there is no further one
    await root.wait_for("event", lambda entry: entry["args"][0].get("retryCount") == 2)

    assert error == {"agentId": agent_id, "error": {"message": "it broke"}, "timestamp": ANY_TIME}
    assert [name for name, _ in heard(agents)] == ["agent:start", "agent:log", "agent:error"] * 2
    statuses = [payload["status"] for name, payload in heard(root) if name == "agent-status-update"]
    assert statuses[:3] == ["RUNNING", "ERROR", "RUNNING"]


async def test_subscriptions_without_an_acknowledgement_are_subscriptions_too(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, agent_id: str
) -> None:
    """As earlier clients send them: at once, before they are connected, and without a callback."""
    await open_rest.agent(agent_id, "TALKATIVE")
    root = await js.connect(open_server.url)
    agents = await js.connect(open_server.url, namespace="/agents")
    await root.emit("subscribe-agent-updates", agent_id)
    await root.emit("subscribe-scheduler-updates")
    await agents.emit("join:agent", agent_id)
    await root.call("subscribe-scheduler-updates")
    await agents.call("join:agent", agent_id)

    await open_rest.run(agent_id, name="Ada")
    status, *_ = await root.event("scheduler:status")
    await agents.event("agent:done")
    await root.event("agent:completed")

    assert status["stats"].items() <= status.items()
    assert set(status) - set(status["stats"]) == {"stats", "timestamp"}


async def test_current_clients_never_get_what_only_earlier_ones_read(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, agent_id: str
) -> None:
    await open_rest.agent(agent_id, "TALKATIVE")
    current = await js.connect(open_server.url)
    earlier = await js.connect(open_server.url)
    await current.call("agent:subscribe", agent_id)
    await current.call("monitoring:subscribe", "agents")
    await earlier.call("subscribe-agent-updates", agent_id)

    session_id = await open_rest.run(agent_id, name="Ada")
    await earlier.wait_for("event", lambda entry: entry["args"][0].get("status") == "COMPLETED")
    await caught_up(current)

    assert heard(current) == success_story(agent_id, session_id)


@pytest.mark.parametrize("ended_by", ["unsubscribe-agent-updates", "agent:unsubscribe"])
async def test_a_subscription_ends_by_either_of_its_names(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, agent_id: str, ended_by: str
) -> None:
    await open_rest.agent(agent_id, "TALKATIVE")
    gone, staying = await js.connect(open_server.url), await js.connect(open_server.url)
    for socket in (gone, staying):
        await socket.call("subscribe-agent-updates", agent_id)

    assert await gone.call(ended_by, agent_id) == {"success": True, "data": None}
    await open_rest.run(agent_id, name="Ada")
    await staying.wait_for("event", lambda entry: entry["args"][0].get("status") == "COMPLETED")
    await caught_up(gone)

    assert heard(gone) == []


async def test_the_scheduler_can_be_left_by_its_earlier_name(open_server: ServerProcess, js: JsClients) -> None:
    socket = await js.connect(open_server.url)

    subscribed = await socket.call("subscribe-scheduler-updates")
    left = await socket.call("unsubscribe-scheduler-updates")

    assert subscribed["success"] is True
    assert subscribed["data"]["isRunning"] is True
    assert left == {"success": True, "data": None}


async def test_what_is_no_agents_id_is_refused(open_server: ServerProcess, js: JsClients) -> None:
    root = await js.connect(open_server.url)
    agents = await js.connect(open_server.url, namespace="/agents")

    for bad in (None, 7, "", "no such/id", {"agentId": "a"}, ["a"]):
        refusals = [await root.call("subscribe-agent-updates", bad), await agents.call("join:agent", bad)]

        assert [refusal["success"] for refusal in refusals] == [False, False], bad
        assert all("The agent's id" in refusal["error"] for refusal in refusals)


async def test_what_names_a_secret_in_a_runs_context_is_masked(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, agent_id: str
) -> None:
    await open_rest.agent(agent_id, "TALKATIVE")
    agents = await js.connect(open_server.url, namespace="/agents")
    await agents.call("join:agent", agent_id)

    await open_rest.run(agent_id, name="Ada", apiKey="do not show this")
    start, *_ = await agents.event("agent:start")

    assert start["context"] == {"name": "Ada", "apiKey": "***"}


async def test_an_earlier_client_on_agents_misses_nothing_across_a_short_break(
    open_server: ServerProcess, open_rest: Rest, js: JsClients, agent_id: str
) -> None:
    """It joined once and never joins again, as the earlier pages do: recovery is what brings it back to its room."""
    await open_rest.agent(agent_id, "TALKATIVE")
    agents = await js.connect(open_server.url, namespace="/agents", reconnectionDelay=300, reconnectionDelayMax=300)
    await agents.wait("connect")
    await agents.call("join:agent", agent_id)

    await agents.cut()
    await agents.wait("disconnect")
    await open_rest.run(agent_id, name="Ada")
    back = await agents.wait("connect")
    await agents.event("agent:done")

    assert back["recovered"] is True
    assert heard(agents) == agents_story(agent_id, {"name": "Ada"})


@pytest.mark.parametrize("namespace", ["/", "/agents"])
async def test_where_tokens_are_required_an_earlier_client_is_told_so(
    server: ServerProcess, js: JsClients, namespace: str
) -> None:
    anonymous = await js.connect(server.url, namespace=namespace)
    forged = await js.connect(server.url, namespace=namespace, auth={"token": "forged"})

    missing, invalid = await anonymous.wait("connect_error"), await forged.wait("connect_error")

    assert (missing["message"], missing["data"]["code"]) == ("Authentication required", "TOKEN_MISSING")
    assert (invalid["message"], invalid["data"]["code"]) == ("Invalid or expired token", "TOKEN_INVALID")


@pytest.mark.parametrize("namespace", ["/", "/agents"])
async def test_a_bad_token_is_refused_also_where_none_is_needed(
    open_server: ServerProcess, js: JsClients, namespace: str
) -> None:
    forged = await js.connect(open_server.url, namespace=namespace, auth={"token": "forged"})

    assert (await forged.wait("connect_error"))["data"]["code"] == "TOKEN_INVALID"


async def test_with_a_token_an_earlier_client_gets_in_anywhere(server: ServerProcess, js: JsClients) -> None:
    agents = await js.connect(server.url, namespace="/agents", auth={"token": server.token()})

    assert (await agents.call("join:agent", "not-made-yet")) == {"success": True, "data": None}


async def test_a_namespace_that_does_not_exist_is_refused(open_server: ServerProcess, js: JsClients) -> None:
    socket = await js.connect(open_server.url, namespace="/elsewhere")

    assert (await socket.wait("connect_error"))["message"] == "Invalid namespace"


async def test_the_fields_that_earlier_clients_read_over_rest_are_there(open_rest: Rest, agent_id: str) -> None:
    await open_rest.agent(agent_id, "TALKATIVE")

    listed = await open_rest.get("/api/agents?limit=100")
    read = await open_rest.get(f"/api/agents/{agent_id}")

    assert listed.body["agents"] == listed.data
    assert agent_id in {agent["id"] for agent in listed.body["agents"]}
    assert read.body["agent"] == read.data | {"type": "TALKATIVE"}


async def test_the_earlier_run_call_answers_as_the_current_one(open_rest: Rest) -> None:
    unknown = await open_rest.post("/api/agents/run", {"agentId": "nobody"})
    nameless = await open_rest.post("/api/agents/run", {"context": {}})

    assert (unknown.status, unknown.body) == (404, {"success": False, "error": "Agent not found"})
    assert (nameless.status, nameless.body["errors"][0]["field"]) == (400, "agentId")
