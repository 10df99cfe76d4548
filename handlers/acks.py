"""The one place that answers acknowledgements: a handler returns its data or raises, and the client always hears."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from handlers.errors import status_of
from store.errors import ServiceError, StoreUnavailable
from store.records import JSON, JSONObject, new_id

logger = logging.getLogger(__name__)

H = TypeVar("H", bound=object)


def acked(handler: Callable[[H, str, object], Awaitable[JSON]]) -> Callable[..., Awaitable[JSONObject]]:
    """Call *handler* with the ``sid`` and the event's first argument (None without one); answer whatever it does.

    ``{"success": true, "data": ...}`` with what it returns, ``{"success": false, "error": "<a sentence>"}`` when it
    raises. Who sent no callback hears neither.
    """

    @functools.wraps(handler)
    async def answering(self: H, sid: str, *arguments: Any) -> JSONObject:
        try:
            return {"success": True, "data": await handler(self, sid, arguments[0] if arguments else None)}
        except Exception as error:  # noqa: BLE001 - else the client would wait for ever
            return {"success": False, "error": _sentence(error, handler.__name__)}

    return answering


def _sentence(error: Exception, where: str) -> str:
    if isinstance(error, StoreUnavailable):
        # The driver's words may hold addresses: they are for the log.
        logger.warning("%s: the database cannot be reached: %s", where, error)
        return "The database cannot be reached. A subscription holds all the same; ask again for its snapshot."
    if isinstance(error, ServiceError) and status_of(error) != 500:
        return str(error)
    reference = new_id()
    logger.error("%s failed (%s)", where, reference, exc_info=error)
    return f"Something went wrong on our side. If it happens again, report it with the id {reference}."
