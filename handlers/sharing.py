"""Lets pages of other origins call the API, with a token in a header; cookies play no part here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp_cors
from aiohttp import hdrs, web

from handlers.errors import Handler

EXPOSED_HEADERS = (
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-Id",
    "Location",
)
ALLOWED_HEADERS = ("Authorization", "Content-Type", "X-Request-Id")
ALLOWED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PREFLIGHT_KEPT_S = 600


def share(app: web.Application, routes: Iterable[web.AbstractRoute], origins: Sequence[str]) -> None:
    """Let pages of *origins* call *routes*, and read that what they called is no route, or not with that method."""
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        expose_headers=EXPOSED_HEADERS, allow_headers=ALLOWED_HEADERS, max_age=PREFLIGHT_KEPT_S
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for route in routes:
        cors.add(route)
    app.middlewares.append(_granter(frozenset(origins)))
    app.on_response_prepare.append(_opener(frozenset(origins)))


def _granter(origins: frozenset[str]) -> Any:
    """Middleware: grant the preflight of what is no route, else the page never sees the 404 behind it."""

    @web.middleware
    async def grant(request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if not asks or not _is_lost(request, origins):
            return await handler(request)
        return web.Response(
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: ",".join(ALLOWED_METHODS),
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ",".join(ALLOWED_HEADERS),
                hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_KEPT_S),
            }
        )

    return grant


def _opener(origins: frozenset[str]) -> Any:
    """Signal ``on_response_prepare``: what answers a request without a route may be read, as a route's answer may."""

    async def open_up(request: web.Request, response: web.StreamResponse) -> None:
        if _is_lost(request, origins):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(EXPOSED_HEADERS)

    return open_up


def _is_lost(request: web.Request, origins: frozenset[str]) -> bool:
    """Whether a page of *origins* asks for something under ``/api`` that no route answers."""
    return (
        request.match_info.http_exception is not None
        and request.path.startswith("/api/")
        and request.headers.get(hdrs.ORIGIN) in origins
    )
