"""The servers of the tests close every connection they took, whenever it came."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket

import pytest
from aiohttp import web

from tests.support.listening import listening


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_accepted_while_a_server_closes_is_not_forgotten(turns: int) -> None:
    """Forgotten, it would be collected as an open one: a warning, and here every warning is an error."""
    async with listening(web.Application(), shutdown_timeout=0) as url:
        client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)
        for _ in range(turns):  # of the loop, in one of which it is accepted
            await asyncio.sleep(0)
    gc.collect()

    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
