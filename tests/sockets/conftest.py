"""What the tests of the sockets share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sockets.stack import Stack, running
from tests.support.js_client import TRANSPORTS, JsClients, js_clients
from tests.support.raw_client import RawClients, raw_clients


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A server that asks for tokens; recovery is off, so that an event has its payload as its only argument."""
    async with running(tmp_path / "data") as stack:
        yield stack


@pytest.fixture
async def js() -> AsyncIterator[JsClients]:
    async with js_clients() as clients:
        yield clients


@pytest.fixture
async def raw(stack: Stack) -> AsyncIterator[RawClients]:
    """Raw sessions to the server of ``stack``."""
    async with raw_clients(stack.url) as clients:
        yield clients


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The ways an unchanged client may connect."""
    return TRANSPORTS[request.param]
