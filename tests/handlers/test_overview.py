"""``/api/overview`` and ``/api/runners``: what a monitoring page begins with."""

from __future__ import annotations

from pathlib import Path

from handlers.auth import Role
from scheduler.events import AgentFailed
from tests.handlers.stack import Stack, running

ROW = {
    "id", "name", "agentType", "status", "schedulePriority", "scheduleExpression", "scheduleTimezone",
    "scheduleEnabled", "scheduleWords", "isPaused", "isRunning", "nextRunAt", "lastRunAt", "retryCount", "lastError",
    "backoffUntil",
}  # fmt: skip


async def test_each_agent_is_one_short_row_with_its_schedule_in_words(stack: Stack) -> None:
    await stack.agent(configuration={"token": "t"}, description="long")
    await stack.schedule(expression="0 9 * * MON-FRI", timezone="Europe/Berlin", priority="HIGH")

    answer = await stack.get("/api/overview")

    (row,) = answer.data["agents"]
    assert row.keys() == ROW
    assert row["scheduleWords"] == "every weekday at 09:00, Europe/Berlin"
    assert (row["schedulePriority"], row["isRunning"], row["retryCount"]) == ("HIGH", False, 0)
    assert row["nextRunAt"] == "2024-01-02T08:00:00.000Z"
    assert answer.data["pagination"] == {"total": 1, "limit": 1000, "offset": 0}


async def test_an_agent_without_a_schedule_has_no_words(stack: Stack) -> None:
    await stack.agent()

    (row,) = (await stack.get("/api/overview")).data["agents"]

    assert (row["scheduleWords"], row["scheduleExpression"], row["nextRunAt"]) == (None, None, None)


async def test_a_failure_shows_its_error_and_the_retry(stack: Stack) -> None:
    await stack.agent(agent_type="FAIL")
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentFailed)

    (row,) = (await stack.get("/api/overview")).data["agents"]

    assert (row["status"], row["lastError"], row["retryCount"]) == ("ERROR", "it broke", 1)
    assert row["backoffUntil"] == "2024-01-01T08:00:01.000Z"


async def test_pages_do_not_overlap(stack: Stack) -> None:
    for number in range(5):
        await stack.agent(f"agent-{number}")

    first = (await stack.get("/api/overview?limit=3")).data
    second = (await stack.get("/api/overview?limit=3&offset=3")).data

    ids = [row["id"] for row in first["agents"] + second["agents"]]
    assert sorted(ids) == [f"agent-{number}" for number in range(5)]
    assert second["pagination"] == {"total": 5, "limit": 3, "offset": 3}


async def test_a_page_has_at_most_two_thousand_rows(stack: Stack) -> None:
    refused = await stack.get("/api/overview?limit=2001")

    assert refused.status == 400
    assert refused.body["errors"] == [{"field": "limit", "message": "limit must be a whole number from 1 to 2000."}]


async def test_it_is_compressed_for_who_takes_it(stack: Stack) -> None:
    packed = await stack.get("/api/overview", headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"


async def test_a_viewer_may_read_it_and_nobody_without_a_token(stack: Stack) -> None:
    assert (await stack.get("/api/overview", token=stack.token(Role.VIEWER))).status == 200
    assert (await stack.get("/api/overview", token=None)).status == 401


async def test_the_runners_name_types_and_programs(stack: Stack) -> None:
    assert (await stack.get("/api/runners")).data == {"agentTypes": ["ECHO", "FAIL", "HOLD"], "commands": ["report"]}


async def test_reading_counts_against_the_rate_limit_like_every_request(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        assert (await stack.get("/api/overview")).status == 200
        assert (await stack.get("/api/runners")).status == 429
