"""Section 3 of the contract below real clients (those are in tests/clients): what is made for them, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.earlier import EarlierClients
from handlers.earlier_events import EARLIER_EVENTS, EARLIER_ROOM, earlier_tellings
from handlers.events import NAMESPACE
from scheduler.events import (
    AgentCompleted,
    AgentFailed,
    AgentLog,
    AgentPaused,
    AgentProgress,
    AgentStarted,
    AgentStatusChanged,
    Event,
)
from server.realtime.frames import Frame
from store.records import AgentStatus, Outcome, Priority, Progress
from tests.sockets.stack import AGENT, Stack, running
from tests.support.raw_client import raw_clients
from tests.support.records import NOW, a_log

STARTED = AgentStarted(AGENT, "Daily", "ECHO", "s-1", Priority.NORMAL, {"topic": "news"}, NOW)
COMPLETED = AgentCompleted(AGENT, "Daily", "ECHO", "s-1", 300, None, {}, NOW)
FAILED = AgentFailed(AGENT, "Daily", "ECHO", "s-1", "it broke", Outcome.FAILED, 1, None, NOW)
LINE = AgentLog(AGENT, "s-1", a_log("half way"))
STATUS = AgentStatusChanged(AGENT, AgentStatus.RUNNING, NOW)
ALL = (STARTED, COMPLETED, FAILED, LINE, STATUS)


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_what_is_sent_is_what_its_definition_says(event: Event) -> None:
    for definition, payload in earlier_tellings(event):
        assert definition.payload().validate(payload) == {}


def test_each_event_that_is_defined_is_sent_for_something() -> None:
    told = {definition.name for event in ALL for definition, _ in earlier_tellings(event)}

    assert told == {definition.name for definition in EARLIER_EVENTS}


@pytest.mark.parametrize(
    "event", [AgentPaused(AGENT, NOW), AgentProgress(AGENT, "s-1", Progress(50, "half", 1, 2), NOW)]
)
def test_what_the_contract_does_not_name_is_not_sent(event: Event) -> None:
    assert earlier_tellings(event) == []


async def test_nothing_is_made_before_the_first_earlier_client_comes(tmp_path: Path) -> None:
    """The log of recovery is bounded: what nobody reads must not push out what somebody may come back for."""
    async with running(tmp_path, anonymous=True, recovery_ms=60_000) as stack, raw_clients(stack.url) as raw:
        earlier = EarlierClients(stack.sio, stack.store, stack.service, stack.tokens, anonymous=True)
        client = await raw.websocket()
        await client.enter()

        await earlier.publish(LINE)
        before = made(stack)
        await client.send(f'420["subscribe-agent-updates","{AGENT}"]')
        assert await client.next() == '430[{"success":true,"data":null}]'
        await earlier.publish(LINE)

        assert before == []
        assert str(await client.next()).startswith('42["agent-log",{"agentId":"agent-123",')


async def test_where_other_processes_may_have_earlier_clients_everything_is_made(tmp_path: Path) -> None:
    async with running(tmp_path, anonymous=True, recovery_ms=60_000) as stack, raw_clients(stack.url) as raw:
        earlier = EarlierClients(stack.sio, stack.store, stack.service, stack.tokens, anonymous=True, shared=True)
        await (await raw.websocket()).enter()

        await earlier.publish(STATUS)

        assert len(made(stack)) == 1


def made(stack: Stack) -> list[Frame]:
    """What was sent to earlier clients of the agent; the scheduler may tell others meanwhile that it has started."""
    log = stack.sio.entrance.log
    found = log.since(0, NAMESPACE, {EARLIER_ROOM.format(agentId=AGENT)}, "")
    assert found is not None
    return found
