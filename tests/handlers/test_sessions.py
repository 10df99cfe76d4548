"""Section 1.2 of the contract: the execution history over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduler.events import AgentCompleted, AgentFailed, AgentProgress, AgentStarted, OccurrencesLost
from store.records import Change, Gap, Outcome
from tests.handlers.stack import START, Stack

PATH = "/api/agents/agent-123/sessions"


async def test_an_agent_that_never_ran_has_an_empty_history(stack: Stack) -> None:
    await stack.agent()

    listed = await stack.get(PATH)

    assert listed.body == {
        "success": True,
        "data": {"sessions": [], "pagination": {"total": 0, "limit": 20, "offset": 0}},
    }


async def test_a_completed_session_is_listed(stack: Stack) -> None:
    await stack.agent()
    session_id = (await stack.post("/api/agents/agent-123/run", {"context": {"topic": "weather"}})).data["sessionId"]
    await stack.news.until(AgentCompleted)

    listed = (await stack.get(PATH)).data

    assert listed["pagination"] == {"total": 1, "limit": 20, "offset": 0}
    assert listed["sessions"] == [
        {
            "id": session_id,
            "startedAt": "2024-01-01T08:00:00.000Z",
            "completedAt": "2024-01-01T08:00:00.000Z",
            "success": True,
            "duration": 0,
            "outputSummary": '{"topic": "weather"}',
            "errorMessage": None,
            "outcome": "completed",
        }
    ]


async def test_a_session_in_progress_has_no_end_yet(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentStarted)

    session = (await stack.get(PATH)).data["sessions"][0]

    assert session["outcome"] == "running"
    assert (session["success"], session["completedAt"], session["duration"]) == (None, None, None)


async def test_the_history_is_newest_first_and_paged(stack: Stack) -> None:
    await stack.agent()
    ids = await _three_runs(stack)

    page = (await stack.get(f"{PATH}?limit=1&offset=1")).data

    assert [session["id"] for session in page["sessions"]] == [ids[1]]
    assert page["pagination"] == {"total": 3, "limit": 1, "offset": 1}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("success=true", 3), ("success=false", 0), ("outcome=completed", 3), ("outcome=failed,timed_out", 0),
        ("outcome=failed,completed", 3), ("since=2024-01-01T08:01:00.000Z", 2), ("until=2024-01-01T08:01:00Z", 2),
        ("since=2024-01-01T09:01:00%2B01:00&until=2024-01-01T08:01:00", 1), ("since=2024-01-01T09:01:00+01:00", 2),
        ("since=2024-01-02", 0), ("include=missed", 3),
    ],
)  # fmt: skip
async def test_the_history_is_filtered(stack: Stack, query: str, expected: int) -> None:
    await stack.agent()
    await _three_runs(stack)

    listed = (await stack.get(f"{PATH}?{query}")).data

    assert listed["pagination"]["total"] == expected
    assert len(listed["sessions"]) == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=abc", "limit"), ("offset=-1", "offset"),
        ("offset=x", "offset"), ("success=1", "success"), ("success=True", "success"), ("outcome=bad", "outcome"),
        ("outcome=failed,", "outcome"), ("since=yesterday", "since"), ("until=0001-01-01T00:00:00%2B14:00", "until"),
        ("include=all", "include"), ("since=", "since"),
    ],
)  # fmt: skip
async def test_a_filter_that_does_not_validate_is_named(stack: Stack, query: str, field: str) -> None:
    await stack.agent()

    refused = await stack.get(f"{PATH}?{query}")

    assert refused.status == 400
    assert [error["field"] for error in refused.body["errors"]] == [field]


async def test_a_session_is_read_with_context_metrics_and_logs(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule(priority="HIGH")
    stack.clock.advance(timedelta(hours=1))
    await stack.news.until(AgentCompleted)
    session_id = (await stack.get(PATH)).data["sessions"][0]["id"]

    read = await stack.get(f"{PATH}/{session_id}")

    assert read.status == 200
    assert read.body == {
        "success": True,
        "data": {
            "id": session_id,
            "startedAt": "2024-01-01T09:00:00.000Z",
            "completedAt": "2024-01-01T09:00:00.000Z",
            "success": True,
            "duration": 0,
            "outputSummary": "{}",
            "errorMessage": None,
            "outcome": "completed",
            "context": {
                "priority": 3,
                "trigger": "cron",
                "scheduledFor": "2024-01-01T09:00:00.000Z",
                "attempt": 1,
                "missed": 0,
            },
            "metrics": {"words": 0},
            "progress": {"progress": 50, "message": "half", "currentStep": 1, "totalSteps": 2},
            "logs": [{"timestamp": "2024-01-01T09:00:00.000Z", "level": "info", "message": "echoing"}],
        },
    }
    await stack.news.until(AgentProgress)


async def test_a_retry_is_told_as_one(stack: Stack) -> None:
    await stack.agent(agent_type="FAIL")
    await stack.schedule()
    stack.clock.advance(timedelta(hours=1))
    await stack.news.until(AgentFailed)
    stack.clock.advance(timedelta(seconds=1))
    await stack.news.until(AgentFailed, count=2)

    sessions = (await stack.get(PATH)).data["sessions"]
    context = (await stack.get(f"{PATH}/{sessions[0]['id']}")).data["context"]

    assert (sessions[0]["success"], sessions[0]["errorMessage"]) == (False, "it broke")
    assert (context["trigger"], context["attempt"]) == ("retry", 2)
    assert context["scheduledFor"] == "2024-01-01T09:00:00.000Z"


async def test_occurrences_that_did_not_run_are_listed_only_when_asked_for(stack: Stack) -> None:
    await stack.agent()
    await _three_runs(stack)
    gap = Gap("gap-1", "agent-123", Outcome.MISSED, 4, START - timedelta(hours=4), START, "The server was down")
    await stack.store.change_agent("agent-123", lambda agent: Change(agent, gaps=(gap,)))

    without = (await stack.get(PATH)).data
    asked = (await stack.get(f"{PATH}?include=missed")).data

    assert without["pagination"]["total"] == 3
    assert asked["pagination"]["total"] == 4
    assert asked["sessions"][-1] == {
        "id": "gap-1",
        "startedAt": None,
        "completedAt": None,
        "success": None,
        "duration": None,
        "outputSummary": None,
        "errorMessage": None,
        "outcome": "missed",
        "count": 4,
        "firstAt": "2024-01-01T04:00:00.000Z",
        "lastAt": "2024-01-01T08:00:00.000Z",
        "reason": "The server was down",
    }
    assert (await stack.get(f"{PATH}/gap-1")).status == 404


async def test_an_occurrence_skipped_while_the_agent_ran_has_its_row(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.schedule(expression="every 20 seconds")
    stack.clock.advance(timedelta(seconds=20))
    await stack.news.until(AgentStarted)
    stack.clock.advance(timedelta(seconds=20))
    await stack.news.until(OccurrencesLost)

    rows = (await stack.get(f"{PATH}?include=missed&outcome=skipped")).data["sessions"]

    assert [(row["outcome"], row["count"], row["firstAt"]) for row in rows] == [
        ("skipped", 1, "2024-01-01T08:00:40.000Z")
    ]


@pytest.mark.parametrize("session_id", ["nobody", "a%20b", "%00"])
async def test_an_unknown_session_is_not_found(stack: Stack, session_id: str) -> None:
    await stack.agent()

    missing = await stack.get(f"{PATH}/{session_id}")

    assert (missing.status, missing.body) == (404, {"success": False, "error": "Session not found"})


async def test_a_session_of_another_agent_is_not_found(stack: Stack) -> None:
    await stack.agent()
    await stack.agent("other")
    session_id = (await stack.post("/api/agents/other/run")).data["sessionId"]
    await stack.news.until(AgentCompleted)

    assert (await stack.get(f"{PATH}/{session_id}")).body["error"] == "Session not found"


async def _three_runs(stack: Stack) -> list[Any]:
    """Three completed runs at 08:00, 08:01 and 08:02; their ids, the newest first."""
    ids: list[Any] = []
    for number in range(3):
        accepted = await stack.post("/api/agents/agent-123/run")
        assert accepted.status == 202, accepted.text
        await stack.news.until(AgentCompleted, count=number + 1)
        ids.insert(0, accepted.data["sessionId"])
        stack.clock.advance(timedelta(minutes=1))
    return ids
