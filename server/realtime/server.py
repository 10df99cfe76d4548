"""The Socket.IO server: who gets in, who comes back, and what happens to the packets of those who are in."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import socketio
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
)

from server.realtime.counters import Counters, Metrics
from server.realtime.engine import Engine
from server.realtime.eventlog import EventLog
from server.realtime.fanout import Fanout
from server.realtime.frames import Frame, ProtocolError, decode, encode
from server.realtime.link import TRANSPORT_CLOSE, Link
from server.realtime.sessions import Session, SessionTable

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Identify = Callable[[Environ, Any], object]

HANDLERS_PER_CLIENT: Final = 32  # running at once; then no more is read from that client
MAX_REPLAY_BYTES: Final = 8 * 1024 * 1024  # a client that missed more is better off with fresh snapshots
CLIENT_LEFT: Final = "client disconnect"
SERVER_SENT_AWAY: Final = "server disconnect"


class RealtimeServer(socketio.AsyncServer):  # type: ignore[misc]
    """A :class:`socketio.AsyncServer` for the application; what differs is in the package's docstring.

    Connect handlers take ``(sid, environ, auth)`` and may ask :meth:`recovered`. *identity* names the user behind
    ``(environ, auth)``: a session is only recovered by whom it belonged to; it must not raise for a bad token.

    Restated from upstream: ``_handle_connect``, ``_handle_disconnect``, ``_handle_event``, ``_handle_event_internal``,
    ``_handle_eio_message``, ``_handle_eio_disconnect``, ``disconnect``.
    """

    manager: Fanout
    eio: Engine

    def __init__(
        self,
        *,
        cors_allowed_origins: Sequence[str] = (),
        recovery_ms: int = 0,
        recovery_namespaces: Collection[str] = ("/",),
        identity: Identify | None = None,
        buffer_bytes: int = 1024 * 1024,
        ping_interval: float = 10.0,
        ping_timeout: float = 10.0,
        connect_timeout: float = 15.0,
        max_http_buffer_size: int = 1_000_000,
        client_manager: Fanout | None = None,
        namespaces: Sequence[str] | None = None,
    ) -> None:
        self.counters = Counters()
        self._identity = identity or (lambda environ, auth: None)
        self._recovering = frozenset(recovery_namespaces) if recovery_ms > 0 else frozenset[str]()
        self._log = EventLog(recovery_ms / 1000)
        self._sessions = SessionTable(recovery_ms / 1000, self._cut_for_takeover)
        self._recovered: set[str] = set()  # sids
        self._entering: dict[str, asyncio.Event] = {}  # by Engine.IO sid: a connect handler runs
        self._running: dict[str, asyncio.Semaphore] = {}  # by Engine.IO sid: room for event handlers
        self._attachments_left: dict[str, int] = {}  # by Engine.IO sid: bytes a packet's attachments may still have
        self._sweeper: asyncio.TimerHandle | None = None
        quiet = _quiet_logger()
        super().__init__(
            client_manager=client_manager or Fanout(),
            logger=quiet,
            engineio_logger=quiet,
            namespaces=namespaces,
            cors_allowed_origins=_origin_check(cors_allowed_origins),
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_http_buffer_size=max_http_buffer_size,
            buffer_bytes=buffer_bytes,
            connect_timeout=connect_timeout,
            counters=self.counters,
        )
        self.eio.position = lambda: self._log.head

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    # For the application

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
        *,
        collapse: str | None = None,
    ) -> None:
        """As upstream, and: *to* may be several rooms; a client in more than one of them gets the event once.

        Without a message queue it returns without having waited for anything. While a socket is congested, an event
        replaces a waiting older one with the same *collapse* key: only for events the newest of which says it all.

        Raises:
            ValueError, TypeError: *data* holds what JSON, or a JavaScript client, does not take.
        """
        await self.manager.emit(
            event,
            data,
            namespace or "/",
            room=room if to is None else to,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
            collapse=collapse,
        )

    def recovered(self, sid: str) -> bool:
        """Whether the client came back to its session: same sid, rooms and saved session as before.

        In the connect handler the rooms and the session are there already; the events it missed follow the handler.
        """
        return sid in self._recovered

    async def close_transport(self, sid: str, namespace: str = "/") -> None:
        """Close the connection under a client, which an unchanged client answers by reconnecting, asking its ``auth``
        function again. :meth:`disconnect` is the opposite: go away and stay away."""
        link = self._link_of(sid, namespace)
        if link is not None:
            await link.close(reason=TRANSPORT_CLOSE)

    async def shutdown(self) -> None:
        """Part from every client, so that they reconnect; to be awaited before the web server stops. Bounded."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.eio.shutdown()

    def metrics(self) -> Metrics:
        links = list(self.eio.sockets.values())
        return Metrics(
            sockets=len(links),
            congested=sum(link.congested for link in links),
            backlog_bytes=sum(link.backlog_bytes for link in links),
            sessions=self._sessions.saved,
            log_events=len(self._log),
            log_bytes=self._log.bytes,
            events=self.counters.events,
            deliveries=self.counters.deliveries,
            recovered=self.counters.recovered,
            replayed=self.counters.replayed,
            refused=dict(self.counters.refused),
            drops=dict(self.counters.drops),
        )

    async def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Enter a room; also for a client whose connection broke a moment ago and who will be back."""
        if (session := self._sessions.saved_by_sid(namespace or "/", sid)) is not None:
            session.rooms |= {room}
        else:
            await super().enter_room(sid, room, namespace)

    async def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Leave a room; as :meth:`enter_room`."""
        if (session := self._sessions.saved_by_sid(namespace or "/", sid)) is not None:
            session.rooms -= {room}
        else:
            await super().leave_room(sid, room, namespace)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Send a client away for good: it does not reconnect by itself and does not recover."""
        namespace = namespace or "/"
        if (session := self._sessions.saved_by_sid(namespace, sid)) is not None:
            self._sessions.drop(session)
        here = self.manager.is_connected(sid, namespace) if ignore_queue else None
        if here is None:
            here = await self.manager.can_disconnect(sid, namespace)
        if here:
            link = self._link_of(sid, namespace)
            if link is not None:
                link.send_frame(encode(DISCONNECT, namespace))
                await self._leave(link.sid, namespace, SERVER_SENT_AWAY, for_good=True)

    # For the client manager

    def event_offset(self, namespace: str) -> str | None:
        """What the next event in *namespace* must end with; None when nobody is there who could ever need it."""
        return self._log.next_offset() if namespace in self._recovering and self._sessions else None

    def log_event(self, namespace: str, rooms: tuple[Any, ...] | None, skip: Collection[str], frame: Frame) -> None:
        if namespace in self._recovering and self._sessions:
            places = None if rooms is None else frozenset(rooms)
            self._log.append(asyncio.get_running_loop().time(), namespace, places, skip, frame)

    # Connecting

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        namespace = namespace or "/"
        link = self.eio.sockets.get(eio_sid)
        if link is None:
            return
        if not self._serves(namespace):
            link.send_frame(encode(CONNECT_ERROR, namespace, {"message": "Invalid namespace"}))
            return
        settled = self._entering[eio_sid] = asyncio.Event()
        try:
            await self._enter(link, namespace, data)
        finally:
            self._entering.pop(eio_sid, None)
            settled.set()

    async def _enter(self, link: Link, namespace: str, data: Any) -> None:
        """Run the connect handler for a fresh or a recovered client, and let it in, or not."""
        pid, offset, auth = _split_auth(data) if namespace in self._recovering else (None, None, data)
        session, position = await self._session_for(link, namespace, pid, offset, auth)
        sid = session.sid if session is not None else self.eio.generate_id()
        if not self.manager.admit(link.sid, namespace, sid, session.rooms if session is not None else ()):
            self._give_up(session, position)
            link.send_frame(encode(CONNECT_ERROR, namespace, {"message": "Already connected"}))
            return
        if session is not None and position is not None:
            link.session[namespace] = session.data
            self._recovered.add(sid)
        entered = refused = False
        try:
            refusal = await self._ask_connect_handler(link, sid, namespace, auth)
            if refusal is not None:
                refused = refusal is not _OUR_FAULT
                link.send_frame(encode(CONNECT_ERROR, namespace, refusal))
            elif link.closing:  # left while the handler ran; what the handler began is undone by the disconnect handler
                await self._run_disconnect_handler(namespace, sid, TRANSPORT_CLOSE)
            else:
                self._let_in(link, sid, namespace, session, position)
                entered = True
        finally:
            if not entered:
                self._recovered.discard(sid)
                self.manager.basic_disconnect(sid, namespace)
                self._give_up(session, None if refused else position)

    def _let_in(self, link: Link, sid: str, namespace: str, session: Session | None, position: int | None) -> None:
        """CONNECT, then what was missed, then what is live: without an await, so nothing is lost or doubled between.

        CONNECT comes first, unlike in Node: what a client gets before it, it keeps over a further cut, and would have
        twice after the next replay.
        """
        missed: list[Frame] = []
        if session is not None and position is not None:
            rooms = self.manager.get_rooms(sid, namespace)
            found = self._log.since(position, namespace, rooms, sid)
            if found is None:  # the log turned over while the handler ran
                link.cut("log overrun")
                found = []
            missed = found
            session.start = position
            self.counters.recovered += 1
            self.counters.replayed += len(missed)
        elif session is not None:
            session.start = self._log.head
        pending = self.manager.pending_connect[namespace]
        pending.remove(sid)
        if not pending:
            del self.manager.pending_connect[namespace]
        hello = {"sid": sid} if session is None else {"sid": sid, "pid": session.pid}
        link.entered_namespace()
        link.send_frame(encode(CONNECT, namespace, hello))
        early = self.manager.take_early(sid)
        if position is not None:
            if missed:  # what was sent to it early is among them
                link.send_replay(missed)
        else:
            for frame in early:
                link.send_frame(frame)

    async def _session_for(
        self, link: Link, namespace: str, pid: object, offset: object, auth: Any
    ) -> tuple[Session | None, int | None]:
        """The session of a connecting client, and the position it is to be replayed from when it is an old one."""
        if namespace not in self._recovering:
            return None, None
        identity = self._identity(self.environ[link.sid], auth)
        if isinstance(pid, str):
            claimed = await self._sessions.claim(pid, namespace, link.sid, identity)
            if isinstance(claimed, Session):
                position = max(claimed.start, self._log.position(offset))
                refusal = self._why_not_replay(claimed, position)
                if refusal is None:
                    return claimed, position
                self._sessions.drop(claimed)
                claimed = refusal
            self.counters.refused[claimed] += 1
        sid = self.eio.generate_id()
        return self._sessions.open(link.sid, sid, namespace, identity, self._log.head), None

    def _why_not_replay(self, session: Session, position: int) -> str | None:
        self._log.evict(asyncio.get_running_loop().time())
        missed = self._log.since(position, session.namespace, session.rooms, session.sid)
        if missed is None:
            return "forgotten"
        return "too much" if sum(len(frame.wire) for frame in missed) > MAX_REPLAY_BYTES else None

    async def _ask_connect_handler(self, link: Link, sid: str, namespace: str, auth: Any) -> Mapping[str, Any] | None:
        """None to let the client in, else what its ``connect_error`` says."""
        try:
            environ = self.environ[link.sid]  # KeyError: the link ended while its session was being claimed
            accepted = await self._trigger_event("connect", namespace, sid, environ, auth)
        except Refused as refusal:
            answer: Mapping[str, Any] = refusal.error_args
            return answer
        except ConnectionRefusedError as refusal:  # the builtin, raised by mistake for the other
            return {"message": str(refusal) or "Connection refused"}
        except Exception:
            if not link.closing:
                logger.exception("the connect handler of %s failed", namespace)
            return _OUR_FAULT
        return {"message": "Connection rejected"} if accepted is False else None

    def _give_up(self, session: Session | None, position: int | None) -> None:
        """A connect that led to nothing: an old session goes back for the next try, a new or a refused one ends."""
        if session is not None:
            if position is not None:
                self._save(session)
            else:
                self._sessions.drop(session)

    def _serves(self, namespace: str) -> bool:
        return namespace in self.handlers or namespace in self.namespace_handlers or namespace in self.namespaces

    def _cut_for_takeover(self, eio_sid: str) -> None:
        link = self.eio.sockets.get(eio_sid)
        if link is not None:
            link.cut("taken over")

    # Leaving

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        await self._leave(eio_sid, namespace or "/", reason or CLIENT_LEFT, for_good=True)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if (entering := self._entering.get(eio_sid)) is not None:
            await entering.wait()  # the connect handler may use its session to the end
        try:
            for namespace in list(self.manager.get_namespaces()):
                await self._leave(eio_sid, namespace, reason, for_good=False)
        finally:
            self.environ.pop(eio_sid, None)
            self._binary_packet.pop(eio_sid, None)
            self._attachments_left.pop(eio_sid, None)
            self._running.pop(eio_sid, None)

    async def _leave(self, eio_sid: str, namespace: str, reason: str, *, for_good: bool) -> None:
        """Take a client out of a namespace, and keep its session unless it goes *for_good*."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return
        link = self.eio.sockets.get(eio_sid)
        session = self._sessions.held(namespace, sid)
        if session is not None and link is not None:  # before the disconnect handler, which may leave rooms
            session.rooms = frozenset(self.manager.get_rooms(sid, namespace))
            session.data = link.session.get(namespace, {})
            session.start = max(session.start, link.confirmed)
        self.manager.pre_disconnect(sid, namespace)
        try:
            await self._run_disconnect_handler(namespace, sid, reason)
        finally:
            self._recovered.discard(sid)
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            if link is not None:
                link.left_namespace()
            if session is not None and for_good:
                self._sessions.drop(session)
            elif session is not None:
                self._save(session)

    async def _run_disconnect_handler(self, namespace: str, sid: str, reason: str) -> None:
        try:
            await self._trigger_event("disconnect", namespace, sid, reason)
        except Exception:
            logger.exception("the disconnect handler of %s failed", namespace)

    def _save(self, session: Session) -> None:
        self._sessions.release(session)
        if self._sweeper is None:
            self._sweep()

    def _sweep(self) -> None:
        """Forget expired sessions and events, once a second while there are any saved."""
        loop = asyncio.get_running_loop()
        self._sessions.sweep(loop.time())
        self._log.evict(loop.time())
        self._sweeper = loop.call_later(1.0, self._sweep) if self._sessions.saved or len(self._log) else None

    # Packets

    async def _send_packet(self, eio_sid: str, packet: Any) -> None:
        """Send a packet object: what upstream's own code calls."""
        link = self.eio.sockets.get(eio_sid)
        if link is not None:
            kind = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}.get(packet.packet_type, packet.packet_type)
            link.send_frame(encode(kind, packet.namespace or "/", packet.data, packet.id))

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        if (packet := self._binary_packet.get(eio_sid)) is not None:
            if not isinstance(data, bytes):
                raise ProtocolError("text where an attachment was announced")
            self._attachments_left[eio_sid] -= len(data)
            if self._attachments_left[eio_sid] < 0:
                raise ProtocolError("attachments over the limit")
            try:
                complete = packet.add_attachment(data)
            except (LookupError, TypeError, ValueError, RecursionError) as error:
                raise ProtocolError("attachments that do not fit their packet") from error
            if not complete:
                return
            del self._binary_packet[eio_sid], self._attachments_left[eio_sid]
        else:
            packet = decode(data)
        await self._handle_packet(eio_sid, packet)

    async def _handle_packet(self, eio_sid: str, packet: Any) -> None:
        namespace = packet.namespace or "/"
        if packet.packet_type == CONNECT:
            await self._handle_connect(eio_sid, namespace, packet.data)
            return
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            if packet.attachment_count:
                raise ProtocolError("attachments from a client that is not connected")
            return  # sent before it learned that it is out, or not in yet
        if packet.attachment_count > len(packet.attachments):
            self._binary_packet[eio_sid] = packet
            self._attachments_left[eio_sid] = self.eio.max_http_buffer_size
        elif packet.packet_type == DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, CLIENT_LEFT)
        elif packet.packet_type in (EVENT, BINARY_EVENT):
            await self._handle_event(eio_sid, namespace, packet.id, packet.data)
        else:
            self.eio.spawn(self.manager.trigger_callback(sid, packet.id, packet.data), "acknowledgement callback")

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: list[Any]) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        running = self._running.setdefault(eio_sid, asyncio.Semaphore(HANDLERS_PER_CLIENT))
        await running.acquire()  # reading stops here, and with it the client
        self.eio.spawn(self._run_handler(running, sid, eio_sid, data, namespace, id), f"handler of {data[0]!r}")

    async def _run_handler(
        self, running: asyncio.Semaphore, sid: str, eio_sid: str, data: list[Any], namespace: str, ack_id: int | None
    ) -> None:
        try:
            result = await self._trigger_event(data[0], namespace, sid, *data[1:])
        finally:
            running.release()
        link = self.eio.sockets.get(eio_sid)
        if ack_id is None or result is self.not_handled or link is None:
            return
        answer = [] if result is None else list(result) if isinstance(result, tuple) else [result]
        link.send_frame(encode(ACK, namespace, answer, ack_id))

    def _link_of(self, sid: str, namespace: str) -> Link | None:
        return self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, namespace) or "")


_OUR_FAULT: Final[Mapping[str, Any]] = {"message": "internal error"}


def _split_auth(data: Any) -> tuple[object, object, Any]:
    """Take the two keys recovery adds out of a client's auth; None is left when it sent nothing else."""
    if not isinstance(data, dict):
        return None, None, data
    auth = {key: value for key, value in data.items() if key not in ("pid", "offset")}
    return data.get("pid"), data.get("offset"), auth or None


def _origin_check(allowed: Sequence[str]) -> Callable[[str | None, Environ], bool]:
    """Which Origin a browser may come from: the listed ones and our own pages, whatever the proxy's scheme."""
    everybody = "*" in allowed

    def is_allowed(origin: str | None, environ: Environ) -> bool:
        return (
            everybody
            or origin in allowed
            or (origin is not None and urlsplit(origin).netloc == environ.get("HTTP_HOST"))
        )

    return is_allowed


def _quiet_logger() -> logging.Logger:
    """For upstream's code, which logs every packet and every refused request at INFO."""
    quiet = logging.getLogger(f"{__name__}.upstream")
    quiet.setLevel(logging.WARNING)
    return quiet
