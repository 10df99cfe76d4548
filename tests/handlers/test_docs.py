"""The API's documentation: complete, valid, and true to what the server answers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from handlers.auth import Role
from scheduler.events import AgentCompleted
from store.records import Change, Gap, Outcome
from tests.handlers.stack import START, Stack, running
from tests.support.tools import chromium

JSON = "application/json"


async def test_the_document_is_valid_openapi_3(stack: Stack) -> None:
    document = await _document(stack)

    assert document["openapi"] == "3.0.3"
    assert [str(error) for error in OpenAPIV30SpecValidator(document).iter_errors()] == []


async def test_every_route_is_in_the_document_but_those_of_pages_and_their_files(stack: Stack) -> None:
    document = await _document(stack)

    served = {
        (route.method.lower(), route.resource.canonical)
        for route in stack.app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
    }
    written = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert written <= served
    assert {path for _, path in served - written} == {
        "/",
        "/favicon.ico",
        "/static/{path}",
        "/socket.io/{name}",
        "/api/docs",
        "/api/docs/start.js",
        "/api/docs/{name}",
    }


async def test_every_operation_of_the_api_wants_the_bearer_token_and_no_other(stack: Stack) -> None:
    document = await _document(stack)

    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert document["security"] == [{"bearer": []}]
    for path, method, operation in _operations(document):
        answer = await stack.call(method.upper(), path.format(id="a", jobId="a", sessionId="a"), token=None)
        assert (answer.status == 401) is ("security" not in operation), path
        assert operation.get("security", []) == []


async def test_every_operation_tells_its_errors_parameters_and_headers(stack: Stack) -> None:
    document = await _document(stack)

    names, limits = set(), {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    for path, method, operation in _operations(document):
        wants_token = "security" not in operation
        names.add(operation["operationId"])
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}
        assert operation["responses"].keys() >= ({"401", "429", "500", "503"} if wants_token else {"500"}), path
        assert ("403" in operation["responses"]) is (method != "get"), path
        parameters = [parameter for parameter in operation["parameters"] if parameter.get("in") == "path"]
        assert {parameter["name"] for parameter in parameters} == {
            part[1:-1] for part in path.split("/") if part.startswith("{")
        }
        if "requestBody" in operation:
            assert operation["responses"].keys() >= {"400", "413", "415"}, path
        success = next(answer for status, answer in operation["responses"].items() if status < "300")
        assert "X-Request-Id" in success["headers"]
        assert (success["headers"].keys() >= limits) is wants_token
    assert len(names) == len(list(_operations(document)))


async def test_every_body_answer_parameter_header_and_error_has_an_example_that_is_true_to_its_schema(
    stack: Stack,
) -> None:
    document = await _document(stack)

    shown = 0
    for path, _, operation in _operations(document):
        answers = [answer for answer in operation["responses"].values() if "$ref" not in answer]
        for part in (*answers, operation.get("requestBody", {})):
            for media, content in part.get("content", {}).items():
                if media == JSON and "additionalProperties" not in content["schema"]:
                    assert _faults(document, content["schema"], content["example"]) == [], path
                    shown += 1
        for parameter in operation["parameters"]:
            if "$ref" not in parameter and "default" not in parameter["schema"]:
                value = parameter.get("example", parameter["schema"].get("example"))
                assert _faults(document, parameter["schema"], value) == [], (path, parameter)
    for answer in document["components"]["responses"].values():
        content = answer["content"][JSON]
        assert content["examples"]
        for one in content["examples"].values():
            assert _faults(document, content["schema"], one["value"]) == []
    assert all("example" in header for header in document["components"]["headers"].values())
    assert shown > 30


async def test_examples_of_errors_are_what_the_server_says(stack: Stack) -> None:
    errors = (await _document(stack))["components"]["responses"]
    await stack.agent()
    one = "/api/agents/agent-123"

    said = {
        (400, "field"): await stack.post(f"{one}/schedule", {"cronExpression": "0 9 * *"}),
        (400, "body"): await stack.post(f"{one}/schedule", []),
        (401, "missing"): await stack.get(one, token=None),
        (401, "invalid"): await stack.get(one, token="nonsense"),
        (403, "viewer"): await stack.delete(one, token=stack.token(Role.VIEWER)),
        (404, "agent"): await stack.get("/api/agents/nobody"),
        (404, "session"): await stack.get(f"{one}/sessions/none"),
        (404, "job"): await stack.patch(f"{one}/schedule/agent-123/pause"),
        (409, "taken"): await stack.post("/api/agents", {"id": "agent-123", "name": "A", "agentType": "ECHO"}),
        (409, "idle"): await stack.post(f"{one}/stop"),
        (413, "large"): await stack.call(
            "POST", "/api/agents", data=io.BytesIO(b"x" * 1048577), headers={"Content-Type": JSON}
        ),
        (415, "type"): await stack.call("POST", "/api/agents", data=b"x", headers={"Content-Type": "text/plain"}),
    }
    for (status, name), answer in said.items():
        assert answer.status == status
        assert answer.body == errors[f"Error{status}"]["content"][JSON]["examples"][name]["value"]


async def test_what_may_be_sent_is_described_with_its_bounds(stack: Stack) -> None:
    document = await _document(stack)

    schedule = document["components"]["schemas"]["ScheduleBody"]
    assert schedule["required"] == ["cronExpression"]
    assert schedule["additionalProperties"] is False
    assert schedule["properties"]["priority"]["enum"] == ["LOW", "NORMAL", "HIGH", "CRITICAL"]
    assert schedule["properties"]["enabled"]["type"] == "boolean"
    parameters = document["paths"]["/api/agents/{id}/sessions"]["get"]["parameters"]
    limit = next(parameter for parameter in parameters if parameter.get("name") == "limit")
    assert limit["schema"] == {"type": "integer", "default": 20, "minimum": 1, "maximum": 100}


async def test_answers_are_what_the_document_says(stack: Stack) -> None:
    await _lively(stack)
    session_id = (await stack.get("/api/agents/agent-123/sessions")).data["sessions"][0]["id"]
    new = {"id": "other", "name": "Other", "agentType": "ECHO"}
    one = "/api/agents/{id}/schedule"

    calls: list[tuple[str, str, dict[str, str], Any]] = [
        ("POST", "/api/agents", {}, new),
        ("POST", "/api/agents", {}, new),
        ("GET", "/api/agents", {}, None),
        ("GET", "/api/agents/{id}", {}, None),
        ("GET", "/api/agents/{id}", {"id": "nobody"}, None),
        ("PATCH", "/api/agents/{id}", {}, {"name": "New"}),
        ("POST", "/api/agents/{id}/stop", {}, None),
        ("GET", one, {}, None),
        ("GET", one, {"id": "other"}, None),
        ("POST", one, {}, {"cronExpression": "nonsense"}),
        ("POST", one, {}, {"cronExpression": "0 10 * * *"}),
        ("GET", one + "/status", {}, None),
        ("PATCH", one + "/{jobId}/pause", {}, None),
        ("GET", one + "/paused", {}, None),
        ("GET", "/api/agents/schedule/paused", {}, None),
        ("PATCH", one + "/{jobId}/resume", {}, None),
        ("PATCH", one + "/{jobId}/resume", {}, None),
        ("GET", "/api/agents/{id}/sessions", {}, None),
        ("GET", "/api/agents/{id}/sessions/{sessionId}", {}, None),
        ("GET", "/api/scheduler/status", {}, None),
        ("GET", "/api/sessions", {}, None),
        ("GET", "/api/overview", {}, None),
        ("GET", "/api/runners", {}, None),
        ("GET", "/api/schedule/upcoming", {}, None),
        ("GET", one + "/explain", {}, None),
        ("GET", "/health", {}, None),
        ("GET", "/api/agents/scheduler/status", {}, None),
        ("GET", "/api/agents/schedule/status", {}, None),
        ("GET", "/api/overview", {}, None),
        ("GET", "/api/runners", {}, None),
        ("GET", "/api/sessions", {}, None),
        ("GET", "/api/schedule/preview?cronExpression=@daily", {}, None),
        ("GET", "/api/schedule/preview", {}, None),
        ("GET", "/api/schedule/upcoming?until=2024-01-03T00:00:00Z", {}, None),
        ("GET", one + "/explain", {}, None),
        ("POST", "/api/agents/{id}/run", {"id": "other"}, {"context": {"a": 1}}),
        ("DELETE", one, {}, None),
        ("POST", "/api/agents/run", {}, {"agentId": "agent-123"}),
        ("DELETE", "/api/agents/{id}", {"id": "nobody"}, None),
    ]
    document = await _document(stack)
    for method, path, changed, body in calls:
        names = {"id": "agent-123", "jobId": "agent-123", "sessionId": session_id} | changed
        answer = await stack.call(method, path.format(**names), json=body)
        _check(document, method, path.partition("?")[0], answer.status, answer.body)


async def test_rows_of_occurrences_that_did_not_run_are_described_too(stack: Stack) -> None:
    await _lively(stack)
    gap = Gap("gap-1", "agent-123", Outcome.MISSED, 4, START, START, "The server was down")
    await stack.store.change_agent("agent-123", lambda agent: Change(agent, gaps=(gap,)))

    answer = await stack.get("/api/agents/agent-123/sessions?include=missed")

    assert answer.data["pagination"]["total"] == 2
    _check(await _document(stack), "GET", "/api/agents/{id}/sessions", 200, answer.body)


async def test_two_servers_in_one_process_have_the_same_document(stack: Stack, tmp_path: Path) -> None:
    async with running(tmp_path / "other", scheduling=False) as other:
        assert await _document(other) == await _document(stack)


class TestSwaggerUI:
    async def test_the_page_loads_nothing_from_elsewhere_and_no_inline_script(self, stack: Stack) -> None:
        page = await stack.get("/api/docs", token=None)

        assert page.status == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert "://" not in page.text
        assert "<script>" not in page.text
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy

    async def test_everything_the_page_refers_to_is_there(self, stack: Stack) -> None:
        page = await stack.get("/api/docs", token=None)
        links = [part.split('"')[0] for part in page.text.replace('src="', 'href="').split('href="')[1:]]

        assert len(links) == 5
        for link in links:
            assert (await _status(stack, link)) == 200

    @pytest.mark.browser
    async def test_a_browser_shows_every_operation_under_the_pages_policy(self, stack: Stack, tmp_path: Path) -> None:
        browser = await asyncio.create_subprocess_exec(
            chromium() or "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"{stack.url.origin()}/api/docs",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        shown, _ = await browser.communicate()

        page = shown.decode()
        assert page.count("opblock-summary-path") == len(list(_operations(await _document(stack))))
        assert "btn authorize" in page

    async def test_only_its_own_files_are_served(self, stack: Stack) -> None:
        for name in ("index.html", "nothing.js", "..%2f__init__.py", "swagger-ui.js.map"):
            assert (await _status(stack, f"/api/docs/{name}")) == 404


async def _lively(stack: Stack) -> None:
    await stack.agent(configuration={"token": "t"})
    await stack.schedule()
    await stack.post("/api/agents/agent-123/run", {"context": {"a": 1}})
    await stack.news.until(AgentCompleted)


def _operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def _document(stack: Stack) -> Any:
    return (await stack.get("/api/docs/swagger.json", token=None)).body


async def _status(stack: Stack, path: str) -> int:
    url = stack.url.join(type(stack.url)(path, encoded=True))
    async with stack.client.get(url) as answer:
        await answer.read()
        return answer.status


def _check(document: Any, method: str, path: str, status: int, body: Any) -> None:
    """Hold an answer against the document: the status is described, and the body has exactly what its schema says."""
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, (method, path, status, body)
    response = responses[str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    assert _faults(document, response["content"][JSON]["schema"], body) == [], (method, path, status, body)


def _faults(document: Any, schema: Any, value: Any) -> list[str]:
    whole = schema | {"components": document["components"]}  # what its $refs point to
    return [error.message for error in OAS30Validator(whole).iter_errors(value)]
