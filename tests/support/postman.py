"""Makes the Postman collection and its environment in ``docs/`` from the OpenAPI document: ``make docs``.

The folder "Tour" is a story with assertions, each request relying on those before it; the folders after it hold every
route once, with the document's examples, and assert that the answer is one that the document names.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from handlers.app import API_VERSION
from handlers.openapi import TAGS, openapi
from tests.handlers.stack import running
from tests.support.postman_tour import TOUR, Step
from tests.support.tools import ROOT

COLLECTION = ROOT / "docs" / "agent-scheduler.postman_collection.json"
ENVIRONMENT = ROOT / "docs" / "agent-scheduler.postman_environment.json"

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
VARIABLES = {
    "agentId": "agent-123",
    "sessionId": "session-123",
    "agentUrl": "http://127.0.0.1:7000/",
    "brokenUrl": "http://127.0.0.1:9/",
    "tourAgentId": "",
    "tourSessionId": "",
    "brokenAgentId": "",
    "tries": "0",
}
"""Those of the collection; ``baseUrl`` and ``token`` are the environment's."""
PATH_VARIABLES = {"id": "{{agentId}}", "jobId": "{{agentId}}", "sessionId": "{{sessionId}}"}
EXAMPLE_URL = "https://agents.example.com/posts"
DESCRIPTION = (
    "Choose the environment beside this file, set baseUrl, and set token to what `python -m server token --user you` "
    "prints. Run the folder Tour from top to bottom. The agent at agentUrl is the one in the README; nothing listens "
    "at brokenUrl."
)

Item: TypeAlias = dict[str, Any]
Route: TypeAlias = tuple[str, str, Mapping[str, Any]]
"""Method, path and operation."""
LAST = "Removing"


def collection(document: Mapping[str, Any]) -> Item:
    """The collection in Postman's format 2.1."""
    routes = _routes(document)
    folders = [
        {"name": tag, "description": text, "item": [_route(*route) for route in routes if _folder(route) == tag]}
        for tag, text in (*TAGS.items(), (LAST, "What takes something away comes last."))
    ]
    tour = {"name": "Tour", "description": "A story, from top to bottom.", "item": [_step(step) for step in TOUR]}
    return {
        "info": {
            "name": document["info"]["title"],
            "description": DESCRIPTION,
            "version": document["info"]["version"],
            "schema": FORMAT,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "item": [tour, *folders],
    }


def environment() -> Item:
    return {
        "name": "Agent scheduler on this machine",
        "values": [
            {"key": "baseUrl", "value": "http://localhost:5000", "type": "default", "enabled": True},
            {"key": "token", "value": "", "type": "secret", "enabled": True},
        ],
        "_postman_variable_scope": "environment",
    }


def made() -> dict[Path, str]:
    """What the files have to hold."""

    async def document() -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            async with running(Path(folder), scheduling=False) as stack:
                return openapi(stack.app, API_VERSION)

    files = {COLLECTION: collection(asyncio.run(document())), ENVIRONMENT: environment()}
    return {path: json.dumps(content, indent=2) + "\n" for path, content in files.items()}


def _routes(document: Mapping[str, Any]) -> list[Route]:
    """Each of them once, in an order that makes sense: what makes something first."""
    found = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda route: route[0] != "post")


def _folder(route: Route) -> str:
    method, _, operation = route
    return LAST if method == "delete" else str(operation["tags"][0])


def _step(step: Step) -> Item:
    return {
        "name": step.name,
        "request": _request(step.method, step.path, step.body),
        "event": [_test(("{", *(f"  {line}" for line in step.script), "}"))],  # scripts share one scope
    }


def _route(method: str, path: str, operation: Mapping[str, Any]) -> Item:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    address = "/".join(PATH_VARIABLES[part[1:-1]] if part.startswith("{") else part for part in path.split("/"))
    request = _request(method.upper(), address, content.get("example"))
    request["description"] = operation["description"]
    request["url"]["query"] = [
        _query(parameter) for parameter in operation["parameters"] if parameter.get("in") == "query"
    ]
    if operation.get("security") == []:
        request["auth"] = {"type": "noauth"}
    script = (
        f"pm.test('the answer is one that the document names', () => "
        f"pm.expect(pm.response.code).to.be.oneOf({json.dumps(_statuses(operation))}));"
    )
    return {
        "name": f"{method.upper()} {path}: {operation['summary']}",
        "request": request,
        "response": [
            _saved(status, answer, request) for status, answer in operation["responses"].items() if "$ref" not in answer
        ],
        "event": [_test([script])],
    }


def _statuses(operation: Mapping[str, Any]) -> list[int]:
    """Those that may come of the examples on a server that is well and a token that is good."""
    return [int(status) for status in operation["responses"] if status not in ("401", "403", "413", "415", "500")]


def _request(method: str, path: str, body: object) -> Item:
    bare, _, query = path.partition("?")
    url: Item = {"raw": f"{{{{baseUrl}}}}{path}", "host": ["{{baseUrl}}"], "path": bare.strip("/").split("/")}
    if query:
        url["query"] = [dict(zip(("key", "value"), pair.split("="), strict=True)) for pair in query.split("&")]
    request: Item = {"method": method, "header": [], "url": url}
    if body is not None:
        raw = json.dumps(body, indent=2).replace(EXAMPLE_URL, "{{agentUrl}}")
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        request["body"] = {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
    return request


def _query(parameter: Mapping[str, Any]) -> Item:
    schema = parameter["schema"]
    value = parameter.get("example", schema.get("example", schema.get("default", "")))
    return {
        "key": parameter["name"],
        "value": str(value).lower() if isinstance(value, bool) else str(value),
        "description": parameter.get("description", schema.get("description", "")),
        "disabled": not parameter["required"],
    }


def _saved(status: str, answer: Mapping[str, Any], request: Item) -> Item:
    media, content = next(iter(answer["content"].items()))
    return {
        "name": answer["description"],
        "originalRequest": request,
        "code": int(status),
        "header": [{"key": "Content-Type", "value": media}],
        "body": json.dumps(content["example"], indent=2) if "example" in content else "",
        "_postman_previewlanguage": "json" if media == "application/json" else "text",
    }


def _test(lines: list[str] | tuple[str, ...]) -> Item:
    return {"listen": "test", "script": {"type": "text/javascript", "exec": [*lines]}}


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
