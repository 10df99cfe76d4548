"""Ten thousand agents and hundreds of events a second: what is shown stays small, however much there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store.records import Agent, Schedule, milliseconds
from store.sqlite import SqliteStore
from tests.browser.conftest import MODULES, signed_in
from tests.support.browser import Page
from tests.support.http_agent import HttpAgent
from tests.support.server_process import Rest, ServerProcess, server_process

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

MANY = 10_000
AT_ONCE = 500


async def _add_many(folder: Path) -> None:
    now = milliseconds(datetime.now(UTC))
    store = await SqliteStore.open(folder)

    def agent(number: int) -> Agent:
        return Agent(
            f"agent-{number:05}",
            f"Agent {number}",
            "HTTP_AGENT",
            now,
            now,
            schedule=Schedule("0 9 * * *", "UTC", now),
            next_run_at=now + timedelta(days=1, seconds=number),
        )

    for first in range(0, MANY, AT_ONCE):
        await asyncio.gather(*(store.add_agent(agent(number)) for number in range(first, first + AT_ONCE)))
    await store.close()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with ten thousand agents."""
    folder = tmp_path_factory.mktemp("crowded")
    asyncio.run(_add_many(folder / "data"))
    with server_process(folder) as server:
        yield server


async def test_ten_thousand_agents_are_a_few_dozen_rows(crowded: ServerProcess, page: Page) -> None:
    await signed_in(page, crowded)
    await page.sees(".agent-name", "Agent 0")
    assert await page.count(".rows .row") < 60
    await page.sees(f'.table[aria-rowcount="{MANY + 1}"]')

    await page.evaluate("() => scrollTo(0, document.body.scrollHeight)")

    await page.sees(".agent-name", f"Agent {MANY - 1}")
    assert await page.count(".rows .row") < 60
    assert await page.attribute(f'.row:has-text("Agent {MANY - 1}")', "aria-rowindex") == str(MANY + 1)
    assert await page.requests("/api/") < 20


async def test_one_of_ten_thousand_is_found_at_once(crowded: ServerProcess, page: Page) -> None:
    await signed_in(page, crowded)
    await page.sees(".agent-name", "Agent 0")
    await page.fill('.search input[type="search"]', "agent-07777")

    await page.sees(".agent-name", "Agent 7777")
    await page.sees(".total", f"1 of {MANY} shown")
    assert await page.count(".rows .row") == 1


async def test_the_focused_row_outlives_scrolling(crowded: ServerProcess, page: Page) -> None:
    await signed_in(page, crowded)
    await page.sees(".agent-name", "Agent 0")
    await page.press("/")
    await page.press("ArrowDown")
    focused = "() => document.activeElement.textContent"
    name = await page.evaluate(focused)
    await page.evaluate("() => scrollTo(0, 200000)")
    await page.sees(".agent-name", "Agent 3450")

    assert await page.evaluate(focused) == name


async def test_progress_is_drawn_once_a_frame_and_no_more_than_ten_times_a_second(
    server: ServerProcess, page: Page
) -> None:
    await page.goto(f"{server.url}{MODULES}")

    told = await page.evaluate(
        """async () => {
            const { Model } = await import("/static/js/model.js");
            const model = new Model();
            const row = { id: "a", name: "A", agentType: "T", status: "RUNNING", isRunning: true };
            model.takeOverview([row], 0);
            await new Promise((resolve) => { const stop = model.watch(() => { stop(); resolve(); }); });
            let times = 0;
            const told = new Promise((resolve) => model.watch(({ agents }) => { times += 1; resolve([...agents]); }));
            for (let n = 0; n < 2000; n += 1) {
                model.apply("agent:progress", { agentId: "a", sessionId: "s", progress: n / 20, message: `m${n}`,
                    timestamp: "2024-01-01T00:00:00.000Z" });
            }
            const agents = await told;
            return { times, agents, message: model.agents.get("a").run.message };
        }"""
    )

    assert told == {"times": 1, "agents": ["a"], "message": "m1999"}


async def test_progress_moves_without_animations_that_would_draw_in_between(
    server: ServerProcess, page: Page, rest: Rest, agent: HttpAgent
) -> None:
    await rest.agent("moving", "HTTP_AGENT", configuration={"url": agent.url})
    await rest.run("moving")
    call = await agent.called()
    await signed_in(page, server)
    for percent in (10, 60):
        await call.say(progress=percent, message="further")
        await page.sees('.row:has(a[href="#/agent/moving"]) .badge', f"{percent} %")
        assert await page.evaluate("() => document.getAnimations().length") == 0
    await call.end(result="")


async def test_the_feed_is_bounded_and_holds_one_entry_of_a_runs_progress(server: ServerProcess, page: Page) -> None:
    await page.goto(f"{server.url}{MODULES}")

    sizes = await page.evaluate(
        """async () => {
            const { Feed } = await import("/static/js/feed.js");
            const feed = new Feed();
            for (let n = 0; n < 5000; n += 1) feed.add("agent:progress", { agentId: "a", sessionId: `s${n % 3}` });
            const progress = feed.entries.length;
            for (let n = 0; n < 5000; n += 1) feed.add("agent:log", { agentId: "a", sessionId: "s", log: {} });
            return [progress, feed.entries.length];
        }"""
    )

    assert sizes[0] == 3
    assert sizes[1] <= 1200
