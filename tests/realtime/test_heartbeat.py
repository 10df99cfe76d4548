"""Pings: what an answer vouches for, and when a client counts as dead."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from server.realtime.heartbeat import Heartbeat


@dataclass
class Client:
    """The far end: it is heard or not, and the test answers the pings it got."""

    ping_interval: float = 0.001
    ping_timeout: float = 0.001
    is_heard: bool = True
    at: int = 0
    pings: list[int] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_dead: bool = False

    def __post_init__(self) -> None:
        self.heartbeat = Heartbeat(self, self._pinged, self._died)

    def position(self) -> int:
        self.at += 10
        return self.at

    def _pinged(self) -> None:
        self.pings.append(self.at)
        self.news.set()
        if self.is_heard:
            self.heartbeat.heard()

    def _died(self) -> None:
        self.is_dead = True
        self.news.set()

    async def pinged(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.pings) < times:
                self.news.clear()
                await self.news.wait()


async def test_an_answer_vouches_for_what_was_sent_before_its_own_ping() -> None:
    client = Client()
    client.heartbeat.start()
    await client.pinged(2)  # busy: a packet of the client came, the answer to the first ping did not yet
    client.heartbeat.stop()

    client.heartbeat.answered()
    assert client.heartbeat.confirmed == client.pings[0]

    client.heartbeat.answered()
    assert client.heartbeat.confirmed == client.pings[1]


async def test_an_answer_to_a_ping_from_before_a_replay_vouches_for_nothing() -> None:
    client = Client()
    client.heartbeat.start()
    await client.pinged(1)
    client.heartbeat.stop()

    client.heartbeat.void()
    client.heartbeat.answered()

    assert client.heartbeat.confirmed == 0


async def test_an_answer_nobody_asked_for_vouches_for_nothing() -> None:
    client = Client(ping_interval=60)
    client.heartbeat.start()

    client.heartbeat.answered()
    client.heartbeat.stop()

    assert client.heartbeat.confirmed == 0


async def test_a_client_that_is_not_heard_after_a_ping_is_dead() -> None:
    client = Client(is_heard=False)
    client.heartbeat.start()

    async with asyncio.timeout(10):
        while not client.is_dead:
            client.news.clear()
            await client.news.wait()

    assert len(client.pings) == 1


@pytest.mark.parametrize("alive", [True, False])
async def test_a_client_is_asked_for_a_sign_of_life_at_once(alive: bool) -> None:
    client = Client(ping_interval=60, ping_timeout=60, is_heard=False)
    client.heartbeat.start()

    asking = asyncio.create_task(client.heartbeat.answers(5 if alive else 0.01))
    await client.pinged(1)
    again = asyncio.create_task(client.heartbeat.answers(5 if alive else 0.01))
    await asyncio.sleep(0)
    if alive:
        client.heartbeat.heard()

    assert (await asking, await again) == (alive, alive)
    assert len(client.pings) == 1
    client.heartbeat.stop()
    assert await client.heartbeat.answers(5) is False
