"""The API's documentation: an OpenAPI 3 document from what the handlers declare, and Swagger UI, offline.

aiohttp-apispec's own decorators write OpenAPI 2 into a 3 document (body parameters, ``produces``, untyped path
parameters), so the operations are ours; its spec builder and its copy of Swagger UI are used.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp_apispec
from aiohttp import hdrs, web
from aiohttp_apispec import AiohttpApiSpec
from marshmallow import Schema

from handlers.answer_schemas import FailurePart
from handlers.operations import Answer, Operation, operation_of
from handlers.pages import document_headers
from handlers.schemas import ID_FORM
from store.records import AGENT_ID, JSONObject

URL = "/api/docs"
UI_FILES = Path(aiohttp_apispec.__file__).parent / "static"
UI_NAMES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png"})

DESCRIPTION = (
    "Schedules agents, runs them on time and shows every run live. Times are UTC, ISO 8601 with milliseconds; "
    "durations are milliseconds. A success is `{success: true, data}`, a failure `{success: false, error}`. "
    "The same news arrives live over Socket.IO on this address."
)

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
    "id": f"The agent's id: it {ID_FORM}.",
    "jobId": "The job's id; an agent's job has the agent's id.",
    "sessionId": "The session's id.",
}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Agent scheduler: API</title>
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/api/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/api/docs/swagger-ui-bundle.js" charset="utf-8"></script>
<script src="/api/docs/swagger-ui-standalone-preset.js" charset="utf-8"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""

START = """window.ui = SwaggerUIBundle({
  url: "/api/docs/swagger.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
});
"""


class DocsHandlers:
    """*version* is the API's, shown in the document."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._document: JSONObject | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(URL, self.page),
            web.get(f"{URL}/swagger.json", self.document),
            web.get(f"{URL}/start.js", self.start),
            web.get(URL + "/{name}", self.file),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """Swagger UI."""
        # Swagger UI styles its elements inline; scripts come from files only.
        headers = document_headers(request, styles="'self' 'unsafe-inline'")
        return web.Response(text=PAGE, content_type="text/html", headers=headers)

    async def start(self, _: web.Request) -> web.Response:
        """What opens the document in Swagger UI: a file, as the page allows no script of its own."""
        return web.Response(text=START, content_type="text/javascript", headers={"Cache-Control": "no-cache"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of Swagger UI, by a name we know."""
        name = request.match_info["name"]
        if name not in UI_NAMES:
            raise web.HTTPNotFound
        return web.FileResponse(UI_FILES / name, headers={"Cache-Control": "no-cache"})

    async def document(self, request: web.Request) -> web.Response:
        """The OpenAPI 3 document."""
        if self._document is None:
            self._document = openapi(request.app, self._version)
        return web.json_response(self._document)


def openapi(app: web.Application, version: str) -> JSONObject:
    """The OpenAPI 3 document of every route of *app* that declares an operation."""
    spec = AiohttpApiSpec(
        title="Agent scheduler",
        version=version,
        openapi_version="3.0.3",
        info={"description": DESCRIPTION},
        security=[{"bearer": []}],
        schema_name_resolver=_schema_name,
    ).spec
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.schema("Failure", schema=FailurePart)
    for name, (kind, text) in _HEADERS.items():
        spec.components.header(name, {"description": text, "schema": {"type": kind}})
    for status, text in ERRORS.items():
        spec.components.response(f"Error{status}", _error(status, text))
    for route in app.router.routes():
        declared = operation_of(route.handler)
        if declared is not None and route.method != hdrs.METH_HEAD and route.resource is not None:
            path = route.resource.canonical
            spec.path(path=path, operations={route.method.lower(): _operation(spec, declared, route.method, path)})
    document: JSONObject = spec.to_dict()
    return document


_HEADERS = {
    "RateLimit-Limit": ("integer", "Requests a user may make per window. Absent where the limit is switched off."),
    "RateLimit-Remaining": ("integer", "How many of them are left."),
    "RateLimit-Reset": ("integer", "Seconds until the window ends."),
    "X-Request-Id": ("string", "Names the request in the server's log; one that is sent along is kept."),
    "Retry-After": ("integer", "Seconds after which to try again."),
    "WWW-Authenticate": ("string", "Bearer"),
    "Location": ("string", "Where the new agent is."),
}
_ALWAYS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-Id")
_ALSO = {201: "Location", 401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def _operation(spec: Any, declared: Operation, method: str, path: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(method, path),
        "summary": declared.summary,
        "description": declared.description,
        "tags": [declared.tag],
        "parameters": [_path_parameter(name) for name in re.findall(r"{(\w+)}", path)],
        "responses": {str(status): _answer(status, answer) for status, answer in declared.answers.items()},
    }
    if declared.query is not None:
        converter = spec.plugins[0].converter
        described["parameters"] += converter.schema2parameters(declared.query, location="query")
    if declared.body is not None:
        content = {"application/json": {"schema": declared.body}}
        described["requestBody"] = {"required": declared.body_required, "content": content}
    for status in sorted(_errors(declared, method)):
        described["responses"][str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return described


def _errors(declared: Operation, method: str) -> set[int]:
    errors = {401, 429, 500, 503, *declared.errors}
    if declared.query is not None or declared.body is not None:
        errors.add(400)
    if declared.body is not None:
        errors |= {413, 415}
    if method != hdrs.METH_GET:
        errors.add(403)
    return errors


def _answer(status: int, answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description, "headers": _header_refs(status)}
    if answer.schema is not None:
        described["content"] = {answer.media: {"schema": answer.schema}}
    return described


def _error(status: int, text: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    return {"description": text, "headers": _header_refs(status), "content": content}


def _header_refs(status: int) -> dict[str, Any]:
    names = (*_ALWAYS, _ALSO[status]) if status in _ALSO else _ALWAYS
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{AGENT_ID.pattern}$"}
    return {"name": name, "in": "path", "required": True, "description": PATH_PARAMETERS[name], "schema": schema}


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", path.removeprefix("/api/"))
    return method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _schema_name(schema: Schema | type[Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Part")
