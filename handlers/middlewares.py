"""What happens to every request before its handler: it gets an id, a line in the log, a caller, and a limit."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from aiohttp import hdrs, web

from handlers.auth import Caller, Tokens, Unauthenticated, bearer, require_write
from handlers.errors import REQUEST_ID, Handler, TooManyRequests
from handlers.limits import RateLimits
from handlers.metrics import Metrics

logger = logging.getLogger(__name__)

CALLER = web.RequestKey("caller", Caller)
"""Who is asking; set on every route that wants a token."""
HEADERS: web.RequestKey[MutableMapping[str, str]] = web.RequestKey("headers", MutableMapping[str, str])
"""What the answer shall carry, whoever makes it: a handler, or the error that came instead."""

READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
OPEN_API = "/api/docs"
PATH_SHOWN = 200
"""Characters of a path that a line of the log shows."""
_REQUEST_ID = re.compile("[A-Za-z0-9._-]{8,64}")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal ``on_response_prepare``: every answer carries its request's headers, and no sniffing of its type."""
    response.headers["Server"] = "neonhub"  # rather than the versions of Python and aiohttp
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    for name, value in request.get(HEADERS, {}).items():
        response.headers.setdefault(name, value)


def recorder(metrics: Metrics) -> Any:
    """Middleware: give each request an id, and tell log and metrics how it went."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        offered = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
        request[HEADERS] = {"X-Request-Id": request[REQUEST_ID]}
        began, status = time.perf_counter(), 499  # what stays true when the client goes away before its answer
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            seconds = time.perf_counter() - began
            metrics.request(request.method, _template(request), status, seconds)
            _log(request, status, seconds)

    return record


def authenticator(tokens: Tokens, limits: RateLimits) -> Any:
    """Middleware: every ``/api`` route wants a valid token, but for its documentation and browsers' preflights."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _wants_token(request):
            try:
                request[CALLER] = tokens.verify(bearer(request.headers.get(hdrs.AUTHORIZATION)))
            except Unauthenticated:
                _carry(request, limits.untouched())
                raise
        return await handler(request)

    return authenticate


def limiter(limits: RateLimits) -> Any:
    """Middleware: count the request against its caller's limit; one over it goes no further."""

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if CALLER in request:
            standing = await limits.count(request[CALLER].user_id)
            _carry(request, standing)
            if standing is not None and not standing.allowed:
                raise TooManyRequests(limits.limit, limits.window_s, standing.reset_s)
        return await handler(request)

    return limit


@web.middleware
async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is no read wants a role that may write. What is no route at all is a 404 or 405, whoever asks."""
    if CALLER in request and request.method not in READS and request.match_info.http_exception is None:
        require_write(request[CALLER])
    return await handler(request)


def _wants_token(request: web.Request) -> bool:
    if request.method == hdrs.METH_OPTIONS:  # a browser asks before it may send the token
        return False
    path = request.path
    if path == OPEN_API or path.startswith(f"{OPEN_API}/"):
        return False
    return path == "/api" or path.startswith("/api/")


def _carry(request: web.Request, standing: Any) -> None:
    if standing is not None:
        request[HEADERS].update(standing.headers)
    # What one user may read is no other's to find in a shared cache.
    request[HEADERS]["Cache-Control"] = "no-store"


def _template(request: web.Request) -> str:
    """The route's pattern, never what stands in the path: label values must not be a client's to choose."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _log(request: web.Request, status: int, seconds: float) -> None:
    caller = request.get(CALLER)
    level = logging.INFO if request.path.startswith("/api/") else logging.DEBUG
    logger.log(
        level,
        "%s %s %d %.1f ms",
        request.method,
        request.path[:PATH_SHOWN],
        status,
        seconds * 1000,
        extra={
            "requestId": request[REQUEST_ID],
            "userId": caller.user_id if caller else None,
            "agentId": request.match_info.get("id"),
            "sessionId": request.match_info.get("sessionId"),
        },
    )
