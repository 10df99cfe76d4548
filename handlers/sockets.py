"""Socket.IO for current clients: who gets in, and which rooms they enter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from handlers.acks import acked
from handlers.admission import PATIENCE_S, Admission
from handlers.auth import Tokens
from handlers.events import AGENT_ROOM, AGENTS_ROOM, NAMESPACE, SCHEDULER_ROOM
from handlers.fresh import FreshReads
from handlers.realtime import Realtime
from handlers.schemas import ID_FORM
from handlers.snapshots import Snapshots, Statistician
from scheduler.clock import Clock, SystemClock
from store.base import Store
from store.errors import Conflict, Invalid
from store.records import AGENT_ID, JSON

MOST_ROOMS: Final = 1000
"""Subscriptions of one socket; who wants more agents than this wants all of them."""


class Subscriptions:
    """Namespace ``/``. Rooms: ``agent:<agentId>``, ``monitoring:agents``, ``monitoring:scheduler``.

    Its handlers are registered with *sio* here. Any role may subscribe; so may a socket without a token where
    *anonymous* ones are let in.
    """

    def __init__(
        self,
        sio: Realtime,
        store: Store,
        service: Statistician,
        tokens: Tokens,
        *,
        anonymous: bool = False,
        max_per_user: int = 5,
        clock: Clock | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._sio = sio
        self._snapshots = Snapshots(store, service)
        self._reads = FreshReads(sio, NAMESPACE)
        self._admission = Admission(
            sio,
            NAMESPACE,
            tokens,
            clock or SystemClock(),
            anonymous=anonymous,
            max_per_user=max_per_user,
            patience_s=patience_s,
        )
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            "connect": self.connect,
            "disconnect": self.disconnect,
            "agent:subscribe": self.subscribe_agent,
            "agent:unsubscribe": self.unsubscribe_agent,
            "monitoring:subscribe": self.subscribe_monitoring,
            "monitoring:unsubscribe": self.unsubscribe_monitoring,
        }
        for event, handler in handlers.items():
            sio.on(event, handler, namespace=NAMESPACE)

    async def connect(self, sid: str, environ: object, auth: object = None) -> None:
        """Let a client in by the token in its ``auth``. One that recovers its session is asked for it again."""
        await self._admission.enter(sid, auth)

    async def disconnect(self, sid: str, reason: str) -> None:
        """The rooms are the server's business: it keeps them for a client that may come back."""
        self._admission.leave(sid)

    @acked
    async def subscribe_agent(self, sid: str, agent_id: object) -> JSON:
        """``agent:subscribe``: one agent's events, whether it exists yet or not."""
        wanted = named_agent(agent_id)
        room = AGENT_ROOM.format(agentId=wanted)
        await enter(self._sio, sid, room, NAMESPACE)  # before the snapshot: no event falls between
        return await self._reads.read(room, lambda: self._snapshots.agent(wanted))

    @acked
    async def unsubscribe_agent(self, sid: str, agent_id: object) -> JSON:
        """``agent:unsubscribe``: also where nothing was subscribed."""
        await self._sio.leave_room(sid, AGENT_ROOM.format(agentId=named_agent(agent_id)), NAMESPACE)
        return None

    @acked
    async def subscribe_monitoring(self, sid: str, topic: object) -> JSON:
        """``monitoring:subscribe``: every agent's events (``agents``), or ``scheduler:status`` (``scheduler``)."""
        room = _monitoring_room(topic)
        await enter(self._sio, sid, room, NAMESPACE)
        snapshot = self._snapshots.agents if room == AGENTS_ROOM else self._snapshots.scheduler
        return await self._reads.read(room, snapshot)

    @acked
    async def unsubscribe_monitoring(self, sid: str, topic: object) -> JSON:
        """``monitoring:unsubscribe``: an agent that the socket subscribed to by its id stays subscribed."""
        await self._sio.leave_room(sid, _monitoring_room(topic), NAMESPACE)
        return None


async def enter(sio: Realtime, sid: str, room: str, namespace: str) -> None:
    """Enter a room, while the socket is there and has not too many.

    Raises:
        Conflict: it has left, or has ``MOST_ROOMS``.
    """
    rooms = sio.rooms(sid, namespace)
    if len(rooms) > MOST_ROOMS and room not in rooms:  # its own room is one of them
        raise Conflict(
            f"This socket has {MOST_ROOMS} subscriptions, which is the limit."
            ' To follow every agent, use monitoring:subscribe with "agents".'
        )
    try:
        await sio.enter_room(sid, room, namespace)
    except (ValueError, KeyError) as error:
        raise Conflict("The socket has left.") from error  # nobody hears this: it left after it asked


def named_agent(value: object) -> str:
    """The agent's id that a client sent.

    Raises:
        Invalid: it is none.
    """
    if not isinstance(value, str) or AGENT_ID.fullmatch(value) is None:
        raise Invalid(f"The agent's id {ID_FORM}.")
    return value


def _monitoring_room(topic: object) -> str:
    if topic == "agents":
        return AGENTS_ROOM
    if topic == "scheduler":
        return SCHEDULER_ROOM
    raise Invalid('There is nothing to monitor by that name; it must be "agents" or "scheduler".')
