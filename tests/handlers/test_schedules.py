"""Section 1.1 of the contract: schedules over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduler.events import AgentCompleted, AgentFailed, AgentStarted
from tests.handlers.stack import Stack

PATH = "/api/agents/agent-123/schedule"


async def test_a_schedule_is_saved_and_answered_with_its_next_run(stack: Stack) -> None:
    await stack.agent()

    saved = await stack.post(
        PATH, {"cronExpression": "0 9 * * *", "priority": "HIGH", "enabled": True, "timezone": "Europe/Berlin"}
    )

    assert saved.status == 200
    assert saved.body == {
        "success": True,
        "data": {
            "id": "agent-123",
            "name": "Daily",
            "scheduleExpression": "0 9 * * *",
            "scheduleEnabled": True,
            "nextRunAt": "2024-01-02T08:00:00.000Z",
            "schedulePriority": "HIGH",
            "scheduleTimezone": "Europe/Berlin",
        },
    }


async def test_a_schedule_takes_the_defaults_of_the_contract(stack: Stack) -> None:
    await stack.agent()

    saved = await stack.schedule()

    assert saved["schedulePriority"] == "NORMAL"
    assert saved["scheduleTimezone"] == "UTC"
    assert saved["scheduleEnabled"] is True
    read = (await stack.get(PATH)).data
    assert (read["scheduleOverlap"], read["scheduleMissedRuns"]) == ("SKIP", "ONCE")


async def test_a_disabled_schedule_has_no_next_run_and_no_task(stack: Stack) -> None:
    await stack.agent()

    saved = await stack.schedule(enabled=False)

    assert saved["scheduleEnabled"] is False
    assert saved["nextRunAt"] is None
    assert (await stack.get(PATH)).data["taskDetails"] is None


async def test_a_schedule_is_read_with_the_task_as_the_scheduler_sees_it(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule(priority="CRITICAL")

    read = await stack.get(PATH)

    assert read.status == 200
    assert read.body == {
        "success": True,
        "data": {
            "id": "agent-123",
            "name": "Daily",
            "scheduleExpression": "0 9 * * *",
            "scheduleEnabled": True,
            "nextRunAt": "2024-01-01T09:00:00.000Z",
            "schedulePriority": "CRITICAL",
            "scheduleTimezone": "UTC",
            "scheduleOverlap": "SKIP",
            "scheduleMissedRuns": "ONCE",
            "lastRunAt": None,
            "status": "IDLE",
            "taskDetails": {
                "agentId": "agent-123",
                "agentName": "Daily",
                "priority": 4,
                "nextRunTime": "2024-01-01T09:00:00.000Z",
                "retryCount": 0,
                "lastError": None,
                "backoffUntil": None,
                "isRunning": False,
                "isPaused": False,
                "jobId": "agent-123",
            },
        },
    }


async def test_the_schedule_of_an_agent_without_one_is_read_with_nulls(stack: Stack) -> None:
    await stack.agent()

    read = (await stack.get(PATH)).data

    assert (read["scheduleExpression"], read["nextRunAt"], read["scheduleTimezone"]) == (None, None, None)
    assert read["scheduleEnabled"] is False
    assert read["taskDetails"] is None


async def test_after_a_failure_the_task_tells_when_it_is_tried_again(stack: Stack) -> None:
    await stack.agent(agent_type="FAIL")
    await stack.schedule()

    stack.clock.advance(timedelta(hours=1))
    await stack.news.until(AgentFailed)

    task = (await stack.get(PATH)).data["taskDetails"]
    assert task["retryCount"] == 1
    assert task["lastError"] == "it broke"
    assert task["backoffUntil"] == "2024-01-01T09:00:01.000Z"
    assert task["nextRunTime"] == "2024-01-02T09:00:00.000Z"


async def test_removing_a_schedule_forgets_expression_and_next_run(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule()

    removed = await stack.delete(PATH)

    assert (removed.status, removed.body) == (200, {"success": True, "message": "Agent unscheduled successfully"})
    read = (await stack.get(PATH)).data
    assert (read["scheduleExpression"], read["nextRunAt"]) == (None, None)


async def test_removing_the_schedule_of_a_running_agent_lets_the_run_go_on(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.schedule()
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentStarted)

    removed = await stack.delete(PATH)
    stack.runners.released.set()
    await stack.news.until(AgentCompleted)

    assert removed.status == 200
    assert (await stack.get("/api/agents/agent-123")).data["status"] == "COMPLETED"


async def test_saving_the_same_schedule_again_moves_nothing(stack: Stack) -> None:
    await stack.agent()
    first = await stack.schedule(expression="every 30 minutes")
    stack.clock.advance(timedelta(minutes=10))

    again = await stack.schedule(expression="every 30 minutes")

    assert again == first


@pytest.mark.parametrize(
    "expression",
    [
        "every 30 minutes",
        "every 5 seconds",
        "every 2 hours",
        "every 1 days",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "0 0 L * *",
        "0 0 * * 5#2",
        "*/15 9-17 * JAN-MAR MON-FRI",
        "  0 9 * * *  ",
    ],
)
async def test_every_form_of_the_contract_is_accepted(stack: Stack, expression: str) -> None:
    await stack.agent()

    saved = await stack.schedule(expression=expression)

    assert saved["nextRunAt"] is not None


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "nonsense",
        "* * * *",
        "0 0 9 * * *",
        "61 * * * *",
        "0 0 30 2 *",
        "R * * * *",
        "H * * * *",
        "@reboot",
        "every 0 minutes",
        "every 5 weeks",
        "9" * 300,
    ],
)
async def test_a_malformed_expression_is_refused_by_its_field(stack: Stack, expression: str) -> None:
    await stack.agent()

    refused = await stack.post(PATH, {"cronExpression": expression})

    assert refused.status == 400
    assert refused.body["success"] is False
    assert [error["field"] for error in refused.body["errors"]] == ["cronExpression"]
    assert refused.body["error"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", "true"), ("enabled", 1), ("enabled", None), ("priority", "high"), ("priority", 3),
        ("priority", "__doc__"), ("priority", None), ("timezone", "Mars/Olympus"), ("timezone", 1), ("timezone", ""),
        ("timezone", "../../etc/passwd"), ("overlap", "ALLOW"), ("missedRuns", "ALL"), ("cronExpression", 5),
        ("cronExpression", None), ("cron", "0 9 * * *"),
    ],
)  # fmt: skip
async def test_a_field_that_does_not_validate_is_named(stack: Stack, field: str, value: Any) -> None:
    await stack.agent()

    refused = await stack.post(PATH, {"cronExpression": "0 9 * * *", field: value})

    assert refused.status == 400
    assert [error["field"] for error in refused.body["errors"]] == [field]
    assert (await stack.get(PATH)).data["scheduleExpression"] is None


async def test_every_field_at_fault_is_named_at_once(stack: Stack) -> None:
    await stack.agent()

    refused = await stack.post(PATH, {"enabled": "true", "colour": "red"})

    assert {error["field"]: error["message"] for error in refused.body["errors"]} == {
        "cronExpression": "cronExpression is required.",
        "enabled": "enabled must be true or false, as a JSON boolean.",
        "colour": "colour is not a known field.",
    }


async def test_pausing_keeps_the_schedule_but_nothing_fires(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule()

    paused = await stack.patch(f"{PATH}/agent-123/pause")

    assert paused.status == 200
    assert paused.body == {
        "success": True,
        "data": {"agentId": "agent-123", "jobId": "agent-123", "status": "paused"},
        "message": "Job agent-123 paused successfully",
    }
    read = (await stack.get(PATH)).data
    assert (read["scheduleExpression"], read["status"], read["taskDetails"]["isPaused"]) == (
        "0 9 * * *",
        "PAUSED",
        True,
    )
    stack.clock.advance(timedelta(hours=2))
    assert (await stack.get("/api/agents/agent-123/sessions")).data["pagination"]["total"] == 0


async def test_resuming_lets_it_fire_again(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule()
    await stack.patch(f"{PATH}/agent-123/pause")

    resumed = await stack.patch(f"{PATH}/agent-123/resume", json={})

    assert resumed.status == 200
    assert resumed.body == {
        "success": True,
        "data": {
            "agentId": "agent-123",
            "jobId": "agent-123",
            "status": "resumed",
            "nextRunAt": "2024-01-01T09:00:00.000Z",
        },
        "message": "Job agent-123 resumed successfully",
    }


async def test_paused_jobs_are_listed_on_both_paths(stack: Stack) -> None:
    for name in ("agent-1", "agent-2", "agent-3"):
        await stack.agent(name)
        await stack.schedule(name)
    await stack.patch("/api/agents/agent-1/schedule/agent-1/pause")
    await stack.patch("/api/agents/agent-3/schedule/agent-3/pause")

    everywhere = await stack.get("/api/agents/schedule/paused")
    through_one = await stack.get("/api/agents/agent-2/schedule/paused")

    jobs = [{"agentId": "agent-1", "jobId": "agent-1"}, {"agentId": "agent-3", "jobId": "agent-3"}]
    assert sorted(everywhere.data, key=lambda job: str(job["agentId"])) == jobs
    assert through_one.body == everywhere.body


async def test_pausing_a_running_agent_is_a_conflict(stack: Stack) -> None:
    await stack.agent(agent_type="HOLD")
    await stack.schedule()
    await stack.post("/api/agents/agent-123/run")
    await stack.news.until(AgentStarted)

    refused = await stack.patch(f"{PATH}/agent-123/pause")

    assert refused.status == 409
    assert refused.body.keys() == {"success", "error"}


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_job_that_is_not_scheduled_is_not_found(stack: Stack, verb: str) -> None:
    await stack.agent()

    assert (await stack.patch(f"{PATH}/agent-123/{verb}")).status == 404


async def test_resuming_what_is_not_paused_is_refused(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule()

    refused = await stack.patch(f"{PATH}/agent-123/resume")

    assert refused.status == 400
    assert refused.body["success"] is False


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_job_of_another_name_is_not_found(stack: Stack, verb: str) -> None:
    await stack.agent()
    await stack.schedule()

    missing = await stack.patch(f"{PATH}/agent-456/{verb}")

    assert (missing.status, missing.body) == (404, {"success": False, "error": "Job not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PATH), ("POST", PATH), ("DELETE", PATH), ("GET", f"{PATH}/status"), ("GET", f"{PATH}/paused"),
        ("PATCH", f"{PATH}/agent-123/pause"), ("PATCH", f"{PATH}/agent-123/resume"),
        ("PATCH", f"{PATH}/other/pause"), ("PATCH", f"{PATH}/other/resume"),
    ],
)  # fmt: skip
async def test_the_schedule_of_an_unknown_agent_is_not_found(stack: Stack, method: str, path: str) -> None:
    body = {"cronExpression": "0 9 * * *"} if method == "POST" else None

    missing = await stack.call(method, path, json=body)

    assert (missing.status, missing.body) == (404, {"success": False, "error": "Agent not found"})


async def test_the_status_of_one_schedule_is_that_of_the_scheduler(stack: Stack) -> None:
    await stack.agent()
    await stack.schedule()

    status = await stack.get(f"{PATH}/status")

    assert status.body == {
        "success": True,
        "data": {
            "isRunning": True,
            "scheduledTasksCount": 1,
            "runningAgentsCount": 0,
            "queuedTasksCount": 1,
            "maxConcurrentAgents": 5,
            "pausedJobsCount": 0,
        },
    }


@pytest.mark.parametrize("name", ["schedule", "scheduler", "run", "paused", "status", "sessions", "a.b-c_D"])
async def test_an_agent_may_have_the_name_of_a_route(stack: Stack, name: str) -> None:
    await stack.agent(name)

    saved = await stack.schedule(name)

    assert saved["id"] == name
    assert (await stack.get(f"/api/agents/{name}")).data["id"] == name
    assert (await stack.get(f"/api/agents/{name}/schedule/paused")).data == []
    assert (await stack.get(f"/api/agents/{name}/sessions")).status == 200
    assert (await stack.post(f"/api/agents/{name}/run")).status == 202
    assert (await stack.patch(f"/api/agents/{name}", {"name": "Other"})).status == 200
