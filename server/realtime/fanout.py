"""Who is in which room, and one event to all of them: encoded once, handed to each socket without a task or a wait."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import socketio
from bidict import ValueDuplicationError
from socketio.async_pubsub_manager import AsyncPubSubManager
from socketio.packet import EVENT

from server.realtime.broadcast import Audience
from server.realtime.frames import Frame, encode
from server.realtime.turn import Crowd

if TYPE_CHECKING:
    from server.realtime.server import RealtimeServer

MAX_CROWDS: Final = 64

_collapse: Final[ContextVar[str | None]] = ContextVar("collapse", default=None)  # through upstream's pub/sub methods


@dataclass(slots=True, eq=False)
class Watch:
    """Whether something was sent to a room meanwhile."""

    moved: bool = False


@dataclass(slots=True, eq=False)
class _Event:
    """An event as it was given: its name and data, without an offset."""

    args: list[Any]
    collapse: str | None


class Fanout(socketio.AsyncManager):  # type: ignore[misc]
    """The client manager of one process.

    Restated from upstream: ``emit``, ``pre_connect``, ``basic_disconnect``, ``get_rooms``, ``_generate_ack_id``.
    """

    server: "RealtimeServer"
    rooms: dict[str, dict[Any, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rooms_of: dict[tuple[str, str], set[Any]] = {}
        self._early: dict[str, list[_Event]] = {}  # by sid, of clients whose connect handlers still run
        self._watches: dict[tuple[str, Any], list[Watch]] = {}  # by namespace and room
        self._crowds: dict[tuple[str, Any], Crowd] = {}  # by namespace and rooms; forgotten at each change
        self._ack_ids = itertools.count(1)  # one for all: an ack of a lost connection never meets a newer callback

    # Events

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
        to: Any = None,
        collapse: str | None = None,
        **_kwargs: Any,
    ) -> None:
        """Send an event to the sockets in a room, or several, or all. It never waits: slow clients are the links'
        business, so an event made later is never sent earlier."""
        args = [event, *data] if isinstance(data, tuple) else [event] if data is None else [event, data]
        rooms = _as_rooms(room if to is None else to)  # an empty list is nobody, not everybody
        skip = _as_sids(skip_sid)
        if callback is not None:
            self._emit_with_ack(args, namespace, rooms, skip, callback)
            return
        made = _Event(args, collapse or _collapse.get())
        self._send(made, namespace, rooms, skip)
        if rooms is not None:
            for sid in self.pending_connect.get(namespace, ()):
                if sid in rooms and sid not in skip:  # meant for it alone: it gets it after CONNECT
                    self._early.setdefault(sid, []).append(made)

    def _send(self, event: _Event, namespace: str, rooms: tuple[Any, ...] | None, skip: Collection[str]) -> None:
        logged = self.server.entrance.logs(namespace)
        if not logged and namespace not in self.rooms:
            return
        log = self.server.entrance.log
        args = [*event.args, log.next_offset()] if logged else event.args
        frame = encode(EVENT, namespace, args, collapse=event.collapse)
        if logged:  # also when nobody is there right now; no await before the delivery: log order is wire order
            log.append(asyncio.get_running_loop().time(), namespace, rooms, skip, frame)
        self._deliver(frame, namespace, rooms, skip)

    def _deliver(self, frame: Frame, namespace: str, rooms: tuple[Any, ...] | None, skip: Collection[str]) -> None:
        if self._watches and rooms is not None:
            for room in rooms:
                for watch in self._watches.get((namespace, room), ()):
                    watch.moved = True
        crowd = self._crowd(namespace, rooms, skip)
        self.server.eio.turn.send_to_all(crowd, frame)
        counters = self.server.counters
        counters.events += 1
        counters.deliveries += len(crowd)

    def _crowd(self, namespace: str, rooms: tuple[Any, ...] | None, skip: Collection[str]) -> Crowd:
        """The links an event goes to. The same object as for the last such event, while nobody came or went."""
        occupied = self.rooms.get(namespace, {})
        key = namespace, rooms if rooms is None else tuple([room for room in rooms if room in occupied])
        crowd = self._crowds.get(key) if not skip else None
        if crowd is None:
            links, outside = self.server.eio.sockets, {*skip, *self.pending_connect.get(namespace, ())}
            recipients = self._participants(namespace, rooms)
            members = [links[at] for sid, at in recipients.items() if sid not in outside and at in links]
            crowd = Audience(members, self.server.eio.turn.changes)
            if not skip:
                if len(self._crowds) >= MAX_CROWDS:
                    self._crowds.clear()
                self._crowds[key] = crowd
        return crowd

    @contextmanager
    def watch(self, room: str, namespace: str) -> Iterator[Watch]:
        """Note whether an event is sent to *room* while the block runs, by whichever process."""
        watch = Watch()
        watches = self._watches.setdefault((namespace, room), [])
        watches.append(watch)
        try:
            yield watch
        finally:
            watches.remove(watch)
            if not watches:
                del self._watches[namespace, room]

    def _emit_with_ack(
        self,
        args: list[Any],
        namespace: str,
        rooms: tuple[Any, ...] | None,
        skip: Collection[str],
        callback: Callable[..., Any],
    ) -> None:
        for sid, eio_sid in self._participants(namespace, rooms).items():
            link = self.server.eio.sockets.get(eio_sid)
            if link is not None and sid not in skip and self.is_connected(sid, namespace):
                link.send_frame(encode(EVENT, namespace, args, self._generate_ack_id(sid, callback)))

    def _participants(self, namespace: str, rooms: tuple[Any, ...] | None) -> Mapping[str, str]:
        """sid to Engine.IO sid; each client once. Not a copy: not to be kept across an await."""
        members = self.rooms.get(namespace)
        if members is None:
            return {}
        if rooms is None:
            return _forward(members.get(None))
        if len(rooms) == 1:
            return _forward(members.get(rooms[0]))
        union: dict[str, str] = {}
        for room in rooms:
            union.update(_forward(members.get(room)))
        return union

    def send_early(self, sid: str, namespace: str, *, anew: bool) -> None:
        """Send what was sent to *sid* alone before it was connected. Without *anew* it has it already, in a replay.

        It is made an event of its own: the log then has it behind everything that was not for this client yet.
        """
        for event in self._early.pop(sid, []):
            if anew:
                self._send(event, namespace, (sid,), ())

    def _generate_ack_id(self, sid: str, callback: Callable[..., Any]) -> int:
        ack_id = next(self._ack_ids)
        self.callbacks.setdefault(sid, {})[ack_id] = callback
        return ack_id

    async def close(self) -> None:
        """Let go of what is shared with other processes: nothing here."""

    # Membership, with an index by client: upstream walks all rooms of the namespace for each client that leaves

    def admit(self, eio_sid: str, namespace: str, sid: str, rooms: Iterable[Any] = ()) -> bool:
        """Register a client that is to pass its connect handler yet; False when it is in the namespace already."""
        try:
            self.basic_enter_room(sid, namespace, None, eio_sid=eio_sid)
        except ValueDuplicationError:
            return False
        for room in (sid, *rooms):
            self.basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        self.pending_connect.setdefault(namespace, []).append(sid)
        self._crowds.clear()
        return True

    def settle(self, sid: str, namespace: str) -> None:
        """Make an admitted client a connected one."""
        pending = self.pending_connect[namespace]
        pending.remove(sid)
        if not pending:
            del self.pending_connect[namespace]
        self._crowds.clear()

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        sid: str = self.server.eio.generate_id()
        return sid if self.admit(eio_sid, namespace, sid) else None

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        self._rooms_of.setdefault((namespace, sid), set()).add(room)
        self._crowds.clear()

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        if (rooms := self._rooms_of.get((namespace, sid))) is not None:
            rooms.discard(room)
        self._crowds.clear()

    def basic_disconnect(self, sid: str, namespace: str, **_kwargs: Any) -> None:
        self._crowds.clear()
        for room in self._rooms_of.pop((namespace, sid), ()):
            super().basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        self._early.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        return [room for room in self._rooms_of.get((namespace, sid), ()) if room is not None]


class SharedFanout(AsyncPubSubManager, Fanout):  # type: ignore[misc]
    """The client manager of one of several processes: upstream's pub/sub, delivering locally through :class:`Fanout`.

    Each process logs every event under its own epoch; a client recovers on the process that knows its session.
    """

    async def emit(self, event: str, data: Any, *args: Any, collapse: str | None = None, **kwargs: Any) -> None:
        token = _collapse.set(collapse)
        try:
            await super().emit(event, data, *args, **kwargs)
        finally:
            _collapse.reset(token)

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        token = _collapse.set(message.get("collapse", _collapse.get()))
        try:
            await super()._handle_emit(message)
        finally:
            _collapse.reset(token)

    async def close(self) -> None:
        """Stop listening to the other processes."""
        if (listening := getattr(self, "thread", None)) is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _publish(self, data: dict[str, Any]) -> None:
        if data.get("method") == "emit" and (collapse := _collapse.get()) is not None:
            data = {**data, "collapse": collapse}
        await super()._publish(data)


class RedisFanout(SharedFanout, socketio.AsyncRedisManager):  # type: ignore[misc]
    """:class:`SharedFanout` over Redis, with time-outs, so that a Redis that hangs is noticed."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(
            url,
            redis_options={
                "socket_timeout": 5,
                "socket_connect_timeout": 5,
                "socket_keepalive": True,
                "health_check_interval": 15,
            },
            **options,
        )

    async def close(self) -> None:
        await super().close()
        for connection in (self.pubsub, self.redis):
            if connection is not None:
                await connection.aclose()


def _forward(room: Any) -> Mapping[str, str]:
    forward: Mapping[str, str] = {} if room is None else room._fwdm  # the dict inside the bidict
    return forward


def _as_rooms(room: Any) -> tuple[Any, ...] | None:
    if room is None:
        return None
    if isinstance(room, (list, tuple, set, frozenset)):
        return tuple(dict.fromkeys(room))
    return (room,)


def _as_sids(sids: Any) -> Collection[str]:
    if not sids:
        return ()
    return (sids,) if isinstance(sids, str) else tuple(sids)
