"""Pings and their answers: whether a client still lives, and how much of what was sent it certainly has."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

logger = logging.getLogger(__name__)

SLACK: Final = 0.002  # of a wait: 20 ms of 10 s
"""How much later than due a ping may leave, so that several leave, and are answered, in one turn of the loop."""


class Client(Protocol):
    """What a heartbeat needs of the link it belongs to."""

    def position(self) -> int:
        """Where the event log stands."""

    def ping(self) -> None: ...
    def lost(self) -> None:
        """The client is dead."""


class Heartbeat:
    """The heartbeat of one connection. Pings take the way of all packets, so an answer vouches for what went before.

    Any packet from the client counts as life. Answers come in the order of the pings.
    """

    __slots__ = ("confirmed", "deaf", "_client", "_heard", "_pulse", "_sign", "_started", "_under_way")

    def __init__(self, client: Client, pulse: "Pulse") -> None:
        self.confirmed = 0
        """Position in the event log up to which the client has everything: it answered a ping sent after it."""
        self.deaf = False
        """Nothing is read from the client for now, through no fault of its own: its silence means nothing."""
        self._client = client
        self._pulse = pulse
        self._under_way: list[int | None] = []
        """Positions of the pings not answered yet; None vouches for nothing."""
        self._heard = True
        self._sign: asyncio.Event | None = None
        self._started = False

    def start(self) -> None:
        self._started = True
        self._pulse.rest(self)

    def stop(self) -> None:
        self._started = False
        self._pulse.forget(self)

    def heard(self) -> None:
        self._heard = True
        if self._sign is not None:
            self._sign.set()

    def answered(self) -> None:
        if self._under_way and (position := self._under_way.pop(0)) is not None:
            self.confirmed = position
        if self._started and not self._under_way:
            self._pulse.rest(self)

    def void(self) -> None:
        """What is sent now is about older positions: no ping sent before vouches for it, answered or not."""
        self._under_way = [None] * len(self._under_way)
        self.confirmed = 0

    async def answers(self, within_s: float) -> bool:
        """Whether the client gives a sign of life within *within_s* seconds: it is pinged at once, if it is not yet."""
        if not self._started:
            return False
        sign = self._sign = self._sign or asyncio.Event()
        sign.clear()
        if not self._under_way:
            self.beat()
        try:
            async with asyncio.timeout(within_s):
                await sign.wait()
        except TimeoutError:
            return self.deaf
        return self._started

    # What the pulse calls

    def beat(self) -> None:
        """Ping the client, and wait for its answer."""
        self._heard = False
        self._under_way.append(self._client.position())
        self._pulse.expect(self)
        self._client.ping()

    def late(self) -> None:
        """No answer came in time."""
        if self._heard or self.deaf:  # busy, but alive; at once, since clients expect pings at that pace
            self.beat()
        else:
            self._client.lost()


class Pulse:
    """The times of all heartbeats: when to ping (*interval_s* after the last answer), when an answer is late
    (*timeout_s* after its ping)."""

    def __init__(self, interval_s: float, timeout_s: float) -> None:
        self._resting = _Wait(interval_s, Heartbeat.beat)
        self._expecting = _Wait(timeout_s, Heartbeat.late)

    def rest(self, heartbeat: Heartbeat) -> None:
        """Have *heartbeat* beat after the interval, whatever it waits for now."""
        self._expecting.end(heartbeat)
        self._resting.begin(heartbeat)

    def expect(self, heartbeat: Heartbeat) -> None:
        """Tell *heartbeat* that it is late after the timeout, whatever it waits for now."""
        self._resting.end(heartbeat)
        self._expecting.begin(heartbeat)

    def forget(self, heartbeat: Heartbeat) -> None:
        self._resting.end(heartbeat)
        self._expecting.end(heartbeat)


class _Wait:
    """Many that wait for the same number of seconds, so that who began first is due first, by one timer for all."""

    def __init__(self, seconds: float, then: Callable[[Heartbeat], None]) -> None:
        self._seconds = seconds
        self._then = then
        self._due: OrderedDict[Heartbeat, float] = OrderedDict()  # monotonic seconds
        self._timer: asyncio.TimerHandle | None = None
        self._firing = False

    def begin(self, heartbeat: Heartbeat) -> None:
        self._due.pop(heartbeat, None)  # it goes to the end
        self._due[heartbeat] = asyncio.get_running_loop().time() + self._seconds
        self._arm()

    def end(self, heartbeat: Heartbeat) -> None:
        self._due.pop(heartbeat, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        """Set the timer for the one that is due first, unless it is set; there it stays when that one leaves."""
        if self._due and self._timer is None and not self._firing:
            due = next(iter(self._due.values()))
            self._timer = asyncio.get_running_loop().call_at(due + self._seconds * SLACK, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._firing = True  # who begins anew meanwhile is due long after those not looked at yet
        now = asyncio.get_running_loop().time()
        while self._due:
            heartbeat, due = next(iter(self._due.items()))
            if due > now:
                break
            self.end(heartbeat)
            try:
                self._then(heartbeat)
            except Exception:  # or nobody would be pinged any more
                logger.exception("a heartbeat failed")
        self._firing = False
        self._arm()
