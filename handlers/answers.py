"""The envelope of every successful answer."""

from __future__ import annotations

from aiohttp import web

from store.records import JSON


def ok(
    data: JSON = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    message: str | None = None,
    **more: JSON,
) -> web.Response:
    """``{"success": true, "data": ...}``; *more* stands beside ``data``."""
    body: dict[str, JSON] = {"success": True, "data": data, **more}
    if message is not None:
        body["message"] = message
    return web.json_response(body, status=status, headers=headers)


def done(message: str) -> web.Response:
    """A success with nothing to show: ``{"success": true, "message": ...}``."""
    return web.json_response({"success": True, "message": message})
