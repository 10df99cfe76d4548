"""The life of the process: one ladder, read downwards for the start and upwards for the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web

from handlers.auth import Role
from handlers.parsing import AppRunner
from server.config import Config
from server.first_run import add_samples, wants_samples
from server.keys import open_tokens
from server.parts import Parts, assemble
from store.base import Store
from store.errors import ServiceError, StoreUnavailable
from store.open import open_store

logger = logging.getLogger(__name__)

SAFE_SECRET = 32
"""Bytes of a key for HS256 (RFC 7518, 3.2). A shorter one is let pass: tokens signed with it are out there."""
STORE_TRIES = 10
STORE_RETRY_S = 3.0
PAGE_TOKEN_TTL = timedelta(days=7)


class CannotListen(ServiceError):
    """The address cannot be listened on."""


async def serve(config: Config, environ: Mapping[str, str]) -> int:
    """Run the server until SIGTERM or SIGINT; return the exit code.

    Upwards: no new claims and runs get their grace; clients are parted from so that they reconnect elsewhere; the
    store is closed. A second signal ends the process at once.
    """
    stopped = asyncio.Event()
    _on_signals(stopped)
    tokens, is_new = open_tokens(config), wants_samples(config)
    if config.jwt_secret is not None and len(config.jwt_secret.encode()) < SAFE_SECRET:
        logger.warning("JWT_SECRET has fewer than %d bytes: whoever has a token can guess it (RFC 7518)", SAFE_SECRET)
    async with opened_store(config) as store, assemble(config, store, tokens, environ) as parts:
        if is_new:  # before listening: after a start on a taken port the store is there, and no longer new
            await add_samples(parts.service)
        async with _listening(parts, config) as url, _working(parts, config):
            _spare_collections()
            _greet(parts, config, url)
            await stopped.wait()
            logger.info("stopping: runs have %g s to end", config.shutdown_grace.total_seconds())
    logger.info("stopped")
    return 0


def _spare_collections() -> None:
    """Have Python's collector look less often at what lives long: thousands of sockets, and all that was imported.

    With its own thresholds it stops the process for hundreds of milliseconds, again and again, while clients connect.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        stopped.set()
        loop.remove_signal_handler(number)  # the next one has its default effect: the process ends

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


@asynccontextmanager
async def opened_store(config: Config) -> AsyncIterator[Store]:
    """The store; a database that is not up yet is waited for, half a minute."""
    for tries_left in reversed(range(STORE_TRIES)):
        opening = open_store(mongodb_uri=config.mongodb_uri, mongodb_db=config.mongodb_db, data_dir=config.data_dir)
        try:
            store = await opening.__aenter__()
            break
        except StoreUnavailable as error:
            if not tries_left or config.mongodb_uri is None:
                raise
            logger.warning("%s; trying again", error)
            await asyncio.sleep(STORE_RETRY_S)
    try:
        yield store
    finally:
        await opening.__aexit__(None, None, None)


@asynccontextmanager
async def _listening(parts: Parts, config: Config) -> AsyncIterator[str]:
    """Serve requests; on the way out part from the sockets first, which would else hold the shutdown up."""
    runner = AppRunner(parts.app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, shutdown_timeout=3.0)
        try:
            await site.start()
        except OSError as error:
            raise CannotListen(
                f"Cannot listen on {config.host}:{config.port} ({_why(error)}): set HOST or PORT to another one"
            ) from error
        yield f"http://{_shown_host(config.host)}:{runner.addresses[0][1]}"
    finally:
        await parts.sockets.shutdown()
        await runner.cleanup()


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):  # whose numbers are not those of the operating system
        return str(error.strerror).lower()
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _shown_host(host: str) -> str:
    if host in {"127.0.0.1", "0.0.0.0", "::", "::1", "localhost"}:  # where a browser on this machine finds it
        return "localhost"
    return f"[{host}]" if ":" in host else host


@asynccontextmanager
async def _working(parts: Parts, config: Config) -> AsyncIterator[None]:
    """Schedule, tell the status and keep the history short, in tasks that end in this order."""
    stop = asyncio.Event()
    side = [
        asyncio.create_task(parts.board.run(), name="scheduler:status"),
        asyncio.create_task(parts.retention.run(), name="retention"),
    ]
    loop = asyncio.create_task(parts.scheduler.run(stop), name="scheduler") if config.scheduler_auto_start else None
    try:
        yield
    finally:
        parts.stopping.set()
        stop.set()
        if loop is not None:
            await loop
        for task in side:
            task.cancel()
        await asyncio.gather(*side, return_exceptions=True)


def _greet(parts: Parts, config: Config, url: str) -> None:
    kept_in = config.mongodb_db + " on MongoDB" if config.mongodb_uri else f"SQLite in {config.data_dir}"
    print(f"Agent scheduler on {url} (store: {kept_in})", flush=True)
    if config.jwt_secret is None and config.jwt_public_key is None:
        token = parts.tokens.mint("operator", Role.ADMIN, PAGE_TOKEN_TTL)
        print(f"Monitoring page:   {url}/#token={token}", flush=True)
    else:
        print(f"Monitoring page:   {url}/ (make a token: python -m server token --user you)", flush=True)
    print(f"API documents:     {url}/api/docs", flush=True)
