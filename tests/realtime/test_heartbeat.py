"""Pings: what an answer vouches for, and when a client counts as dead."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from server.realtime.heartbeat import SLACK, Heartbeat, Pulse


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
        self.heartbeat = Heartbeat(self, Pulse(self.ping_interval, self.ping_timeout))

    def position(self) -> int:
        self.at += 10
        return self.at

    def ping(self) -> None:
        self.pings.append(self.at)
        self.news.set()
        if self.is_heard:
            self.heartbeat.heard()

    def lost(self) -> None:
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


class Together:
    """Clients with one pulse and a clock that goes when it is told to; they note in what order they are pinged."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self._now)
        self.pings: list[int] = []
        self.lost: list[int] = []
        pulse = Pulse(INTERVAL_S, TIMEOUT_S)
        self.heartbeats = [Heartbeat(Member(self, number), pulse) for number in range(count)]

    async def after(self, seconds: float) -> list[int]:
        """Who was pinged when so much time had passed."""
        self._now += seconds
        self.pings = []
        for _ in range(5):
            await asyncio.sleep(0)
        return self.pings


INTERVAL_S, TIMEOUT_S = 10.0, 60.0


@dataclass
class Member:
    group: Together
    number: int

    def position(self) -> int:
        return 1

    def ping(self) -> None:
        self.group.pings.append(self.number)
        if self.number == 1:
            raise OSError("broken")

    def lost(self) -> None:
        self.group.lost.append(self.number)


async def test_clients_that_are_due_within_the_slack_are_pinged_together_whatever_ails_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = Together(5, monkeypatch)
    slack = INTERVAL_S * SLACK
    for heartbeat in group.heartbeats:
        heartbeat.start()
        await group.after(slack / 5)
    group.heartbeats[3].stop()

    assert await group.after(INTERVAL_S - slack / 4) == []
    assert await group.after(slack / 2) == [0, 1, 2, 4]
    assert "a heartbeat failed" in caplog.text
    for heartbeat in group.heartbeats:
        heartbeat.stop()


async def test_a_client_is_pinged_again_so_long_after_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Together(3, monkeypatch)
    for heartbeat in group.heartbeats[::2]:
        heartbeat.start()
    assert await group.after(INTERVAL_S * 1.1) == [0, 2]

    group.heartbeats[2].answered()
    await group.after(2)
    group.heartbeats[0].answered()

    assert await group.after(INTERVAL_S - 1) == [2]
    assert await group.after(2) == [0]
    for heartbeat in group.heartbeats:
        heartbeat.stop()


async def test_one_that_is_busy_and_pinged_again_keeps_nobody_from_being_found_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Together(3, monkeypatch)
    busy, dead = group.heartbeats[::2]
    busy.start()
    await group.after(1)
    dead.start()
    assert await group.after(INTERVAL_S - 0.5) == [0]
    assert await group.after(1) == [2]
    busy.heard()

    assert await group.after(TIMEOUT_S - 0.8) == [0]
    await group.after(1)

    assert group.lost == [2]
    for heartbeat in group.heartbeats:
        heartbeat.stop()
