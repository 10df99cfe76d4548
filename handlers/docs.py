"""The API's documents over HTTP: OpenAPI for REST, AsyncAPI for the sockets, and Swagger UI, offline."""

from __future__ import annotations

from pathlib import Path

import aiohttp_apispec
from aiohttp import web

from handlers.asyncapi import asyncapi
from handlers.openapi import openapi
from handlers.operations import Answer, operation
from handlers.pages import document_headers
from store.records import JSONObject

URL = "/api/docs"
UI_FILES = Path(aiohttp_apispec.__file__).parent / "static"
"""aiohttp-apispec's copy of Swagger UI."""
UI_NAMES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png"})

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
    """*version* is the API's, shown in the documents."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._openapi: JSONObject | None = None
        self._asyncapi = asyncapi(version)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(URL, self.page),
            web.get(f"{URL}/swagger.json", self.rest),
            web.get(f"{URL}/asyncapi.json", self.sockets),
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

    @operation(
        "Read the REST API's document",
        tag="Documents",
        answers={200: Answer("OpenAPI 3: this document.")},
        wants_token=False,
    )
    async def rest(self, request: web.Request) -> web.Response:
        """What Swagger UI at `/api/docs` shows, and what code generators read."""
        if self._openapi is None:
            self._openapi = openapi(request.app, self._version)
        return web.json_response(self._openapi)

    @operation(
        "Read the sockets' document",
        tag="Documents",
        answers={200: Answer("AsyncAPI 3: every event of Socket.IO, both ways.")},
        wants_token=False,
    )
    async def sockets(self, _: web.Request) -> web.Response:
        """Namespaces, rooms, subscriptions with their acknowledgements, and the payload of each event."""
        return web.json_response(self._asyncapi)
