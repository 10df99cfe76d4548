"""Socket.IO for earlier clients: the same subscriptions under older names, and namespace ``/agents``.

To be rid of it one day: remove this file and ``earlier_events.py``, its lines in ``server/parts.py`` and its tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from handlers.acks import acked
from handlers.admission import Admission
from handlers.auth import Tokens
from handlers.earlier_events import AGENTS_NAMESPACE, EARLIER_ROOM, earlier_tellings
from handlers.events import AGENT_ROOM, NAMESPACE, SCHEDULER_ROOM, send
from handlers.fresh import FreshReads
from handlers.realtime import Realtime
from handlers.snapshots import Snapshots, Statistician
from handlers.sockets import enter, named_agent
from scheduler.clock import Clock, SystemClock
from scheduler.events import Event
from store.base import Store
from store.records import JSON


class EarlierClients:
    """Beside ``Subscriptions``, and after it. Its handlers are registered with *sio* here.

    On ``/``, who subscribed by an earlier name gets what current clients get, and ``agent-status-update`` and
    ``agent-log``. Who may come to ``/agents`` is settled as on ``/``; a user's sockets are counted there by
    themselves. These clients seldom send a token, so they mostly need *anonymous*.

    Where no earlier client has come yet, nothing is made for them. *shared*: other server processes may have some.
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
        shared: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._sio = sio
        self._snapshots = Snapshots(store, service)
        self._reads = {namespace: FreshReads(sio, namespace) for namespace in (NAMESPACE, AGENTS_NAMESPACE)}
        self._any = shared
        self._admission = Admission(
            sio,
            AGENTS_NAMESPACE,
            tokens,
            clock or SystemClock(),
            anonymous=anonymous,
            max_per_user=max_per_user,
        )
        handlers: dict[tuple[str, str], Callable[..., Awaitable[Any]]] = {
            (NAMESPACE, "subscribe-agent-updates"): self.subscribe_agent,
            (NAMESPACE, "unsubscribe-agent-updates"): self.unsubscribe_agent,
            (NAMESPACE, "agent:unsubscribe"): self.unsubscribe_agent,  # one subscription: either name ends it
            (NAMESPACE, "subscribe-scheduler-updates"): self.subscribe_scheduler,
            (NAMESPACE, "unsubscribe-scheduler-updates"): self.unsubscribe_scheduler,
            (AGENTS_NAMESPACE, "connect"): self.connect,
            (AGENTS_NAMESPACE, "disconnect"): self.disconnect,
            (AGENTS_NAMESPACE, "join:agent"): self.join_agent,
        }
        for (namespace, event), handler in handlers.items():
            sio.on(event, handler, namespace=namespace)

    async def publish(self, event: Event) -> None:
        """Tell earlier clients of *event* what current ones are not told, or not in these words."""
        if self._any:
            for definition, payload in earlier_tellings(event):
                await send(self._sio, definition, payload)

    @acked
    async def subscribe_agent(self, sid: str, agent_id: object) -> JSON:
        """``subscribe-agent-updates``: as ``agent:subscribe``, and the agent's status and log in their older form."""
        wanted = named_agent(agent_id)
        self._any = True
        for room in (AGENT_ROOM, EARLIER_ROOM):
            await enter(self._sio, sid, room.format(agentId=wanted), NAMESPACE)
        return await self._agent(wanted, NAMESPACE)

    @acked
    async def unsubscribe_agent(self, sid: str, agent_id: object) -> JSON:
        """``unsubscribe-agent-updates``: by whichever name it was subscribed."""
        wanted = named_agent(agent_id)
        for room in (AGENT_ROOM, EARLIER_ROOM):
            await self._sio.leave_room(sid, room.format(agentId=wanted), NAMESPACE)
        return None

    @acked
    async def subscribe_scheduler(self, sid: str, _: object) -> JSON:
        """``subscribe-scheduler-updates``: ``scheduler:status``."""
        await enter(self._sio, sid, SCHEDULER_ROOM, NAMESPACE)
        return await self._reads[NAMESPACE].read(SCHEDULER_ROOM, self._snapshots.scheduler)

    @acked
    async def unsubscribe_scheduler(self, sid: str, _: object) -> JSON:
        """``unsubscribe-scheduler-updates``."""
        await self._sio.leave_room(sid, SCHEDULER_ROOM, NAMESPACE)
        return None

    async def connect(self, sid: str, environ: object, auth: object = None) -> None:
        """Let a client into ``/agents``."""
        await self._admission.enter(sid, auth)

    async def disconnect(self, sid: str, reason: str) -> None:
        """A client of ``/agents`` is gone, or may be back."""
        self._admission.leave(sid)

    @acked
    async def join_agent(self, sid: str, agent_id: object) -> JSON:
        """``join:agent`` on ``/agents``: the runs of one agent, for as long as the client stays."""
        wanted = named_agent(agent_id)
        self._any = True
        await enter(self._sio, sid, AGENT_ROOM.format(agentId=wanted), AGENTS_NAMESPACE)
        return await self._agent(wanted, AGENTS_NAMESPACE)

    async def _agent(self, agent_id: str, namespace: str) -> JSON:
        room = AGENT_ROOM.format(agentId=agent_id)
        return await self._reads[namespace].read(room, lambda: self._snapshots.agent(agent_id))
