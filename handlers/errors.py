"""From an error to its answer: the one table of statuses, and the middleware that applies it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from handlers.auth import Forbidden, Unauthenticated
from store.errors import Conflict, Invalid, LeaseLost, NotFound, ServiceError, StoreUnavailable
from store.records import JSONObject

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_AFTER_S = 5
"""When to come back after a 503: a database that fails over is back within seconds."""

REQUEST_ID = web.RequestKey("request_id", str)
"""Which request this is, in the log and in the ``X-Request-Id`` of its answer."""


class InvalidFields(ServiceError):
    """Several inputs do not have the accepted form: pairs of a field's wire name and what it must be."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{field} {message}" for field, message in self.errors) + ".")


class TooManyRequests(ServiceError):
    """The caller's rate limit is used up; there is room again after ``retry_after_s`` seconds."""

    def __init__(self, limit: int, window_s: int, retry_after_s: int) -> None:
        super().__init__(f"Over the limit of {limit} requests in {window_s} s. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


STATUS: dict[type[ServiceError], int] = {
    Invalid: 400,
    InvalidFields: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    LeaseLost: 409,
    TooManyRequests: 429,
    StoreUnavailable: 503,
}
"""The table of the contract; what stands nowhere in it is our fault."""


def status_of(error: ServiceError) -> int:
    """The status that answers *error*, 500 for one that no row names."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever went wrong as JSON. Nothing of a defect's inside reaches the client, only an id of the log."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _http_answer(request, error)
    except (BadHttpMessage, web.RequestPayloadError) as error:
        reason = str(error).strip().rpartition("\n")[2].strip().rstrip(".")  # aiohttp puts its own status in front
        return failure(400, f"The body cannot be read: {reason or 'it is cut off'}.")
    except ConnectionError:
        raise  # the client went away: nobody reads an answer, and aiohttp knows what to do
    except ServiceError as error:
        if status_of(error) != 500:
            return _service_answer(request, error)
        return _defect_answer(request, error)
    except Exception as error:  # noqa: BLE001 - the last line: the client gets JSON, and the log the rest
        return _defect_answer(request, error)


def failure(status: int, message: str, *, headers: dict[str, str] | None = None, **more: object) -> web.Response:
    """The envelope of every failure; *more* stands beside ``error``."""
    return web.json_response({"success": False, "error": message, **more}, status=status, headers=headers)


def defect(what: str, error: BaseException | None, reference: str) -> web.Response:
    """Log why *what* failed, and answer with nothing but *reference*, which is in the log."""
    logger.error("%s failed", what, exc_info=error, extra={"requestId": reference})
    message = f"Something went wrong on our side. If it happens again, report it with the id {reference}."
    return failure(500, message, id=reference)


def _service_answer(request: web.Request, error: ServiceError) -> web.Response:
    status, message = status_of(error), str(error)
    if status == 400:
        return failure(status, message, errors=_field_errors(error))
    if isinstance(error, TooManyRequests):
        return failure(status, message, headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, Unauthenticated):
        return failure(status, message, headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, StoreUnavailable):
        # The driver's words may hold addresses: they are for the log.
        logger.warning("the database cannot be reached: %s", message, extra={"requestId": request[REQUEST_ID]})
        message = "The database cannot be reached. Try again in a few seconds."
        return failure(status, message, headers={"Retry-After": str(RETRY_AFTER_S)})
    return failure(status, message)


def _field_errors(error: ServiceError) -> list[JSONObject]:
    if isinstance(error, InvalidFields):
        return [{"field": field, "message": f"{field} {message}."} for field, message in error.errors]
    field = error.field if isinstance(error, Invalid) else None
    return [{"field": field, "message": str(error)}]


def _defect_answer(request: web.Request, error: Exception) -> web.Response:
    return defect(f"{request.method} {request.path[:200]}", error, request[REQUEST_ID])


def _http_answer(request: web.Request, error: web.HTTPException) -> web.Response:
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return failure(error.status, _http_message(request, error), headers=headers)


def _http_message(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not possible here; use {', '.join(sorted(error.allowed_methods))}."
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"The body is larger than the {request.client_max_size} bytes this server accepts."
    if error.text and error.text != f"{error.status}: {error.reason}":
        return error.text
    if isinstance(error, web.HTTPNotFound):
        return "No such route. The routes are listed at /api/docs."
    return f"{error.reason}."
