"""The OpenAPI 3 document, from what the handlers declare.

aiohttp-apispec's own decorators write OpenAPI 2 into a 3 document (body parameters, ``produces``, untyped path
parameters), so the operations are ours; its spec builder is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp_apispec import AiohttpApiSpec
from marshmallow import Schema

from handlers.answer_schemas import FailurePart
from handlers.examples import FAILURES, FIELDS, example
from handlers.operations import Answer, Operation, operation_of
from handlers.schemas import ID_FORM
from store.records import AGENT_ID, JSONObject

VERSION = "3.0.3"

DESCRIPTION = (
    "Schedules agents, runs them on time and shows every run live. Times are UTC, ISO 8601 with milliseconds; "
    "durations are milliseconds. A success is `{success: true, data}`, a failure `{success: false, error}`. "
    "The same news arrives live over Socket.IO on this address: `/api/docs/asyncapi.json` describes it."
)

TAGS = {
    "Agents": "What is scheduled, and running it by hand.",
    "Schedules": "When an agent runs: saving, pausing and trying out schedules.",
    "Sessions": "The execution history.",
    "Scheduler": "The scheduler as a whole.",
    "Service": "The process, for whoever watches it. No token is wanted.",
    "Documents": "These documents. No token is wanted.",
}

ERRORS = {
    400: "The body is not JSON, not an object, or something does not validate: `errors` names the fields.",
    401: "No token, or one that is malformed, expired, unsigned, or signed with another key or algorithm.",
    403: "The token's role may not do this.",
    404: "There is no such agent, session or job.",
    409: "The present state forbids it.",
    413: "The body is larger than the server accepts.",
    415: "The body is not of the type application/json.",
    429: "Over the rate limit.",
    500: "Our fault; `id` is also in the server's log.",
    503: "The database cannot be reached.",
}

PATH_PARAMETERS = {
    "id": (f"The agent's id: it {ID_FORM}.", "agent-123"),
    "jobId": ("The job's id; an agent's job has the agent's id.", "agent-123"),
    "sessionId": ("The session's id.", "session-123"),
}

_HEADERS = {
    "RateLimit-Limit": ("integer", "Requests a user may make per window. Absent where the limit is switched off.", 100),
    "RateLimit-Remaining": ("integer", "How many of them are left.", 99),
    "RateLimit-Reset": ("integer", "Seconds until the window ends.", 900),
    "X-Request-Id": ("string", "Names the request in the server's log.", "5f0c7d4e9d6b4d0c8a3f2b1a0c9e8d7f"),
    "Cache-Control": ("string", "What one user may read is not for shared caches.", "no-store"),
    "Retry-After": ("integer", "Seconds after which to try again.", 5),
    "WWW-Authenticate": ("string", "The kind of token wanted.", "Bearer"),
    "Location": ("string", "Where the new agent is.", "/api/agents/agent-123"),
}
_ALWAYS = ("X-Request-Id",)
_WITH_TOKEN = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Cache-Control")
_ALSO = {201: ("Location",), 401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def openapi(app: web.Application, version: str) -> JSONObject:
    """The document of every route of *app* that declares an operation; *version* is the API's."""
    spec = AiohttpApiSpec(
        title="Agent scheduler",
        version=version,
        openapi_version=VERSION,
        info={"description": DESCRIPTION},
        servers=[{"url": "/", "description": "This server."}],
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        security=[{"bearer": []}],
        schema_name_resolver=schema_name,
    ).spec
    _add_components(spec)
    for route in app.router.routes():
        declared = operation_of(route.handler)
        if declared is not None and route.method != hdrs.METH_HEAD and route.resource is not None:
            path = route.resource.canonical
            spec.path(path=path, operations={route.method.lower(): _operation(spec, declared, route.method, path)})
    document: JSONObject = spec.to_dict()
    _add_examples(document)
    return document


def schema_name(schema: Schema | type[Schema]) -> str:
    """What a schema is called in our documents."""
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Part")


