"""Section 2 of the contract: the events of current clients, to the letter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from handlers.events import EVENTS, telling
from scheduler.events import (
    AgentCompleted,
    AgentFailed,
    AgentLog,
    AgentPaused,
    AgentProgress,
    AgentResumed,
    AgentStarted,
    AgentStatusChanged,
    Event,
    OccurrencesLost,
    SchedulerStatus,
    Statistics,
)
from scheduler.settings import SchedulerSettings
from store.records import AgentStatus, Outcome, Priority, Progress
from tests.sockets.stack import AGENT, Stack, running
from tests.support.js_client import JsClients, JsSocket
from tests.support.records import MINUTE, NOW, a_gap, a_log

T = "2024-01-01T09:00:00.000Z"
LATER = "2024-01-01T09:01:00.000Z"
STATISTICS = {
    "isRunning": True,
    "scheduledTasksCount": 7,
    "runningAgentsCount": 2,
    "queuedTasksCount": 5,
    "maxConcurrentAgents": 4,
    "pausedJobsCount": 1,
}
RUN = {"agentId": AGENT, "sessionId": "s-1", "jobId": AGENT}
NAMED = RUN | {"agentName": "Daily", "agentType": "ECHO", "timestamp": T}
LOST = {"agentId": AGENT, "agentName": "Daily", "count": 3, "firstAt": T, "lastAt": LATER, "timestamp": T}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def failed(next_retry_at: datetime | None) -> AgentFailed:
    return AgentFailed(AGENT, "Daily", "ECHO", "s-1", "it broke", Outcome.FAILED, 2, next_retry_at, NOW)


def lost(outcome: Outcome) -> OccurrencesLost:
    gap = a_gap(AGENT, outcome=outcome, count=3, last_at=NOW + MINUTE, reason="because")
    return OccurrencesLost(AGENT, "Daily", gap, NOW)


def status() -> SchedulerStatus:
    return SchedulerStatus(Statistics(True, scheduled=7, running=2, queued=5, max_concurrent=4, paused=1), NOW)


TABLE: Mapping[str, tuple[Event, str, dict[str, Any]]] = {
    "started": (
        AgentStarted(AGENT, "Daily", "ECHO", "s-1", Priority.HIGH, {"secret": "not told"}, NOW),
        "agent:started",
        NAMED | {"priority": 3, "status": "started"},
    ),
    "progress": (
        AgentProgress(AGENT, "s-1", Progress(50.0, "half", 1, 2), NOW),
        "agent:progress",
        RUN | {"progress": 50, "message": "half", "currentStep": 1, "totalSteps": 2, "timestamp": T},
    ),
    "progress without steps": (
        AgentProgress(AGENT, "s-1", Progress(33.3), NOW),
        "agent:progress",
        RUN | {"progress": 33.3, "message": "", "currentStep": None, "totalSteps": None, "timestamp": T},
    ),
    "completed": (
        AgentCompleted(AGENT, "Daily", "ECHO", "s-1", 300_000, "not told", {"not": "told"}, NOW),
        "agent:completed",
        NAMED | {"duration": 300_000, "status": "completed"},
    ),
    "failed with a retry": (
        failed(NOW + MINUTE),
        "agent:failed",
        NAMED | {"error": "it broke", "retryCount": 2, "willRetry": True, "nextRetryAt": LATER, "status": "failed"},
    ),
    "failed for good": (
        failed(None),
        "agent:failed",
        NAMED | {"error": "it broke", "retryCount": 2, "willRetry": False, "nextRetryAt": None, "status": "failed"},
    ),
    "missed": (lost(Outcome.MISSED), "agent:missed", LOST | {"reason": "because"}),
    "skipped": (lost(Outcome.SKIPPED), "agent:skipped", LOST | {"reason": "because"}),
    "paused": (
        AgentPaused(AGENT, NOW),
        "agent:paused",
        {"agentId": AGENT, "jobId": AGENT, "status": "paused", "timestamp": T},
    ),
    "resumed": (
        AgentResumed(AGENT, NOW),
        "agent:resumed",
        {"agentId": AGENT, "jobId": AGENT, "status": "resumed", "timestamp": T},
    ),
    "log": (
        AgentLog(AGENT, "s-1", a_log("echoing", level="warning")),
        "agent:log",
        {
            "agentId": AGENT,
            "sessionId": "s-1",
            "log": {"timestamp": T, "level": "warning", "message": "echoing"},
        },
    ),
    "scheduler:status": (status(), "scheduler:status", STATISTICS | {"stats": STATISTICS, "timestamp": T}),
}
"""What happens, and what a client is to get of it: an event and its only argument."""


async def listening(js: JsClients, stack: Stack, *topics: str, **options: Any) -> JsSocket:
    """A client that has subscribed to each of *topics*: ``agents``, ``scheduler`` or an agent's id."""
    socket = await js.connect(stack.url, auth=stack.auth(), **options)
    await socket.wait("connect")
    for topic in topics:
        command = "monitoring:subscribe" if topic in ("agents", "scheduler") else "agent:subscribe"
        assert (await socket.call(command, topic))["success"] is True
    return socket


