"""What the page makes of events and snapshots that overtake each other on their way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import MODULES
from tests.support.browser import Page
from tests.support.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

AT = "2024-01-01T08:00:00.000Z"
ROW = {"id": "a", "name": "A", "agentType": "T", "status": "IDLE", "isRunning": False}
STARTED = {"agentId": "a", "agentName": "A", "sessionId": "s", "timestamp": AT}
DONE = {"agentId": "a", "sessionId": "s", "duration": 5, "timestamp": AT}
RUNNING = {"id": "s", "agentId": "a", "startedAt": AT, "outcome": "running", "progress": None}


async def model(page: Page, server: ServerProcess, *steps: tuple[str, Any]) -> Any:
    """The agent ``a`` after these calls of a new model's methods."""
    await page.goto(f"{server.url}{MODULES}")
    return await page.evaluate(
        """async (steps) => {
            const { Model } = await import("/static/js/model.js");
            const model = new Model();
            for (const [method, args] of steps) {
                if (method === "endOverview") model.endOverview(new Set(args[0]), args[1]);
                else model[method](...args);
            }
            const agent = model.agents.get("a");
            return agent && { status: agent.status, isRunning: agent.isRunning, run: agent.run?.id ?? null,
                recent: agent.recent?.length ?? null };
        }""",
        [[name, list(args)] for name, args in steps],
    )


async def test_a_snapshot_older_than_the_end_of_its_run_does_not_start_it_again(
    page: Page, server: ServerProcess
) -> None:
    agent = await model(
        page,
        server,
        ("apply", ("agent:completed", DONE)),
        ("takeOverview", ([ROW | {"status": "COMPLETED"}], 0)),
        ("endOverview", (["a"], 0)),
        ("takeRunning", ([RUNNING],)),
    )

    assert (agent["isRunning"], agent["run"], agent["status"]) == (False, None, "COMPLETED")


async def test_an_event_that_came_before_its_agent_was_loaded_counts(page: Page, server: ServerProcess) -> None:
    agent = await model(
        page,
        server,
        ("apply", ("agent:started", STARTED)),
        ("takeOverview", ([ROW], 0)),
        ("endOverview", (["a"], 0)),
    )

    assert (agent["isRunning"], agent["run"], agent["status"]) == (True, "s", "RUNNING")


async def test_a_list_that_was_asked_for_before_an_event_does_not_undo_it(page: Page, server: ServerProcess) -> None:
    agent = await model(
        page,
        server,
        ("takeOverview", ([ROW], 0)),
        ("endOverview", (["a"], 0)),
        ("apply", ("agent:started", STARTED)),
        ("takeOverview", ([ROW], 0)),
        ("endOverview", (["a"], 0)),
    )

    assert (agent["isRunning"], agent["run"]) == (True, "s")


async def test_an_agent_that_no_list_holds_any_more_is_gone(page: Page, server: ServerProcess) -> None:
    agent = await model(
        page,
        server,
        ("takeOverview", ([ROW], 0)),
        ("endOverview", (["a"], 0)),
        ("endOverview", ([], 1e9)),
    )

    assert agent is None


async def test_a_run_that_ends_twice_is_one_in_the_strip(page: Page, server: ServerProcess) -> None:
    agent = await model(
        page,
        server,
        ("takeOverview", ([ROW], 0)),
        ("endOverview", (["a"], 0)),
        ("takeRecent", (["a"], [RUNNING | {"outcome": "completed", "completedAt": AT, "duration": 5}])),
        ("apply", ("agent:completed", DONE)),
    )

    assert agent["recent"] == 1
