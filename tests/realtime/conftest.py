"""What the tests of the realtime engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from server.realtime import broadcast
from tests.support.js_client import TRANSPORTS, JsClients, js_clients
from tests.support.raw_client import RawClients, raw_clients
from tests.support.realtime import Live, serving


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few clients are many already, from the first event: what is tested with three is what serves thousands."""
    monkeypatch.setattr(broadcast, "FEW", 0)
    monkeypatch.setattr(broadcast, "WORTH_A_BATCH", 1)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    """A server with the default options, recovery off, and the handlers of ``with_rooms``."""
    async with serving() as live:
        yield live


@pytest.fixture
async def js() -> AsyncIterator[JsClients]:
    async with js_clients() as clients:
        yield clients


@pytest.fixture
async def raw(live: Live) -> AsyncIterator[RawClients]:
    """Raw sessions to the server of ``live``."""
    async with raw_clients(live.url) as clients:
        yield clients


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each way a JavaScript client may connect."""
    return TRANSPORTS[request.param]