def names(socket: JsSocket) -> list[str]:
    """The events so far, in order, without scheduler:status, which comes when it comes."""
    events = [entry["event"] for entry in socket.log if entry["type"] == "event"]
    return [name for name in events if name != "scheduler:status"]


async def caught_up(socket: JsSocket) -> None:
    """Return when all that was sent to the socket until now has arrived."""
    await socket.call("agent:unsubscribe", "nothing")


# Each event by itself


@pytest.mark.parametrize("happens", TABLE)
def test_a_payload_is_the_one_of_the_contract(happens: str) -> None:
    event, name, payload = TABLE[happens]

    told = telling(event)

    assert told is not None
    assert (told[0].name, told[1]) == (name, payload)


@pytest.mark.parametrize("happens", TABLE)
def test_a_payload_fits_the_schema_that_documents_it(happens: str) -> None:
    told = telling(TABLE[happens][0])

    assert told is not None
    assert told[0].payload().validate(told[1]) == {}


@pytest.mark.parametrize("happens", TABLE)
def test_every_time_is_utc_with_milliseconds(happens: str) -> None:
    told = telling(TABLE[happens][0])

    assert told is not None
    for key in ("timestamp", "firstAt", "lastAt", "nextRetryAt"):
        assert told[1].get(key) is None or TIME.fullmatch(str(told[1][key])), key


def test_every_event_that_is_defined_is_in_the_table_of_these_tests() -> None:
    assert {definition.name for definition in EVENTS} == {name for _, name, _ in TABLE.values()}


def test_everything_the_scheduler_tells_reaches_current_clients_but_the_status_of_earlier_ones() -> None:
    told = {type(event) for event, _, _ in TABLE.values()}

    assert set(get_args(Event)) - told == {AgentStatusChanged}
    assert telling(AgentStatusChanged(AGENT, AgentStatus.IDLE, NOW)) is None


@pytest.mark.node
@pytest.mark.parametrize("happens", TABLE)
async def test_an_event_arrives_with_its_payload_as_the_only_argument(
    stack: Stack, js: JsClients, happens: str
) -> None:
    event, name, payload = TABLE[happens]
    socket = await listening(js, stack, AGENT)
    if name == "scheduler:status":
        await socket.call("monitoring:subscribe", "scheduler")

    await stack.publish(event)

    arrived = await socket.wait_for("event", lambda entry: entry["args"] == [payload])
    assert arrived["event"] == name


# To whom


