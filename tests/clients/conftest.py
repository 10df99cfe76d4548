"""What the tests of real clients share: one server process and one Node.js a module, and one event loop with them.

Tests here that use them are marked ``asyncio(loop_scope="module")``.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.js_client import TRANSPORTS, JsClients, Version, js_clients
from tests.support.server_process import Rest, ServerProcess, server_process

AGENTS = {"AGENT_MODULES": "tests.clients.agents", "SCHEDULER_MAX_RETRIES": "1"}
VERSIONS: tuple[Version, ...] = ("socket.io-client-4.0", "socket.io-client-4.5", "socket.io-client")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks for tokens."""
    with server_process(tmp_path_factory.mktemp("server"), **AGENTS) as server:
        yield server


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that lets clients without a token listen, as earlier clients need it."""
    with server_process(tmp_path_factory.mktemp("open"), SOCKET_AUTH="optional", **AGENTS) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def rest(server: ServerProcess) -> AsyncIterator[Rest]:
    async with server.rest() as rest:
        yield rest


@pytest_asyncio.fixture(loop_scope="module")
async def open_rest(open_server: ServerProcess) -> AsyncIterator[Rest]:
    async with open_server.rest() as rest:
        yield rest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node_process() -> AsyncIterator[JsClients]:
    async with js_clients() as clients:
        yield clients


@pytest_asyncio.fixture(loop_scope="module")
async def js(node_process: JsClients) -> AsyncIterator[JsClients]:
    """Node.js; the clients that a test makes in it leave at its end."""
    before = set(node_process.sockets)
    yield node_process
    for socket in node_process.sockets.keys() - before:
        await node_process.sockets[socket].leave()


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The ways an unchanged client may connect."""
    return TRANSPORTS[request.param]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    """The versions of socket.io-client that are out there: the first of 4.x, the last before recovery, the newest."""
    chosen: Version = request.param
    return chosen


_numbers = itertools.count(1)


@pytest.fixture
def agent_id() -> str:
    """The id of an agent that no other test has."""
    return f"agent-{next(_numbers)}"
