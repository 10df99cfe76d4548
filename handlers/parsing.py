"""Answers in JSON also what is no HTTP, or too long: what aiohttp's parser refuses is never seen by a route."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from handlers.errors import defect, failure

logger = logging.getLogger(__name__)

LINE_LIMIT = 8190
"""Bytes of a path, and of a header."""
HEADERS = {"Server": "neonhub", "X-Content-Type-Options": "nosniff"}


class AppRunner(web.AppRunner):
    """Runs *app*; unlike aiohttp's own, it never answers in plain text, echoes nothing, and names no versions."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, access_log=None, handle_signals=False)

    async def _make_server(self) -> web.Server:  # the step that ``BaseRunner`` leaves to its subclasses
        return _Server(await super()._make_server())


class _Server(web.Server):
    """Makes the protocol of each new connection: the only place where another one can be had."""

    def __init__(self, made: web.Server) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
        )

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None switches it off
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
        )


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser refused (400), or to a defect outside of the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")  # as aiohttp's own does
        if status == 400:
            logger.debug("refused what is no request: %s", type(exc).__name__)
            answer = failure(400, _message(exc), headers=HEADERS)
        else:
            answer = defect("a request", exc, uuid.uuid4().hex)
            answer.headers.update(HEADERS)
        answer.force_close()
        return answer


def _message(error: Any) -> str:
    if isinstance(error, LineTooLong):
        return f"The path or a header is longer than the {LINE_LIMIT} bytes this server accepts."
    if isinstance(error, BadHttpMethod):
        return "The request does not begin with a method this server knows, such as GET or POST."
    return "This is no valid HTTP request."
