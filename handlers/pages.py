"""The monitoring page, its files, and the browser's Socket.IO client: plain files, under strict headers."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9a-fA-F:]+\](:[0-9]+)?")
CLIENT_FILES = "{name:socket\\.io(?:\\.esm|\\.msgpack)?(?:\\.min)?\\.js(?:\\.map)?}"
VENDORED = ("socket.io-client/dist", "uplot/dist")
"""The only folders of ``node_modules`` that are served."""
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""A part of a path: no dot in front, so neither ``..`` nor a hidden file."""
LONGEST_PATH = 200
PRIVATE = frozenset({"package.json", "package-lock.json"})


def document_headers(request: web.Request, *, styles: str = "'self'") -> dict[str, str]:
    """What a browser must hold our pages to: own files and own connections only, in nobody's frame."""
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {styles}",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src {_own_addresses(request)}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-cache",
    }


class PageHandlers:
    """Serves *folder*: ``index.html`` at ``/``, the other files below ``/static``, each with an ETag."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/favicon.ico", self.icon),
            web.get("/static/{path:.+}", self.file),
        ]

    def client_routes(self) -> list[web.RouteDef]:
        """The browser's Socket.IO client, where the original server had it."""
        return [web.get("/socket.io/" + CLIENT_FILES, self.client)]

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The monitoring page."""
        return _file(self._folder / "index.html", headers=document_headers(request))

    async def icon(self, _: web.Request) -> web.StreamResponse:
        """Browsers ask for it unbidden."""
        return _file(self._folder / "favicon.ico", headers={"Cache-Control": "no-cache"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        path = request.match_info["path"]
        if not _may_be_served(path):
            raise web.HTTPNotFound
        # A page below /static is a page too: every document gets the same headers.
        return _file(self._folder / path, headers=document_headers(request))

    async def client(self, request: web.Request) -> web.StreamResponse:
        """``socket.io.js`` and its kin, as npm fetched them."""
        name = request.match_info["name"]
        path = self._folder / "node_modules" / "socket.io-client" / "dist" / name
        missing = "The browser client is not installed here. Run `make setup`, or load socket.io-client from elsewhere."
        headers = {
            "Content-Type": f"application/{'json' if name.endswith('.map') else 'javascript'}; charset=utf-8",
            "Cache-Control": "public, max-age=0",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": "Origin",  # aiohttp-cors names the origin it allows, and does not say that it varies
        }
        return _file(path, headers=headers, missing=missing)


def _may_be_served(path: str) -> bool:
    parts = path.split("/")
    if not all(_SAFE.fullmatch(part) for part in parts) or path in PRIVATE or len(path) > LONGEST_PATH:
        return False
    if parts[0] != "node_modules":
        return True
    return any(path.startswith(f"node_modules/{folder}/") for folder in VENDORED)


def _file(path: Path, *, headers: dict[str, str], missing: str | None = None) -> web.FileResponse:
    if not path.is_file():
        raise web.HTTPNotFound(text=missing)
    return web.FileResponse(path, headers=headers)


def _own_addresses(request: web.Request) -> str:
    """``'self'``, and the same host's WebSockets by name for browsers whose ``'self'`` does not hold them."""
    host = request.headers.get("Host", "")
    return f"'self' ws://{host} wss://{host}" if HOST.fullmatch(host) else "'self'"
