"""``/api/sessions``: the history of all agents together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.events import AgentCompleted, AgentFailed
from store.records import Change, Gap, Outcome
from tests.handlers.stack import START, Stack

MINUTE = timedelta(minutes=1)


async def ran(stack: Stack, agent_id: str, times: int = 1) -> None:
    """Run an agent, a minute apart, and wait for each end."""
    done = sum(isinstance(event, AgentCompleted) for event in stack.news.events)
    for number in range(1, times + 1):
        stack.clock.advance(MINUTE)
        await stack.post(f"/api/agents/{agent_id}/run")
        await stack.news.until(AgentCompleted, count=done + number)


async def test_sessions_of_all_agents_come_newest_first(stack: Stack) -> None:
    await stack.agent("a")
    await stack.agent("b")
    await ran(stack, "a")
    await ran(stack, "b")

    data = (await stack.get("/api/sessions")).data

    assert [row["agentId"] for row in data["sessions"]] == ["b", "a"]
    assert data["pagination"] == {"total": 2, "limit": 100, "offset": 0}
    newest = data["sessions"][0]
    assert (newest["trigger"], newest["outcome"], newest["success"]) == ("manual", "completed", True)
    assert newest["progress"] == {"progress": 50, "message": "half", "currentStep": 1, "totalSteps": 2}


async def test_they_can_be_narrowed_to_one_agent_an_outcome_and_a_span(stack: Stack) -> None:
    await stack.agent("a")
    await stack.agent("f", agent_type="FAIL")
    await ran(stack, "a", times=3)
    await stack.post("/api/agents/f/run")
    await stack.news.until(AgentFailed)

    of_one = (await stack.get("/api/sessions?agentId=a")).data["sessions"]
    failed = (await stack.get("/api/sessions?outcome=failed,timed_out")).data["sessions"]
    since = (await stack.get("/api/sessions?agentId=a&since=2024-01-01T08:02:00Z&until=2024-01-01T08:02:59Z")).data

    assert len(of_one) == 3
    assert [row["agentId"] for row in failed] == ["f"]
    assert [row["startedAt"] for row in since["sessions"]] == ["2024-01-01T08:02:00.000Z"]


async def test_each_agents_newest_are_had_with_one_request(stack: Stack) -> None:
    await stack.agent("a")
    await stack.agent("b")
    await ran(stack, "a", times=3)
    await ran(stack, "b")

    data = (await stack.get("/api/sessions?agentId=a,b,nobody&perAgent=2")).data

    assert [row["agentId"] for row in data["sessions"]] == ["b", "a", "a"]
    assert data["pagination"] == {"total": 4, "limit": 2, "offset": 0}


async def test_occurrences_that_did_not_run_are_listed_when_asked_for(stack: Stack) -> None:
    await stack.agent("a")
    gap = Gap("gap-1", "a", Outcome.MISSED, 4, START, START, "The server was down")
    await stack.store.change_agent("a", lambda agent: Change(agent, gaps=(gap,)))

    without = (await stack.get("/api/sessions")).data
    (row,) = (await stack.get("/api/sessions?include=missed")).data["sessions"]

    assert without["pagination"]["total"] == 0
    assert (row["agentId"], row["outcome"], row["count"], row["reason"]) == ("a", "missed", 4, "The server was down")
    assert "progress" not in row


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limit=1001", "limit", "limit must be a whole number from 1 to 1000."),
        ("perAgent=5", "perAgent", "perAgent needs agentId."),
        ("agentId=a,b", "agentId", "agentId must name one agent, or come with perAgent."),
        (
            "agentId=" + ",".join(["x"] * 101) + "&perAgent=1",
            "agentId",
            "agentId must name at most 100 agents, not 101.",
        ),
        ("outcome=lost", "outcome", None),
        ("since=yesterday", "since", "since must be a time such as 2024-01-01T09:00:00.000Z."),
    ],
)
async def test_what_does_not_validate_is_refused_by_name(
    stack: Stack, query: str, field: str, message: str | None
) -> None:
    refused = await stack.get(f"/api/sessions?{query}")

    assert refused.status == 400
    (error,) = refused.body["errors"]
    assert error["field"] == field
    assert message is None or error["message"] == message


async def test_an_id_that_no_agent_can_have_is_refused(stack: Stack) -> None:
    refused = await stack.get("/api/sessions?agentId=a/b")

    assert refused.status == 400
    assert refused.body["errors"][0]["field"] == "agentId"
