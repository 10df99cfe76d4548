"""Servers on free ports of this machine that end without leaving a connection behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


@contextlib.asynccontextmanager
async def listening(app: web.Application, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[str]:
    """Serve *app* until the end of the block; its URL without a path. *options* are those of ``web.AppRunner``."""
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    try:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        await web.SockSite(runner, listener, ssl_context=tls).start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await stop_accepting(listener.fileno())
    finally:
        await runner.cleanup()


async def stop_accepting(listener: int) -> None:
    """To be awaited before the server that listens on *listener* is closed.

    asyncio forgets a connection that it accepted in the turn of the loop in which its server closes, and aiohttp one
    that it is handed after it closed those it had. They stay open until they are collected, which is a warning then
    (python/cpython#109564, open).
    """
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(3):  # what was accepted until now gets its transport, and then its protocol
        await asyncio.sleep(0)
