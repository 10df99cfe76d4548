"""The server goes and comes back: the page says so, shows nothing old as fresh, and catches up by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store.records import Agent
from store.sqlite import SqliteStore
from tests.browser.conftest import address, show, signed_in
from tests.support.browser import Browser, Page
from tests.support.http_agent import HttpAgent
from tests.support.server_process import ServerProcess, server_process

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

NOW = datetime(2024, 1, 1, tzinfo=UTC)
LOST = "ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|WebSocket connection|503"
ROW = '.row:has(a[href="#/agent/one"])'


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of this test alone."""
    with server_process(tmp_path, SCHEDULER_LEASE="1000") as server:
        yield server


async def test_a_server_that_is_killed_is_missed_and_then_caught_up_with(
    page: Page, mortal: ServerProcess, agent: HttpAgent
) -> None:
    page.forgive(LOST)
    async with mortal.rest() as rest:
        await rest.agent("one", "HTTP_AGENT", configuration={"url": agent.url})
        await rest.run("one")
        call = await agent.called()
        await call.say(progress=30, message="A third")
        await signed_in(page, mortal)
        await page.sees(f"{ROW} .badge", "30 %")

        mortal.kill()
        await page.sees(".connection", "Reconnecting")
        await page.sees(".state-age", "old")
        await page.sees("html[data-stale]")
        await page.sees(".banner", "No connection to the server. What you see is from")
        await page.sees(".connection", "Offline")

    store = await SqliteStore.open(mortal.data_dir)
    await store.add_agent(Agent("two", "Made meanwhile", "HTTP_AGENT", NOW, NOW))
    await store.close()
    await asyncio.to_thread(mortal.start)
    await page.sees(".connection", "Live")
    await page.sees(".agent-name", "Made meanwhile")
    await page.misses(".banner")
    assert await page.attribute("html", "data-stale") is None
    await page.misses(f"{ROW} .badge", "30 %")
    await show(page, "agent/one")
    await page.sees(".sessions tbody .badge", "interrupted")


async def test_an_agent_made_elsewhere_appears_when_it_first_runs(
    page: Page, mortal: ServerProcess, agent: HttpAgent
) -> None:
    page.forgive(LOST)  # its server may end before the page does
    async with mortal.rest() as rest:
        await signed_in(page, mortal)
        await page.sees(".empty h2", "No agents yet")
        await rest.agent("one", "HTTP_AGENT", configuration={"url": agent.url})
        await rest.run("one")
        call = await agent.called()

        await page.sees(f"{ROW} .badge", "Running")

        await call.end(result="")
        await page.sees(f"{ROW} .badge", "Completed")


async def test_one_page_too_many_says_so_and_gets_in_when_there_is_room(
    chromium: Browser, page: Page, tmp_path: Path
) -> None:
    with server_process(tmp_path, SOCKET_MAX_PER_USER="1") as server:
        async with chromium.page() as first:
            await signed_in(first, server)
            await page.goto(address(server))
            await page.sees(".banner", "too many pages open")
            await page.sees(".connection", "Offline")

        await page.sees(".connection", "Live")
        page.forgive(LOST)


async def test_a_view_of_an_agent_survives_the_restart(page: Page, mortal: ServerProcess, agent: HttpAgent) -> None:
    page.forgive(LOST)
    async with mortal.rest() as rest:
        await rest.agent("one", "HTTP_AGENT", configuration={"url": agent.url})
        await signed_in(page, mortal)
        await show(page, "agent/one")
        await page.sees("h1", "Agent one")
        mortal.terminate()
        await asyncio.to_thread(mortal.ended)
        await page.sees(".connection", "Reconnecting")
        await asyncio.to_thread(mortal.start)
        await page.sees(".connection", "Live")

        await rest.run("one")
        await (await agent.called()).end(result="After the restart")

    await page.sees("h1", "Agent one")
    await page.sees(".sessions tbody .badge", "completed")
