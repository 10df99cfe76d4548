"""What the Socket.IO side needs of a realtime server; ``server.realtime.RealtimeServer`` is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from store.records import JSON


class Emitter(Protocol):
    """What sends events."""

    async def emit(self, event: str, data: JSON, *, to: Sequence[str], namespace: str, collapse: str | None) -> None:
        """Send *event* to every socket in one of the rooms *to*, to each once.

        To a socket that does not keep up, a newer event with the same *collapse* key replaces one that still waits.
        """
        ...


class Watch(Protocol):
    """Whether something was sent to a room meanwhile."""

    @property
    def moved(self) -> bool: ...


class Realtime(Emitter, Protocol):
    """What keeps sockets and rooms. A ``sid`` names one client in one namespace."""

    def on(self, event: str, handler: Callable[..., Awaitable[Any]], namespace: str) -> object:
        """Call *handler* with the ``sid`` and the arguments of each *event*; what it returns is the acknowledgement.

        ``connect`` gets ``(sid, environ, auth)`` and refuses with ``socketio.exceptions.ConnectionRefusedError``;
        ``disconnect`` gets ``(sid, reason)``, after a connect that was not refused, however the connection ended.
        """
        ...

    async def enter_room(self, sid: str, room: str, namespace: str) -> None:
        """Have *sid* get what is sent to *room*. ``ValueError`` or ``KeyError`` when it has left."""
        ...

    async def leave_room(self, sid: str, room: str, namespace: str) -> None: ...

    def rooms(self, sid: str, namespace: str) -> Sequence[str]:
        """The rooms it is in, its own (``sid``) among them."""
        ...

    def watch(self, room: str, namespace: str) -> AbstractContextManager[Watch]:
        """Note whether an event is sent to *room* while the block runs, by whichever server."""
        ...

    async def close_transport(self, sid: str, namespace: str) -> None:
        """Close the connection under a client, which reconnects by itself and asks its ``auth`` function again."""
        ...

    async def answers(self, sid: str, namespace: str, *, within_s: float) -> bool:
        """Whether the client gives a sign of life now; False too for one that is not connected."""
        ...
