"""Sections 1.3 and 1.5 of the contract: the scheduler's status, health and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.events import AgentCompleted, AgentFailed, AgentStarted, OccurrencesLost
from store.errors import StoreUnavailable
from store.records import Gap, Outcome
from tests.handlers.stack import START, Stack, running
from tests.handlers.test_errors import Broken

PATHS = ["/api/agents/scheduler/status", "/api/agents/schedule/status", "/api/scheduler/status"]


@pytest.mark.parametrize("path", PATHS)
async def test_an_idle_scheduler_tells_its_numbers(stack: Stack, path: str) -> None:
    status = await stack.get(path)

    assert status.status == 200
    assert status.body == {
        "success": True,
        "data": {
            "isRunning": True,
            "scheduledTasksCount": 0,
            "runningAgentsCount": 0,
            "queuedTasksCount": 0,
            "maxConcurrentAgents": 5,
            "pausedJobsCount": 0,
            "tasks": [],
            "pagination": {"total": 0, "limit": 100, "offset": 0},
        },
    }


async def test_the_numbers_tell_who_runs_waits_and_is_paused(stack: Stack) -> None:
    for name in ("a-1", "a-2", "a-3"):
        await stack.agent(name, agent_type="HOLD")
        await stack.schedule(name)
    await stack.post("/api/agents/a-1/run")
    await stack.news.until(AgentStarted)
    await stack.patch("/api/agents/a-2/schedule/a-2/pause")
    await stack.agent("unscheduled")

    data = (await stack.get(PATHS[0])).data

    numbers = {name: data[name] for name in data if name.endswith("Count")}
    assert numbers == {
        "scheduledTasksCount": 3,
        "runningAgentsCount": 1,
        "queuedTasksCount": 2,
        "pausedJobsCount": 1,
    }


async def test_tasks_are_listed_soonest_first(stack: Stack) -> None:
    await stack.agent("late")
    await stack.schedule("late", "0 12 * * *")
    await stack.agent("soon")
    await stack.schedule("soon", "0 9 * * *", priority="LOW")
    await stack.agent("disabled")
    await stack.schedule("disabled", enabled=False)

    tasks = (await stack.get(PATHS[2])).data["tasks"]

    assert [task["agentId"] for task in tasks] == ["soon", "late"]
    assert tasks[0] == {
        "agentId": "soon",
        "agentName": "Daily",
        "priority": 1,
        "nextRunTime": "2024-01-01T09:00:00.000Z",
        "retryCount": 0,
        "lastError": None,
        "backoffUntil": None,
        "isRunning": False,
        "isPaused": False,
        "jobId": "soon",
    }


async def test_tasks_are_paged(stack: Stack) -> None:
    for hour in (9, 10, 11):
        await stack.agent(f"at-{hour}")
        await stack.schedule(f"at-{hour}", f"0 {hour} * * *")

    data = (await stack.get(f"{PATHS[0]}?limit=1&offset=1")).data

    assert [task["agentId"] for task in data["tasks"]] == ["at-10"]
    assert data["pagination"] == {"total": 3, "limit": 1, "offset": 1}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=abc", "offset=-1"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_page_out_of_bounds_is_refused(stack: Stack, path: str, query: str) -> None:
    refused = await stack.get(f"{path}?{query}")

    assert refused.status == 400
    assert refused.body["errors"][0]["field"] == query.partition("=")[0]


class TestHealth:
    async def test_all_is_well(self, stack: Stack) -> None:
        health = await stack.get("/health", token=None)

        assert health.status == 200
        assert health.body == {
            "success": True,
            "data": {"status": "ok", "process": "ok", "database": "ok", "scheduler": "running"},
        }

    async def test_a_scheduler_that_was_not_started_is_no_fault(self, tmp_path: Path) -> None:
        async with running(tmp_path, scheduling=False) as stack:
            health = await stack.get("/health", token=None)

        assert (health.status, health.data["scheduler"]) == (200, "stopped")

    async def test_a_part_that_died_is_named(self, stack: Stack) -> None:
        stack.faults.append("The scheduler's loop has died")

        health = await stack.get("/health", token=None)

        assert health.status == 503
        assert health.body["error"] == "The scheduler's loop has died."
        assert (health.data["status"], health.data["scheduler"]) == ("failing", "failed")
        assert int(health.headers["Retry-After"]) >= 1

    async def test_a_database_out_of_reach_is_named(self, away: Stack) -> None:
        health = await away.get("/health", token=None)

        assert health.status == 503
        assert health.body["success"] is False
        assert (health.data["database"], health.data["scheduler"]) == ("unreachable", "unknown")


class TestMetrics:
    async def test_they_are_in_prometheus_format(self, stack: Stack) -> None:
        answer = await stack.get("/metrics", token=None)

        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in text_string_to_metric_families(answer.text)}
        assert names >= {
            "neonhub_http_requests",
            "neonhub_http_request_seconds",
            "neonhub_runs",
            "neonhub_scheduler_running",
            "neonhub_scheduler_agents_scheduled",
            "neonhub_event_loop_lag_seconds",
            "neonhub_store_up",
        }

    async def test_requests_are_counted_by_their_routes_pattern(self, stack: Stack) -> None:
        await stack.get("/api/agents/nobody-1")
        await stack.get("/api/agents/nobody-2")
        await stack.get("/no/such/route")

        assert await _value(stack, "neonhub_http_requests_total", route="/api/agents/{id}", status="404") == 2
        assert await _value(stack, "neonhub_http_requests_total", route="none", status="404") == 1
        assert "nobody" not in (await stack.get("/metrics")).text

    async def test_a_method_we_do_not_know_has_no_label_of_its_own(self, stack: Stack) -> None:
        await stack.call("PROPFIND", "/api/agents")

        assert await _value(stack, "neonhub_http_requests_total", method="other") == 1

    async def test_the_scheduler_is_told_as_it_is_at_that_moment(self, stack: Stack) -> None:
        await stack.agent()
        await stack.schedule()

        assert await _value(stack, "neonhub_scheduler_agents_scheduled") == 1
        assert await _value(stack, "neonhub_scheduler_running") == 1
        assert await _value(stack, "neonhub_scheduler_max_concurrent") == 5

    async def test_ended_runs_are_counted_by_outcome(self, stack: Stack) -> None:
        gap = Gap("gap", "a", Outcome.MISSED, 7, START, START + timedelta(hours=7), "The server was down")
        stack.metrics.event(AgentCompleted("a", "A", "ECHO", "s", 5, None, {}, START))
        stack.metrics.event(AgentFailed("a", "A", "ECHO", "s", "no", Outcome.TIMED_OUT, 1, None, START))
        stack.metrics.event(OccurrencesLost("a", "A", gap, START))

        assert await _value(stack, "neonhub_runs_total", outcome="completed") == 1
        assert await _value(stack, "neonhub_runs_total", outcome="timed_out") == 1
        assert await _value(stack, "neonhub_occurrences_lost_total", outcome="missed") == 7

    async def test_they_are_told_while_the_database_is_away(self, away: Stack) -> None:
        assert (await away.get("/metrics")).status == 200
        assert await _value(away, "neonhub_store_up") == 0

    async def test_two_servers_in_one_process_count_apart(self, stack: Stack, tmp_path: Path) -> None:
        async with running(tmp_path / "other", scheduling=False) as other:
            await other.get("/no/such/route")

            assert await _value(other, "neonhub_http_requests_total", route="none") == 1
            assert await _value(stack, "neonhub_http_requests_total", route="none") == 0


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Stack]:
    """A server whose database does not answer."""
    error = StoreUnavailable("no answer")
    async with running(tmp_path, scheduling=False, wrapped=lambda store: Broken(store, "ping", error)) as stack:
        yield stack


async def _value(stack: Stack, name: str, **labels: str) -> float:
    """The sum of the samples that carry these labels."""
    families = text_string_to_metric_families((await stack.get("/metrics")).text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
