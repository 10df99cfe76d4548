"""Snapshots for clients that subscribe: none older than the events they get, and one read for many who ask together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from handlers.realtime import Realtime
from store.records import JSON

TRIES: Final = 3
"""Reads of a snapshot in a room where events are sent meanwhile."""


class FreshReads:
    """The reads under way for the rooms of one namespace."""

    def __init__(self, sio: Realtime, namespace: str) -> None:
        self._sio = sio
        self._namespace = namespace
        self._under_way: dict[str, asyncio.Future[tuple[JSON, bool]]] = {}  # by room

    async def read(self, room: str, read: Callable[[], Awaitable[JSON]]) -> JSON:
        """What *read* returns, not older than the last event in *room*: the client would take it for newer.

        An event that was sent meanwhile has it read again; in a room that is never quiet the last try's stands.
        """
        for _ in range(TRIES):
            with self._sio.watch(room, self._namespace) as watch:
                snapshot, moved = await self._shared(room, read)
            if not (moved or watch.moved):
                break
        return snapshot

    async def _shared(self, room: str, read: Callable[[], Awaitable[JSON]]) -> tuple[JSON, bool]:
        """One read for all who ask at the same time, as a thousand clients do that come back together.

        Whoever asks in the middle of it is right to take it, unless an event was sent since it began; and a second try
        never meets a read that began before the first.
        """
        under_way = self._under_way.get(room)
        if under_way is None or under_way.done():  # done: events may have been sent since
            under_way = self._under_way[room] = asyncio.ensure_future(self._watched(room, read))
            under_way.add_done_callback(lambda done: self._under_way.get(room) is done and self._under_way.pop(room))
        return await asyncio.shield(under_way)  # one who gives up takes it from nobody

    async def _watched(self, room: str, read: Callable[[], Awaitable[JSON]]) -> tuple[JSON, bool]:
        """What *read* returns, and whether an event was sent to *room* meanwhile."""
        with self._sio.watch(room, self._namespace) as watch:
            snapshot = await read()
        return snapshot, watch.moved
