"""Schedules tried, what is coming, and why an agent does not run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from store.records import Change, Gap, Outcome
from tests.handlers.stack import START, Stack

DAY = timedelta(days=1)


class TestPreview:
    async def test_an_expression_is_told_in_words_with_its_next_fires(self, stack: Stack) -> None:
        answer = await stack.get("/api/schedule/preview?cronExpression=0+9+*+*+MON-FRI&timezone=Europe/Berlin&count=3")

        assert answer.status == 200
        assert answer.data == {
            "cronExpression": "0 9 * * MON-FRI",
            "timezone": "Europe/Berlin",
            "words": "every weekday at 09:00, Europe/Berlin",
            "fires": ["2024-01-02T08:00:00.000Z", "2024-01-03T08:00:00.000Z", "2024-01-04T08:00:00.000Z"],
            "warnings": [],
        }

    async def test_it_shows_five_fires_in_the_servers_zone_unless_asked_otherwise(self, stack: Stack) -> None:
        data = (await stack.get("/api/schedule/preview?cronExpression=@daily")).data

        assert data["timezone"] == "UTC"
        assert len(data["fires"]) == 5

    async def test_an_interval_counts_from_now(self, stack: Stack) -> None:
        data = (await stack.get("/api/schedule/preview?cronExpression=every+30+minutes&count=2")).data

        assert data["fires"] == ["2024-01-01T08:30:00.000Z", "2024-01-01T09:00:00.000Z"]

    async def test_it_warns_of_times_that_the_clock_skips_or_repeats(self, stack: Stack) -> None:
        query = "cronExpression=30+2+*+*+*&timezone=Europe/Berlin"

        warnings = (await stack.get(f"/api/schedule/preview?{query}")).data["warnings"]

        assert [text[:13] for text in warnings] == ["On 2024-03-31", "On 2024-10-27"]
        assert "does not exist in Europe/Berlin" in warnings[0]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "cronExpression"),
            ("cronExpression=0+9+*+*", "cronExpression"),
            ("cronExpression=0+0+30+2+*", "cronExpression"),
            ("cronExpression=@daily&timezone=Europe/Berln", "timezone"),
            ("cronExpression=@daily&count=51", "count"),
        ],
    )
    async def test_it_refuses_what_saving_would_refuse(self, stack: Stack, query: str, field: str) -> None:
        refused = await stack.get(f"/api/schedule/preview?{query}")

        assert refused.status == 400
        assert [error["field"] for error in refused.body["errors"]] == [field]

    async def test_it_saves_nothing(self, stack: Stack) -> None:
        await stack.agent()
        await stack.get("/api/schedule/preview?cronExpression=@daily")

        assert (await stack.get("/api/agents/agent-123")).data["scheduleExpression"] is None


class TestUpcoming:
    async def test_the_fires_of_the_next_hour_come_by_agent(self, stack: Stack) -> None:
        await stack.agent("often")
        await stack.agent("seldom")
        await stack.schedule("often", "*/20 * * * *")
        await stack.schedule("seldom", "0 9 2 * *")

        data = (await stack.get("/api/schedule/upcoming")).data

        (row,) = data["agents"]
        assert (row["agentId"], row["agentName"], row["count"]) == ("often", "Daily", 3)
        assert row["fires"] == ["2024-01-01T08:20:00.000Z", "2024-01-01T08:40:00.000Z", "2024-01-01T09:00:00.000Z"]
        assert (data["until"], data["hasMore"]) == ("2024-01-01T09:00:00.000Z", False)

    async def test_more_fires_than_asked_for_are_counted(self, stack: Stack) -> None:
        await stack.agent()
        await stack.schedule(expression="* * * * *")

        data = (await stack.get("/api/schedule/upcoming?perAgent=2&until=2024-01-02T08:00:00Z")).data

        (row,) = data["agents"]
        assert (row["count"], len(row["fires"]), row["lastAt"]) == (1440, 2, "2024-01-02T08:00:00.000Z")
        assert data["hasMore"] is True

    async def test_agents_left_out_are_told_of(self, stack: Stack) -> None:
        for name in ("a", "b"):
            await stack.agent(name)
            await stack.schedule(name, "0 9 * * *")

        data = (await stack.get("/api/schedule/upcoming?limit=1")).data

        assert [row["agentId"] for row in data["agents"]] == ["a"]
        assert data["hasMore"] is True

    async def test_paused_and_disabled_ones_are_not_coming(self, stack: Stack) -> None:
        await stack.agent("paused")
        await stack.agent("disabled")
        await stack.schedule("paused", "*/5 * * * *")
        await stack.schedule("disabled", "*/5 * * * *", enabled=False)
        await stack.patch("/api/agents/paused/schedule/paused/pause")

        assert (await stack.get("/api/schedule/upcoming")).data["agents"] == []

    @pytest.mark.parametrize("until", [START, START + 32 * DAY])
    async def test_the_span_lies_ahead_and_is_bounded(self, stack: Stack, until: Any) -> None:
        refused = await stack.get(f"/api/schedule/upcoming?until={until:%Y-%m-%dT%H:%M:%SZ}")

        assert refused.status == 400
        assert [error["field"] for error in refused.body["errors"]] == ["until"]


class TestExplain:
    async def test_a_scheduled_agent_tells_when_it_runs_next(self, stack: Stack) -> None:
        await stack.agent()
        await stack.schedule()

        data = (await stack.get("/api/agents/agent-123/schedule/explain")).data

        assert (data["agentId"], data["willRunAt"]) == ("agent-123", "2024-01-01T09:00:00.000Z")
        assert [reason["code"] for reason in data["reasons"]] == ["next"]
        assert data["reasons"][0]["at"] == "2024-01-01T09:00:00.000Z"

    async def test_its_latest_gap_is_part_of_the_answer(self, stack: Stack) -> None:
        await stack.agent()
        gap = Gap("gap-1", "agent-123", Outcome.SKIPPED, 1, START, START, "The agent was still running")
        await stack.store.change_agent("agent-123", lambda agent: Change(agent, gaps=(gap,)))

        data = (await stack.get("/api/agents/agent-123/schedule/explain")).data

        assert [reason["code"] for reason in data["reasons"]] == ["no-schedule", "skipped"]
        assert "The agent was still running" in data["reasons"][1]["message"]

    async def test_an_unknown_agent_is_not_found(self, stack: Stack) -> None:
        missing = await stack.get("/api/agents/nobody/schedule/explain")

        assert (missing.status, missing.body["error"]) == (404, "Agent not found")
