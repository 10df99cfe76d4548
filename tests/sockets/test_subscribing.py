"""Section 2 of the contract: subscriptions, their acknowledgements and snapshots."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from handlers import sockets
from handlers.earlier import EarlierClients
from handlers.snapshots import AgentSnapshotPart, AgentsSnapshotPart
from scheduler.events import AgentPaused
from store.base import Store
from store.errors import StoreUnavailable
from store.records import Agent
from tests.sockets.stack import AGENT, Stack, running
from tests.support.js_client import JsClients, JsSocket
from tests.support.raw_client import RawClients
from tests.support.records import NOW

pytestmark = pytest.mark.node

STATISTICS = {
    "isRunning": True,
    "scheduledTasksCount": 0,
    "runningAgentsCount": 0,
    "queuedTasksCount": 0,
    "maxConcurrentAgents": 5,
    "pausedJobsCount": 0,
}
SUBSCRIBED = {"success": True, "data": None}
BAD_ID = {"success": False, "error": "The agent's id must be 1 to 64 of the characters A-Z a-z 0-9 . _ -."}
BAD_TOPIC = {
    "success": False,
    "error": 'There is nothing to monitor by that name; it must be "agents" or "scheduler".',
}
BAD_IDS: list[list[Any]] = [[], [None], [""], ["a" * 65], ["a b"], ["a\n"], ["ä"], [5], [True], [["a"]], [{"id": "a"}]]

BAD_TOPICS: list[list[Any]] = [[], [""], ["everything"], ["Agents"], [None], [["agents"]], [{}], [0]]


class StoreThat:
    """A store whose ``get_agent`` waits for *held*, if given, and then fails with *error*, if given."""

    def __init__(self, real: Store, error: Exception | None = None, held: asyncio.Event | None = None) -> None:
        self._real = real
        self._error = error
        self._held = held
        self.asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def get_agent(self, agent_id: str) -> Agent:
        self.asked.set()
        if self._held is not None:
            await self._held.wait()
        if self._error is not None:
            raise self._error
        return await self._real.get_agent(agent_id)


class SlowAnswers(StoreThat):
    """A store whose ``get_agent`` knows its answer some time before it gives it, and counts how often it was asked."""

    def __init__(self, real: Store) -> None:
        super().__init__(real)
        self.read, self.answer, self.ending = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.reads = 0

    async def get_agent(self, agent_id: str) -> Agent:
        self.reads += 1
        agent = await super().get_agent(agent_id)
        self.read.set()
        await self.answer.wait()
        self.ending.set()
        return agent


@asynccontextmanager
async def answering_slowly(tmp_path: Path) -> AsyncIterator[tuple[Stack, SlowAnswers]]:
    """A server whose store answers when it is told to."""
    stores: list[SlowAnswers] = []

    def wrapped(real: Store) -> Any:
        stores.append(SlowAnswers(real))
        return stores[0]

    async with running(tmp_path, wrapped=wrapped) as stack:
        yield stack, stores[0]


async def connected(js: JsClients, stack: Stack, **options: Any) -> JsSocket:
    socket = await js.connect(stack.url, auth=stack.auth(), **options)
    await socket.wait("connect")
    return socket


def rooms(stack: Stack, socket: JsSocket) -> set[str]:
    sid = next(entry["sid"] for entry in reversed(socket.log) if entry["type"] == "connect")
    return {*stack.sio.rooms(sid)} - {sid}


# Snapshots


async def test_an_id_that_names_no_agent_yet_is_subscribed_to_all_the_same(
    stack: Stack, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await connected(js, stack, transports=transports)
    assert await socket.call("agent:subscribe", AGENT) == SUBSCRIBED

    await stack.agent()
    await stack.service.run(AGENT, {})

    await socket.event("agent:completed")


async def test_the_snapshot_of_a_scheduled_agent_is_its_task_details(stack: Stack, js: JsClients) -> None:
    await stack.agent(cron="0 9 * * *")
    socket = await connected(js, stack)

    answer = await socket.call("agent:subscribe", AGENT)

    assert answer == {
        "success": True,
        "data": {
            "agentId": AGENT,
            "agentName": "Daily",
            "priority": 2,
            "nextRunTime": "2024-01-01T09:00:00.000Z",
            "retryCount": 0,
            "lastError": None,
            "backoffUntil": None,
            "isRunning": False,
            "isPaused": False,
            "jobId": AGENT,
            "session": None,
        },
    }
    assert AgentSnapshotPart().validate(answer["data"]) == {}


async def test_the_snapshot_of_a_running_agent_holds_its_session_and_how_far_it_is(stack: Stack, js: JsClients) -> None:
    await stack.agent(agent_type="HOLD")
    socket = await connected(js, stack)
    await socket.call("agent:subscribe", AGENT)
    accepted = await stack.service.run(AGENT, {})
    await socket.event("agent:started")

    answer = await socket.call("agent:subscribe", AGENT)

    assert AgentSnapshotPart().validate(answer["data"]) == {}
    assert answer["data"]["isRunning"] is True
    assert answer["data"]["nextRunTime"] is None
    assert answer["data"]["session"] == {
        "id": accepted.session_id,
        "startedAt": "2024-01-01T08:00:00.000Z",
        "completedAt": None,
        "success": None,
        "duration": None,
        "outputSummary": None,
        "errorMessage": None,
        "outcome": "running",
        "progress": None,
    }


async def test_the_snapshot_of_the_scheduler_is_its_statistics(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    answer = await socket.call("monitoring:subscribe", "scheduler")

    assert answer == {"success": True, "data": STATISTICS}


async def test_the_snapshot_of_all_agents_is_the_statistics_with_the_running_sessions(
    stack: Stack, js: JsClients
) -> None:
    await stack.agent(agent_type="HOLD")
    socket = await connected(js, stack)
    await socket.call("agent:subscribe", AGENT)
    accepted = await stack.service.run(AGENT, {})
    await socket.event("agent:started")

    answer = await socket.call("monitoring:subscribe", "agents")

    assert AgentsSnapshotPart().validate(answer["data"]) == {}
    sessions = answer["data"].pop("sessions")
    assert [(session["agentId"], session["id"]) for session in sessions] == [(AGENT, accepted.session_id)]
    assert answer["data"] == STATISTICS | {"runningAgentsCount": 1}


async def test_an_event_during_the_snapshot_is_not_missed(tmp_path: Path, js: JsClients) -> None:
    held = asyncio.Event()
    store: list[StoreThat] = []

    def wrapped(real: Store) -> Any:
        store.append(StoreThat(real, held=held))
        return store[0]

    async with running(tmp_path, wrapped=wrapped) as stack:
        socket = await connected(js, stack)
        answer = asyncio.ensure_future(socket.call("agent:subscribe", AGENT))
        await store[0].asked.wait()

        await stack.publish(AgentPaused(AGENT, NOW))
        await socket.event("agent:paused")
        held.set()

        assert await answer == SUBSCRIBED


@pytest.mark.parametrize("command", ["agent:subscribe", "subscribe-agent-updates"])
async def test_a_snapshot_is_not_older_than_the_events_before_it(tmp_path: Path, js: JsClients, command: str) -> None:
    async with answering_slowly(tmp_path) as (stack, store):
        EarlierClients(stack.sio, stack.store, stack.service, stack.tokens)
        await stack.agent(agent_type="HOLD")
        socket = await connected(js, stack)
        answer = asyncio.ensure_future(socket.call(command, AGENT))
        await store.read.wait()  # the agent was idle

        await stack.service.run(AGENT, {})
        await socket.event("agent:started")
        store.answer.set()

        assert (await answer)["data"]["isRunning"] is True


async def test_clients_that_ask_at_the_same_time_share_one_read(tmp_path: Path, js: JsClients) -> None:
    async with answering_slowly(tmp_path) as (stack, store):
        await stack.agent()
        sockets_ = [await connected(js, stack) for _ in range(3)]
        answers = [asyncio.ensure_future(socket.call("agent:subscribe", AGENT)) for socket in sockets_]
        await until_in(stack, sockets_)
        store.answer.set()

        assert [(await answer)["data"]["agentId"] for answer in answers] == [AGENT] * 3
        assert store.reads == 1


async def test_a_shared_read_is_no_older_than_the_events_before_it(tmp_path: Path, js: JsClients) -> None:
    async with answering_slowly(tmp_path) as (stack, store):
        await stack.agent(agent_type="HOLD")
        early, late = await connected(js, stack), await connected(js, stack)
        first = asyncio.ensure_future(early.call("agent:subscribe", AGENT))
        await store.read.wait()  # the agent was idle
        await stack.service.run(AGENT, {})
        await early.event("agent:started")  # which the late one never hears of
        second = asyncio.ensure_future(late.call("agent:subscribe", AGENT))
        await until_in(stack, [early, late])
        store.answer.set()

        assert (await first)["data"]["isRunning"] is True
        assert (await second)["data"]["isRunning"] is True


async def test_a_read_that_has_ended_is_given_to_nobody_who_comes_after_it(tmp_path: Path, js: JsClients) -> None:
    async with answering_slowly(tmp_path) as (stack, store):
        await stack.agent()
        early, late = await connected(js, stack), await connected(js, stack)
        subscribe = stack.sio.handlers["/"]["agent:subscribe"]
        (late_sid,) = (entry["sid"] for entry in late.log if entry["type"] == "connect")

        async def at_its_end() -> Any:
            await store.ending.wait()  # the same turn of the loop goes on with this
            return await subscribe(late_sid, AGENT)

        second = asyncio.ensure_future(at_its_end())
        first = asyncio.ensure_future(early.call("agent:subscribe", AGENT))
        await store.read.wait()
        store.answer.set()

        assert (await first)["success"] is True
        assert (await second)["success"] is True
        assert store.reads == 2


async def until_in(stack: Stack, clients: list[JsSocket]) -> None:
    """Wait until every one of *clients* is in the agent's room."""
    async with asyncio.timeout(10):
        while not all(rooms(stack, socket) for socket in clients):
            await clients[0].call("monitoring:unsubscribe", "agents")  # at the pace of the clients