def _add_components(spec: Any) -> None:
    spec.components.security_scheme(
        "bearer",
        {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "Made with `python -m server token --user you`, or by whoever holds the key.",
        },
    )
    spec.components.schema("Failure", schema=FailurePart)
    for name, (kind, text, value) in _HEADERS.items():
        spec.components.header(name, {"description": text, "schema": {"type": kind}, "example": value})
    for status, text in ERRORS.items():
        spec.components.response(f"Error{status}", _error(status, text))
    own_id = {
        "name": "X-Request-Id",
        "description": "A name of your own for the request, 8 to 64 of A-Z a-z 0-9 . _ -; else the server makes one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
        "example": "my-request-0001",
    }
    spec.components.parameter("RequestId", "header", own_id)


def _operation(spec: Any, declared: Operation, method: str, path: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(method, path),
        "summary": declared.summary,
        "description": declared.description,
        "tags": [declared.tag],
        "parameters": [
            *(_path_parameter(name) for name in re.findall(r"{(\w+)}", path)),
            "RequestId",
        ],
        "responses": {str(status): _answer(status, answer, declared) for status, answer in declared.answers.items()},
    }
    if not declared.wants_token:
        described["security"] = []
    if declared.query is not None:
        described["parameters"] += _query_parameters(spec, declared.query)
    if declared.body is not None:
        content = {"application/json": {"schema": declared.body}}
        described["requestBody"] = {"required": declared.body_required, "content": content}
    for status in sorted(_errors(declared, method)):
        described["responses"].setdefault(str(status), {"$ref": f"#/components/responses/Error{status}"})
    return described


def _errors(declared: Operation, method: str) -> set[int]:
    errors = {500, *declared.errors}
    if declared.wants_token:
        errors |= {401, 429, 503}
    if declared.query is not None or declared.body is not None:
        errors.add(400)
    if declared.body is not None:
        errors |= {413, 415}
    if declared.wants_token and method != hdrs.METH_GET:
        errors.add(403)
    return errors


def _answer(status: int, answer: Answer, declared: Operation) -> dict[str, Any]:
    headers = _header_refs(status, wants_token=declared.wants_token)
    described: dict[str, Any] = {"description": answer.description, "headers": headers}
    if answer.schema is not None:
        described["content"] = {answer.media: {"schema": answer.schema}}
    elif answer.media != "application/json":
        described["content"] = {answer.media: {"schema": {"type": "string"}}}
    else:
        described["content"] = {answer.media: {"schema": {"type": "object", "additionalProperties": True}}}
    return described


def _error(status: int, text: str) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in FAILURES[status].items()}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}, "examples": examples}}
    return {"description": text, "headers": _header_refs(status, wants_token=True), "content": content}


def _header_refs(status: int, *, wants_token: bool) -> dict[str, Any]:
    names = (*_ALWAYS, *(_WITH_TOKEN if wants_token else ()), *_ALSO.get(status, ()))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _path_parameter(name: str) -> dict[str, Any]:
    text, value = PATH_PARAMETERS[name]
    schema = {"type": "string", "pattern": f"^{AGENT_ID.pattern}$"}
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema, "example": value}


def _query_parameters(spec: Any, query: Schema) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = spec.plugins[0].converter.schema2parameters(query, location="query")
    for parameter in described:
        if "default" not in parameter["schema"] and "example" not in parameter["schema"]:
            parameter["example"] = _QUERY_EXAMPLES.get(parameter["name"], FIELDS.get(parameter["name"]))
    return described


_QUERY_EXAMPLES: Mapping[str, object] = {"q": "posts", "include": "missed", "perAgent": 5}


def _add_examples(document: Any) -> None:
    """An example beside the schema of every body and every answer."""
    schemas = document["components"]["schemas"]
    for methods in document["paths"].values():
        for described in methods.values():
            for part in (described.get("requestBody", {}), *described["responses"].values()):
                for content in part.get("content", {}).values():
                    if "$ref" in content["schema"]:
                        content["example"] = example(content["schema"], schemas)


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", path.removeprefix("/api/"))
    return method.lower() + "".join(word[0].upper() + word[1:] for word in words)
