"""Pings and their answers: whether a client still lives, and how much of what was sent it certainly has."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Pace(Protocol):
    """How often to ping, how long to wait, and where the event log stands."""

    ping_interval: float
    ping_timeout: float

    def position(self) -> int: ...


class Heartbeat:
    """The heartbeat of one connection. Pings take the way of all packets, so an answer vouches for what went before.

    Any packet from the client counts as life. Answers come in the order of the pings.
    """

    __slots__ = ("confirmed", "deaf", "_dead", "_heard", "_pace", "_ping", "_sign", "_timer", "_under_way")

    def __init__(self, pace: Pace, ping: Callable[[], None], dead: Callable[[], None]) -> None:
        self.confirmed = 0
        """Position in the event log up to which the client has everything: it answered a ping sent after it."""
        self.deaf = False
        """Nothing is read from the client for now, through no fault of its own: its silence means nothing."""
        self._pace = pace
        self._ping = ping
        self._dead = dead
        self._under_way: list[int | None] = []
        """Positions of the pings not answered yet; None vouches for nothing."""
        self._heard = True
        self._sign: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._set_timer(self._pace.ping_interval, self._beat)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        self._heard = True
        if self._sign is not None:
            self._sign.set()

    def answered(self) -> None:
        if self._under_way and (position := self._under_way.pop(0)) is not None:
            self.confirmed = position
        if self._timer is not None and not self._under_way:
            self._set_timer(self._pace.ping_interval, self._beat)

    def void(self) -> None:
        """What is sent now is about older positions: no ping sent before vouches for it, answered or not."""
        self._under_way = [None] * len(self._under_way)
        self.confirmed = 0

    async def answers(self, within_s: float) -> bool:
        """Whether the client gives a sign of life within *within_s* seconds: it is pinged at once, if it is not yet."""
        if self._timer is None:
            return False
        sign = self._sign = self._sign or asyncio.Event()
        sign.clear()
        if not self._under_way:
            self._beat()
        try:
            async with asyncio.timeout(within_s):
                await sign.wait()
        except TimeoutError:
            return self.deaf
        return self._timer is not None

    def _beat(self) -> None:
        self._heard = False
        self._under_way.append(self._pace.position())
        self._set_timer(self._pace.ping_timeout, self._late)
        self._ping()

    def _late(self) -> None:
        if self._heard or self.deaf:  # busy, but alive; at once, since clients expect pings at that pace
            self._beat()
        else:
            self._dead()

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)