# Acknowledgements


async def test_a_bad_id_is_answered_with_what_an_id_is(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    for arguments in BAD_IDS:
        for command in ("agent:subscribe", "agent:unsubscribe"):
            assert await socket.call(command, *arguments) == BAD_ID, arguments
    assert rooms(stack, socket) == set()


async def test_an_unknown_topic_is_answered_with_those_there_are(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    for arguments in BAD_TOPICS:
        for command in ("monitoring:subscribe", "monitoring:unsubscribe"):
            assert await socket.call(command, *arguments) == BAD_TOPIC, arguments
    assert rooms(stack, socket) == set()


async def test_bytes_for_an_id_are_a_bad_id(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    assert await socket.call("agent:subscribe", b"agent-123") == BAD_ID


async def test_without_a_callback_bad_arguments_are_ignored(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    for arguments in BAD_IDS:
        await socket.emit("agent:subscribe", *arguments)
        await socket.emit("monitoring:subscribe", *arguments)

    assert (await socket.call("monitoring:subscribe", "scheduler"))["success"] is True
    assert [entry["type"] for entry in socket.log] == ["connect"]


async def test_a_subscription_needs_no_callback(stack: Stack, js: JsClients, transports: tuple[str, ...]) -> None:
    socket = await connected(js, stack, transports=transports)
    await socket.emit("agent:subscribe", AGENT)
    await socket.emit("monitoring:subscribe", "agents")
    await socket.emit("monitoring:subscribe", "scheduler")

    await socket.call("agent:subscribe", "last")

    assert rooms(stack, socket) == {f"agent:{AGENT}", "agent:last", "monitoring:agents", "monitoring:scheduler"}


async def test_unsubscribing_is_answered_too_also_from_what_was_never_subscribed(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)
    await socket.call("agent:subscribe", AGENT)
    await socket.call("monitoring:subscribe", "agents")

    for _ in range(2):
        assert await socket.call("agent:unsubscribe", AGENT) == SUBSCRIBED
        assert await socket.call("monitoring:unsubscribe", "agents") == SUBSCRIBED
        assert await socket.call("monitoring:unsubscribe", "scheduler") == SUBSCRIBED
    assert rooms(stack, socket) == set()


async def test_what_is_sent_at_once_counts_in_the_order_it_was_sent(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    for _ in range(20):
        await socket.emit("agent:subscribe", AGENT)
        await socket.emit("agent:unsubscribe", AGENT)
    await socket.emit("agent:subscribe", "kept")
    await socket.call("agent:unsubscribe", AGENT)

    assert rooms(stack, socket) == {"agent:kept"}


async def test_unknown_events_are_ignored(stack: Stack, js: JsClients) -> None:
    socket = await connected(js, stack)

    for event in ("nonsense", "*", "subscribe", "agent:completed", "scheduler:status"):
        await socket.emit(event, {"any": "thing"})

    assert (await socket.call("agent:subscribe", AGENT))["success"] is True
    assert [entry["type"] for entry in socket.log] == ["connect"]


async def test_a_client_cannot_speak_to_others(stack: Stack, js: JsClients) -> None:
    listener, speaker = await connected(js, stack), await connected(js, stack)
    await listener.call("agent:subscribe", AGENT)

    await speaker.emit("agent:completed", {"agentId": AGENT})
    await speaker.call("agent:subscribe", AGENT)

    await listener.call("agent:unsubscribe", AGENT)
    assert [entry["type"] for entry in listener.log] == ["connect"]


# When something is wrong


async def test_a_database_that_is_away_is_told_and_the_subscription_holds(
    tmp_path: Path, js: JsClients, caplog: pytest.LogCaptureFixture
) -> None:
    away = StoreUnavailable("connection to db.internal:27017 refused")
    async with running(tmp_path, wrapped=lambda real: StoreThat(real, away)) as stack:
        socket = await connected(js, stack)

        answer = await socket.call("agent:subscribe", AGENT)

        assert answer == {
            "success": False,
            "error": "The database cannot be reached. A subscription holds all the same; ask again for its snapshot.",
        }
        assert "db.internal" in caplog.text
        assert rooms(stack, socket) == {f"agent:{AGENT}"}


async def test_a_defect_of_ours_is_answered_with_an_id_of_the_log_and_no_more(
    tmp_path: Path, js: JsClients, caplog: pytest.LogCaptureFixture
) -> None:
    broken = RuntimeError("a detail of our inside")
    async with running(tmp_path, wrapped=lambda real: StoreThat(real, broken)) as stack:
        socket = await connected(js, stack)

        with caplog.at_level(logging.ERROR):
            answer = await socket.call("agent:subscribe", AGENT)

        assert answer["success"] is False
        assert "inside" not in answer["error"]
        reference = answer["error"].removesuffix(".").rsplit(" ", 1)[1]
        assert reference in caplog.text
        assert "a detail of our inside" in caplog.text


async def test_a_socket_may_have_many_subscriptions_and_not_endless_ones(
    stack: Stack, js: JsClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MOST_ROOMS", 3)
    socket = await connected(js, stack)
    for number in range(3):
        assert (await socket.call("agent:subscribe", f"agent-{number}"))["success"] is True

    answer = await socket.call("agent:subscribe", "agent-3")

    assert answer["success"] is False
    assert 'monitoring:subscribe with "agents"' in answer["error"]
    assert (await socket.call("agent:subscribe", "agent-1"))["success"] is True  # it has this one already
    await socket.call("agent:unsubscribe", "agent-1")
    assert (await socket.call("agent:subscribe", "agent-3"))["success"] is True


async def test_a_socket_that_asks_and_leaves_disturbs_nobody(
    stack: Stack, raw: RawClients, caplog: pytest.LogCaptureFixture
) -> None:
    hasty = await raw.websocket()
    await hasty.enter(f'40{{"token":"{stack.token()}"}}')

    for _ in range(5):
        await hasty.send('42["agent:subscribe","agent-123"]')
    await hasty.send("41")
    await hasty.send("40" + f'{{"token":"{stack.token()}"}}')

    assert str(await hasty.next()).startswith("40")  # the same connection, in the namespace again
    assert caplog.records == []
