from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from handlers.auth import Role
from tests.support.browser import Browser, Page, browser
from tests.support.http_agent import HttpAgent, http_agent
from tests.support.server_process import Rest, ServerProcess, server_process

MODULES = "/static/icon.svg"
"""A document of the server's origin that loads nothing: for tests that try a module of the page by itself."""


def address(server: ServerProcess, role: Role = Role.USER, *, view: str = "", user: str = "alice") -> str:
    """The link that signs in; *view* as ``agents`` is not part of it, since the token takes its place."""
    return f"{server.url}/#token={server.token(role, user=user)}{view}"


async def signed_in(page: Page, server: ServerProcess, role: Role = Role.USER) -> None:
    """Open the page with a token and wait until it is live."""
    await page.goto(address(server, role))
    await page.sees(".connection", "Live")


async def show(page: Page, view: str) -> None:
    """Go to a view by its address, as a link does."""
    await page.evaluate("(hash) => { location.hash = hash; }", f"#/{view}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for the tests of the page; each uses agents of its own."""
    with server_process(tmp_path_factory.mktemp("server"), SCHEDULER_MAX_RETRIES="1") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def rest(server: ServerProcess) -> AsyncIterator[Rest]:
    async with server.rest() as rest:
        yield rest


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page on which nothing may go wrong: no error, no warning, nothing against its policy, no foreign host."""
    async with chromium.page() as page:
        yield page
        assert await page.problems() == []


@pytest_asyncio.fixture(loop_scope="session")
async def agent() -> AsyncIterator[HttpAgent]:
    async with http_agent() as agent:
        yield agent


@pytest.fixture
def limited_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that allows few requests."""
    with server_process(tmp_path, RATE_LIMIT_MAX="8") as server:
        yield server
