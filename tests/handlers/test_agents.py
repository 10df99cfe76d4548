"""Section 1.4 of the contract: agents over REST."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from scheduler.events import AgentCompleted, AgentFailed, AgentStarted
from tests.handlers.stack import Stack

AGENT: dict[str, Any] = {
    "id": "agent-123",
    "name": "Daily",
    "description": "",
    "agentType": "ECHO",
    "configuration": {},
    "status": "IDLE",
    "projectId": None,
    "managerId": None,
    "scheduleExpression": None,
    "scheduleEnabled": False,
    "scheduleTimezone": None,
    "schedulePriority": "NORMAL",
    "isPaused": False,
    "nextRunAt": None,
    "lastRunAt": None,
    "createdAt": "2024-01-01T08:00:00.000Z",
    "updatedAt": "2024-01-01T08:00:00.000Z",
}


async def test_an_agent_is_made_and_answered_whole(stack: Stack) -> None:
    made = await stack.post("/api/agents", {"id": "agent-123", "name": "  Daily ", "agentType": "ECHO"})

    assert made.status == 201
    assert made.body == {"success": True, "data": AGENT}
    assert made.headers["Location"] == "/api/agents/agent-123"


async def test_an_agent_keeps_everything_a_client_says_of_it(stack: Stack) -> None:
    said: dict[str, Any] = {
        "description": "Two\nlines",
        "configuration": {"topics": ["a", {"b": [1, 2.5, None, True]}]},
        "projectId": "project-1",
        "managerId": "manager-1",
    }

    await stack.agent(**said)

    assert (await stack.get("/api/agents/agent-123")).data == AGENT | said


async def test_an_agent_without_an_id_gets_a_uuid(stack: Stack) -> None:
    made = await stack.post("/api/agents", {"name": "Daily", "agentType": "ECHO"})

    assert str(uuid.UUID(made.data["id"])) == made.data["id"]


async def test_a_single_read_carries_the_agent_for_earlier_clients_too(stack: Stack) -> None:
    await stack.agent()

    read = await stack.get("/api/agents/agent-123")

    assert read.body == {"success": True, "data": AGENT, "agent": AGENT | {"type": "ECHO"}}


async def test_the_list_carries_data_agents_and_pagination(stack: Stack) -> None:
    await stack.agent("a-1")
    stack.clock.advance(timedelta(seconds=1))
    await stack.agent("a-2")

    listed = await stack.get("/api/agents")

    assert listed.status == 200
    assert listed.body.keys() == {"success", "data", "agents", "pagination"}
    assert [agent["id"] for agent in listed.data] == ["a-2", "a-1"]
    assert listed.body["agents"] == listed.data
    assert listed.body["pagination"] == {"total": 2, "limit": 100, "offset": 0}


async def test_the_list_is_paged(stack: Stack) -> None:
    for number in range(5):
        await stack.agent(f"a-{number}")
        stack.clock.advance(timedelta(seconds=1))

    page = await stack.get("/api/agents?limit=2&offset=1")

    assert [agent["id"] for agent in page.data] == ["a-3", "a-2"]
    assert page.body["pagination"] == {"total": 5, "limit": 2, "offset": 1}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=weather", ["a-1"]), ("q=A-2", ["a-2"]), ("q=100%25", []), ("agentType=FAIL", ["a-2"]),
        ("status=IDLE&agentType=ECHO", ["a-1"]), ("status=RUNNING", []), ("_=1700000000", ["a-1", "a-2"]),
    ],
)  # fmt: skip
async def test_the_list_is_filtered(stack: Stack, query: str, found: list[str]) -> None:
    await stack.agent("a-1", description="Tells the weather")
    await stack.agent("a-2", agent_type="FAIL")

    listed = await stack.get(f"/api/agents?{query}")

    assert sorted(agent["id"] for agent in listed.data) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=abc", "limit"), ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=1.5", "limit"),
        ("limit=", "limit"), ("limit=1_0", "limit"), ("limit=%D9%A1", "limit"), ("limit=%2B5", "limit"),
        ("limit=99999999999999999999999", "limit"), ("offset=-1", "offset"), ("offset=9223372036854775808", "offset"),
        ("limit=5&limit=6", "limit"), ("status=idle", "status"), ("status=__doc__", "status"), ("q=%00", None),
    ],
)  # fmt: skip
async def test_a_query_that_does_not_validate_is_named(stack: Stack, query: str, field: str | None) -> None:
    refused = await stack.get(f"/api/agents?{query}")

    assert refused.status == 400
    assert [error["field"] for error in refused.body["errors"]] == [field]


async def test_a_limit_that_is_no_number_is_answered_with_what_it_must_be(stack: Stack) -> None:
    refused = await stack.get("/api/agents?limit=abc")

    assert refused.body == {
        "success": False,
        "error": "limit must be a whole number from 1 to 1000.",
        "errors": [{"field": "limit", "message": "limit must be a whole number from 1 to 1000."}],
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"), ({"name": "   "}, "name"), ({"name": None}, "name"), ({"name": 5}, "name"),
        ({"name": "x" * 201}, "name"), ({"name": "two\nlines"}, "name"), ({"agentType": "echo"}, "agentType"),
        ({"agentType": "NOBODY_RUNS_THIS"}, "agentType"), ({"agentType": None}, "agentType"), ({"id": ""}, "id"),
        ({"id": "a b"}, "id"), ({"id": "a/b"}, "id"), ({"id": "x" * 65}, "id"), ({"id": "ä"}, "id"),
        ({"id": ".."}, "id"), ({"id": 7}, "id"), ({"configuration": []}, "configuration"),
        ({"configuration": None}, "configuration"), ({"configuration": "{}"}, "configuration"),
        ({"description": "x" * 2001}, "description"), ({"description": []}, "description"),
        ({"projectId": 5}, "projectId"), ({"status": "IDLE"}, "status"), ({"nextRunAt": None}, "nextRunAt"),
        ({"scheduleExpression": "@daily"}, "scheduleExpression"), ({"type": "ECHO"}, "type"),
    ],
)  # fmt: skip
async def test_an_agent_that_does_not_validate_is_refused_by_field(
    stack: Stack, fields: dict[str, Any], field: str
) -> None:
    refused = await stack.post("/api/agents", {"name": "Daily", "agentType": "ECHO"} | fields)

    assert refused.status == 400
    assert [error["field"] for error in refused.body["errors"]] == [field]
    assert (await stack.get("/api/agents")).body["pagination"]["total"] == 0


async def test_a_length_that_is_too_great_is_stated(stack: Stack) -> None:
    refused = await stack.post("/api/agents", {"name": "x" * 201, "agentType": "ECHO"})

    assert refused.body["error"] == "name must have at most 200 characters, not 201."


async def test_an_agent_type_without_a_runner_is_answered_with_those_that_have_one(stack: Stack) -> None:
    refused = await stack.post("/api/agents", {"name": "Daily", "agentType": "NOBODY"})

    assert "ECHO, FAIL, HOLD" in refused.body["error"]


async def test_a_taken_id_is_a_conflict(stack: Stack) -> None:
    await stack.agent()

    again = await stack.post("/api/agents", {"id": "agent-123", "name": "Other", "agentType": "ECHO"})

    assert again.status == 409
    assert again.body.keys() == {"success", "error"}
    assert (await stack.get("/api/agents/agent-123")).data["name"] == "Daily"


async def test_a_patch_changes_what_it_names_and_nothing_else(stack: Stack) -> None:
    await stack.agent(description="kept", projectId="project-1")
    stack.clock.advance(timedelta(seconds=1))

    changed = await stack.patch("/api/agents/agent-123", {"name": "Weekly", "configuration": {"a": 1}})

    assert changed.status == 200
    assert changed.data == AGENT | {
        "name": "Weekly",
        "configuration": {"a": 1},
        "description": "kept",
        "projectId": "project-1",
        "updatedAt": "2024-01-01T08:00:01.000Z",
    }


async def test_a_patch_with_null_clears_what_may_be_empty(stack: Stack) -> None:
    await stack.agent(description="old", projectId="project-1", managerId="manager-1")

    await stack.patch("/api/agents/agent-123", {"description": None, "projectId": None, "managerId": None})

    assert (await stack.get("/api/agents/agent-123")).data == AGENT


async def test_an_empty_patch_changes_nothing(stack: Stack) -> None:
    await stack.agent()
    stack.clock.advance(timedelta(seconds=1))

    changed = await stack.patch("/api/agents/agent-123", {})

    assert (changed.status, changed.data) == (200, AGENT)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": "other"}, "id"), ({"name": None}, "name"), ({"agentType": "NOBODY"}, "agentType"),
        ({"status": "IDLE"}, "status"), ({"isPaused": False}, "isPaused"), ({"configuration": None}, "configuration"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
async def test_a_patch_that_does_not_validate_changes_nothing(stack: Stack, fields: dict[str, Any], field: str) -> None:
    await stack.agent()

    refused = await stack.patch("/api/agents/agent-123", {"description": "new"} | fields)

    assert refused.status == 400
    assert field in [error["field"] for error in refused.body["errors"]]
    assert (await stack.get("/api/agents/agent-123")).data == AGENT


async def test_secrets_are_masked_in_every_answer_and_survive_a_round_trip(stack: Stack) -> None:
    secrets = {"apiKey": "k-123456", "nested": [{"password": "p-123456", "user": "u"}], "url": "http://example.org/"}
    shown = {"apiKey": "***", "nested": [{"password": "***", "user": "u"}], "url": "http://example.org/"}

    made = await stack.agent(configuration=secrets)
    changed = await stack.patch("/api/agents/agent-123", {"configuration": shown})

    assert made["configuration"] == shown
    for path in ("/api/agents", "/api/agents/agent-123"):
        answer = await stack.get(path)
        assert "123456" not in answer.text
    assert changed.data["configuration"] == shown
    assert (await stack.store.get_agent("agent-123")).configuration == secrets


async def test_a_mask_is_no_secret_a_new_agent_could_keep(stack: Stack) -> None:
    made = await stack.post("/api/agents", {"name": "Daily", "agentType": "ECHO", "configuration": {"token": "***"}})

    assert made.status == 400
    assert (await stack.get("/api/agents")).data == []


async def test_a_deleted_agent_is_gone_with_its_sessions(stack: Stack) -> None:
    await stack.agent()
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentCompleted)

    deleted = await stack.delete("/api/agents/agent-123")

    assert (deleted.status, deleted.data) == (200, {"id": "agent-123"})
    assert (await stack.get("/api/agents/agent-123")).status == 404
    await stack.agent()
    assert (await stack.get("/api/agents/agent-123/sessions")).data["pagination"]["total"] == 0


async def test_a_running_agent_cannot_be_deleted(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentStarted)

    refused = await stack.delete("/api/agents/agent-123")

    assert refused.status == 409
    assert (await stack.get("/api/agents/agent-123")).data["status"] == "RUNNING"


async def test_a_run_by_hand_is_accepted_and_kept(stack: Stack) -> None:
    await stack.agent()

    accepted = await stack.post("/api/agents/agent-123/run", {"context": {"topic": "weather", "apiToken": "t-1"}})
    await stack.news.until(AgentCompleted)

    assert accepted.status == 202
    session = (await stack.get("/api/agents/agent-123/sessions")).data["sessions"][0]
    assert accepted.body == {
        "success": True,
        "data": {
            "agentId": "agent-123",
            "sessionId": session["id"],
            "jobId": "agent-123",
            "status": "queued",
            "acceptedAt": "2024-01-01T08:00:00.000Z",
        },
    }
    details = (await stack.get(f"/api/agents/agent-123/sessions/{session['id']}")).data
    assert details["context"]["input"] == {"topic": "weather", "apiToken": "***"}


async def test_earlier_clients_run_an_agent_by_its_id_in_the_body(stack: Stack) -> None:
    await stack.agent()

    accepted = await stack.post("/api/agents/run", {"agentId": "agent-123", "context": {"topic": "weather"}})
    await stack.news.until(AgentCompleted)

    assert accepted.status == 202
    assert accepted.data["agentId"] == "agent-123"


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"json": {"context": None}}, {"data": b"  "}])
async def test_a_run_needs_no_body(stack: Stack, options: dict[str, Any]) -> None:
    await stack.agent()

    assert (await stack.call("POST", "/api/agents/agent-123/run", **options)).status == 202


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/agents/agent-123/run", {"context": []}, "context"),
        ("/api/agents/agent-123/run", {"input": {}}, "input"),
        ("/api/agents/run", {"context": {}}, "agentId"),
        ("/api/agents/run", {"agentId": 5}, "agentId"),
        ("/api/agents/run", {"agentId": "a/b"}, "agentId"),
    ],
)
async def test_a_run_that_does_not_validate_is_refused_by_field(
    stack: Stack, path: str, body: dict[str, Any], field: str
) -> None:
    await stack.agent()

    refused = await stack.post(path, body)

    assert refused.status == 400
    assert [error["field"] for error in refused.body["errors"]] == [field]


async def test_an_agent_that_runs_cannot_be_run_again(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentStarted)

    assert (await stack.post("/api/agents/agent-123/run")).status == 409
    assert (await stack.post("/api/agents/run", {"agentId": "agent-123"})).status == 409


async def test_a_run_is_stopped_and_its_session_says_so(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    session_id = (await stack.post("/api/agents/agent-123/run")).data["sessionId"]
    await stack.news.until(AgentStarted)

    stopped = await stack.post("/api/agents/agent-123/stop")
    await stack.news.until(AgentFailed)

    assert stopped.status == 200
    assert stopped.body["success"] is True
    assert stopped.body["message"]
    assert stopped.data.pop("status") in ("stopped", "stopping")
    assert stopped.data == {"agentId": "agent-123", "sessionId": session_id, "jobId": "agent-123"}
    session = (await stack.get(f"/api/agents/agent-123/sessions/{session_id}")).data
    assert (session["outcome"], session["errorMessage"]) == ("stopped", "Agent execution manually stopped")
    assert (await stack.get("/api/agents/agent-123")).data["status"] == "IDLE"


async def test_an_agent_that_does_not_run_cannot_be_stopped(stack: Stack) -> None:
    await stack.agent()

    assert (await stack.post("/api/agents/agent-123/stop")).status == 409


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/agents/{}", None), ("PATCH", "/api/agents/{}", {}), ("DELETE", "/api/agents/{}", None),
        ("POST", "/api/agents/{}/run", None), ("POST", "/api/agents/{}/stop", None),
        ("GET", "/api/agents/{}/sessions", None), ("GET", "/api/agents/{}/sessions/s", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("agent_id", ["nobody", "a%20b", "a%2Fb", "%00", "x" * 65, "%C3%A4", "%F0%28"])
async def test_an_agent_that_is_not_there_is_not_found(
    stack: Stack, method: str, path: str, body: Any, agent_id: str
) -> None:
    missing = await stack.call(method, path.format(agent_id), json=body)

    assert (missing.status, missing.body) == (404, {"success": False, "error": "Agent not found"})


async def test_an_unknown_agent_in_the_body_is_not_found(stack: Stack) -> None:
    missing = await stack.post("/api/agents/run", {"agentId": "nobody"})

    assert (missing.status, missing.body) == (404, {"success": False, "error": "Agent not found"})