@pytest.mark.node
async def test_a_socket_in_several_rooms_of_an_event_gets_it_once(
    stack: Stack, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await listening(js, stack, AGENT, "agents", "scheduler", transports=transports)

    for happens in TABLE:
        await stack.publish(TABLE[happens][0])

    await caught_up(socket)
    assert names(socket) == [name for _, name, _ in TABLE.values() if name != "scheduler:status"]


@pytest.mark.node
async def test_who_subscribed_to_nothing_gets_nothing(stack: Stack, js: JsClients, transports: tuple[str, ...]) -> None:
    await stack.agent(cron="0 9 * * *")
    socket = await listening(js, stack, transports=transports)
    other = await listening(js, stack, AGENT)

    await stack.service.run(AGENT, {})

    await other.event("agent:completed")
    for happens in TABLE:
        await stack.publish(TABLE[happens][0])
    await caught_up(socket)
    assert [entry for entry in socket.log if entry["type"] == "event"] == []


@pytest.mark.node
async def test_an_agents_subscriber_hears_nothing_of_another_agent(stack: Stack, js: JsClients) -> None:
    socket = await listening(js, stack, "another-agent", "scheduler")

    for happens in TABLE:
        await stack.publish(TABLE[happens][0])

    await caught_up(socket)
    assert names(socket) == []


@pytest.mark.node
async def test_who_monitors_the_agents_hears_of_all_of_them_and_not_of_the_scheduler(
    stack: Stack, js: JsClients
) -> None:
    socket = await listening(js, stack, "agents")

    for agent_id in ("agent-1", "agent-2"):
        await stack.publish(AgentPaused(agent_id, NOW))
    await stack.publish(status())

    await caught_up(socket)
    arrived = [(entry["event"], entry["args"][0]["agentId"]) for entry in socket.log if entry["type"] == "event"]
    assert arrived == [("agent:paused", "agent-1"), ("agent:paused", "agent-2")]


@pytest.mark.node
async def test_who_left_a_room_gets_nothing_more(stack: Stack, js: JsClients) -> None:
    socket = await listening(js, stack, AGENT, "agents")
    await socket.call("monitoring:unsubscribe", "agents")
    await stack.publish(AgentPaused(AGENT, NOW))  # its own subscription is still there

    await socket.call("agent:unsubscribe", AGENT)
    await stack.publish(AgentResumed(AGENT, NOW))

    await caught_up(socket)
    assert names(socket) == ["agent:paused"]


# Of real runs


@pytest.mark.node
async def test_a_run_is_told_from_its_start_to_its_end_in_order(
    stack: Stack, js: JsClients, transports: tuple[str, ...]
) -> None:
    await stack.agent()
    socket = await listening(js, stack, AGENT, "agents", transports=transports)

    accepted = await stack.service.run(AGENT, {"topic": "cats"})

    [completed] = await socket.event("agent:completed")
    assert names(socket) == ["agent:started", "agent:progress", "agent:log", "agent:completed"]
    run = {"agentId": AGENT, "sessionId": accepted.session_id, "jobId": AGENT}
    at = "2024-01-01T08:00:00.000Z"
    named = run | {"agentName": "Daily", "agentType": "ECHO", "timestamp": at}
    assert socket.events("agent:started") == [[named | {"priority": 2, "status": "started"}]]
    assert socket.events("agent:progress") == [
        [run | {"progress": 50, "message": "half", "currentStep": 1, "totalSteps": 2, "timestamp": at}]
    ]
    log = {"timestamp": at, "level": "info", "message": "echoing"}
    assert socket.events("agent:log") == [[{"agentId": AGENT, "sessionId": accepted.session_id, "log": log}]]
    assert completed == named | {"duration": 0, "status": "completed"}


@pytest.mark.node
async def test_what_an_event_tells_is_in_the_database_when_it_arrives(stack: Stack, js: JsClients) -> None:
    await stack.agent()
    socket = await listening(js, stack, AGENT)

    accepted = await stack.service.run(AGENT, {})
    await socket.event("agent:completed")

    session = await stack.store.get_session(AGENT, accepted.session_id)
    assert session.outcome is Outcome.COMPLETED


@pytest.mark.node
async def test_failures_in_a_row_are_counted_and_the_last_one_has_no_retry(tmp_path: Path, js: JsClients) -> None:
    settings = SchedulerSettings(max_retries=1, backoff_base=timedelta(seconds=2))
    async with running(tmp_path, settings=settings) as stack:
        await stack.agent(agent_type="FAIL")
        socket = await listening(js, stack, AGENT)

        await stack.service.run(AGENT, {})
        [first] = await socket.event("agent:failed")
        stack.clock.advance(timedelta(seconds=2))
        [second] = await socket.event("agent:failed")

    told = ("error", "retryCount", "willRetry", "nextRetryAt")
    assert [first[key] for key in told] == ["it broke", 1, True, "2024-01-01T08:00:02.000Z"]
    assert [second[key] for key in told] == ["it broke", 2, False, None]
    assert names(socket) == ["agent:started", "agent:failed"] * 2


@pytest.mark.node
async def test_a_stopped_run_is_a_failure_without_a_retry(stack: Stack, js: JsClients) -> None:
    await stack.agent(agent_type="HOLD")
    socket = await listening(js, stack, AGENT)
    await stack.service.run(AGENT, {})
    await socket.event("agent:started")

    await stack.service.stop(AGENT)

    [stopped] = await socket.event("agent:failed")
    assert (stopped["error"], stopped["willRetry"]) == ("Agent execution manually stopped", False)


@pytest.mark.node
async def test_pausing_and_resuming_are_told(stack: Stack, js: JsClients) -> None:
    await stack.agent(cron="0 9 * * *")
    socket = await listening(js, stack, AGENT)

    await stack.service.pause(AGENT)
    await stack.service.resume(AGENT)

    await socket.event("agent:resumed")
    assert names(socket) == ["agent:paused", "agent:resumed"]


@pytest.mark.node
async def test_an_occurrence_that_falls_due_during_a_run_is_told_as_skipped(stack: Stack, js: JsClients) -> None:
    await stack.agent(agent_type="HOLD", cron="every 10 seconds")
    socket = await listening(js, stack, AGENT)
    await stack.service.run(AGENT, {})
    await socket.event("agent:started")

    stack.clock.advance(timedelta(seconds=10))

    [skipped] = await socket.event("agent:skipped")
    at = "2024-01-01T08:00:10.000Z"
    assert skipped == {
        "agentId": AGENT,
        "agentName": "Daily",
        "count": 1,
        "firstAt": at,
        "lastAt": at,
        "reason": skipped["reason"],
        "timestamp": at,
    }


@pytest.mark.node
async def test_the_status_goes_out_on_a_change_and_ends_with_the_last_state(stack: Stack, js: JsClients) -> None:
    socket = await listening(js, stack, "scheduler")

    await stack.agent(agent_type="HOLD", cron="0 9 * * *")
    await stack.service.run(AGENT, {})

    entry = await socket.wait_for(
        "event", lambda entry: entry["event"] == "scheduler:status" and entry["args"][0]["runningAgentsCount"] == 1
    )
    [payload] = entry["args"]
    assert payload["stats"] == {key: payload[key] for key in STATISTICS}
    assert set(payload) == {*STATISTICS, "stats", "timestamp"}
    assert (payload["isRunning"], payload["scheduledTasksCount"], payload["queuedTasksCount"]) == (True, 1, 0)


@pytest.mark.node
async def test_events_of_a_break_arrive_once_and_in_order(
    tmp_path: Path, js: JsClients, transports: tuple[str, ...]
) -> None:
    async with running(tmp_path, recovery_ms=60_000) as stack:
        await stack.agent()
        socket = await listening(js, stack, AGENT, "agents", transports=transports)

        await socket.cut()
        await socket.wait("disconnect")
        await stack.service.run(AGENT, {})

        await socket.event("agent:completed")
        assert names(socket) == ["agent:started", "agent:progress", "agent:log", "agent:completed"]


def test_only_progress_and_logs_collapse_for_a_congested_socket_each_to_the_newest_of_an_agent() -> None:
    assert {event.name: event.collapse for event in EVENTS if event.collapse} == {
        "agent:progress": "progress:{agentId}",
        "agent:log": "log:{agentId}",
    }
