"""Who gets in, who comes back to what it had, and what is kept of those who leave."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import CONNECT, CONNECT_ERROR

from server.realtime.eventlog import EventLog
from server.realtime.frames import Frame, encode
from server.realtime.link import TRANSPORT_CLOSE, Link
from server.realtime.sessions import Session, SessionTable

if TYPE_CHECKING:
    from server.realtime.server import RealtimeServer

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Identify = Callable[[Environ, Any], object]

MAX_REPLAY_BYTES: Final = 8 * 1024 * 1024  # a client that missed more is better off with fresh snapshots
SWEEP_S: Final = 1.0
CLIENT_LEFT: Final = "client disconnect"
SERVER_SENT_AWAY: Final = "server disconnect"


@dataclass(slots=True)
class _Entering:
    """A client whose connect handler runs."""

    settled: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False
    sent_away: bool = False


class Entrance:
    """The way into namespaces and out of them. Holds the recovery log and the sessions."""

    def __init__(
        self,
        server: "RealtimeServer",
        keep_s: float,
        namespaces: Collection[str],
        identity: Identify | None,
        *,
        notice_s: float,
    ) -> None:
        """*keep_s*: how long a session can be recovered, from when its loss is noticed; *notice_s* at most after its
        client was last known to have everything."""
        self._server = server
        self._identity = identity or (lambda environ, auth: None)
        self._namespaces = frozenset(namespaces) if keep_s > 0 else frozenset[str]()
        self.log = EventLog(keep_s + notice_s)
        self.sessions = SessionTable(keep_s, self._cut_for_takeover)
        self.recovered: set[str] = set()
        """The sids of those who came back."""
        self._entering: dict[tuple[str, str], _Entering] = {}  # by Engine.IO sid and namespace
        self._sweeper: asyncio.TimerHandle | None = None

    def logs(self, namespace: str) -> bool:
        """Whether events in *namespace* are kept: somebody is there, or was, who may come back for them."""
        return namespace in self._namespaces and bool(self.sessions)

    # In

    def enter(self, link: Link, namespace: str, data: Any) -> None:
        """Answer a CONNECT: run the connect handler for a fresh or a recovered client, and let it in, or not.

        Beside the reading: a connect handler that takes its time must not keep the client's end from us.
        """
        key = link.sid, namespace
        if key in self._entering:
            link.send_frame(encode(CONNECT_ERROR, namespace, {"message": "Already connecting"}))
            return
        entering = self._entering[key] = _Entering()
        self._server.eio.spawn(self._enter(link, namespace, data, entering), f"entering {namespace}")

    async def _enter(self, link: Link, namespace: str, data: Any, entering: _Entering) -> None:
        try:
            if not link.closing:
                await self._try_to_enter(link, namespace, data, entering)
        except Exception:  # an application's identity function that raises, say: the client must not be left waiting
            logger.exception("a client could not enter %s", namespace)
            link.send_frame(encode(CONNECT_ERROR, namespace, _OUR_FAULT))
        finally:
            del self._entering[link.sid, namespace]
            entering.settled.set()

    async def _try_to_enter(self, link: Link, namespace: str, data: Any, entering: _Entering) -> None:
        manager = self._server.manager
        pid, offset, auth = _split_auth(data) if namespace in self._namespaces else (None, None, data)
        session, position = await self._session_for(link, namespace, pid, offset, auth)
        sid = session.sid if session is not None else self._server.eio.generate_id()
        if not manager.admit(link.sid, namespace, sid, session.rooms if session is not None else ()):
            self._give_up(session, keep=position is not None)
            link.send_frame(encode(CONNECT_ERROR, namespace, {"message": "Already connected"}))
            return
        if session is not None and position is not None:
            link.session[namespace] = session.data
            self.recovered.add(sid)
        entered, keep = False, position is not None
        try:
            refusal = await self._ask(link, sid, namespace, auth)
            if refusal is None and entering.sent_away:
                await self._tell_left(namespace, sid, SERVER_SENT_AWAY)
                refusal = _SENT_AWAY
            if refusal is not None:
                keep = keep and refusal is _OUR_FAULT
                link.send_frame(encode(CONNECT_ERROR, namespace, refusal))
            elif link.closing or entering.left:  # what the connect handler began, the disconnect handler ends
                keep = keep and not entering.left
                await self._tell_left(namespace, sid, CLIENT_LEFT if entering.left else TRANSPORT_CLOSE)
            else:
                self._let_in(link, sid, namespace, session, position)
                entered = True
        finally:
            if not entered:
                self.recovered.discard(sid)
                manager.basic_disconnect(sid, namespace)
                self._give_up(session, keep=keep)

    async def _ask(self, link: Link, sid: str, namespace: str, auth: Any) -> Mapping[str, Any] | None:
        """Run the connect handler: None to let the client in, else what its ``connect_error`` says."""
        try:
            environ = self._server.environ[link.sid]  # KeyError: the link ended while its session was being claimed
            accepted = await self._server._trigger_event("connect", namespace, sid, environ, auth)
        except Refused as refusal:
            answer: Mapping[str, Any] = refusal.error_args
            return answer
        except ConnectionRefusedError as refusal:  # the builtin, raised by mistake for the other
            return {"message": str(refusal) or "Connection refused"}
        except Exception:  # whatever it is, the client must not be left waiting
            if not link.closing:
                logger.exception("the connect handler of %s failed", namespace)
            return _OUR_FAULT
        return {"message": "Connection rejected"} if accepted is False else None

    def _let_in(self, link: Link, sid: str, namespace: str, session: Session | None, position: int | None) -> None:
        """CONNECT, then what was missed, then what is live: without an await, so nothing is lost or doubled between.

        CONNECT comes first, unlike in Node: what a client gets before it, it keeps over a further cut, and would have
        twice after the next replay.
        """
        manager = self._server.manager
        replay = self._replay(link, session, position) if session is not None and position is not None else []
        if session is not None and position is None:
            session.start = self.log.head
        manager.settle(sid, namespace)
        link.entered_namespace()
        hello = {"sid": sid} if session is None else {"sid": sid, "pid": session.pid}
        link.send_frame(encode(CONNECT, namespace, hello))
        manager.send_early(sid, namespace, anew=position is None)
        if replay:
            link.send_replay(replay)

    def _replay(self, link: Link, session: Session, position: int) -> list[Frame]:
        rooms = self._server.manager.get_rooms(session.sid, session.namespace)  # the handler may have left some
        missed = self.log.since(position, session.namespace, rooms, session.sid)
        if missed is None:  # the log turned over while the handler ran: next time the client starts afresh
            link.cut("log overrun")
            return []
        session.start = position
        self._server.counters.recovered += 1
        self._server.counters.replayed += len(missed)
        return missed

    # Sessions

    async def _session_for(
        self, link: Link, namespace: str, pid: object, offset: object, auth: Any
    ) -> tuple[Session | None, int | None]:
        """The session of a connecting client, and, when it is an old one, the position to replay from."""
        if namespace not in self._namespaces:
            return None, None
        identity = self._identity(self._server.environ[link.sid], auth)
        if isinstance(pid, str):
            claimed = await self._claim(pid, offset, link, namespace, identity)
            if isinstance(claimed, tuple):
                return claimed
            self._server.counters.refused[claimed] += 1
        sid = self._server.eio.generate_id()
        return self.sessions.open(link.sid, sid, namespace, identity, self.log.head), None

    async def _claim(
        self, pid: str, offset: object, link: Link, namespace: str, identity: object
    ) -> tuple[Session, int] | str:
        session = await self.sessions.claim(pid, namespace, link.sid, identity)
        if isinstance(session, str):
            return session
        self.log.evict(asyncio.get_running_loop().time())
        position = max(session.start, self.log.position(offset))
        missed = self.log.since(position, namespace, session.rooms, session.sid)
        if missed is not None and sum(len(frame.wire) for frame in missed) <= MAX_REPLAY_BYTES:
            return session, position
        self.sessions.drop(session)
        return "forgotten" if missed is None else "too much"

    def _give_up(self, session: Session | None, *, keep: bool) -> None:
        """A CONNECT that led to nothing: an old session goes back for the next try, a new or a refused one ends."""
        if session is not None and keep:
            self._save(session)
        elif session is not None:
            self.sessions.drop(session)

    def _save(self, session: Session) -> None:
        self.sessions.release(session)
        if self._sweeper is None:
            self._sweep()

    def _sweep(self) -> None:
        """Forget expired sessions and events, as long as there are any."""
        loop = asyncio.get_running_loop()
        self.sessions.sweep(loop.time())
        self.log.evict(loop.time())
        more = self.sessions.saved or len(self.log)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if more else None

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _cut_for_takeover(self, eio_sid: str) -> None:
        link = self._server.eio.sockets.get(eio_sid)
        if link is not None:
            link.cut("taken over")

    # Out

    async def settled(self, eio_sid: str, namespace: str) -> None:
        """Wait until a connect handler that runs for this client has ended."""
        if (entering := self._entering.get((eio_sid, namespace))) is not None:
            await entering.settled.wait()

    def send_away(self, eio_sid: str, namespace: str) -> None:
        """Refuse a client whose connect handler runs, once it has ended."""
        if (entering := self._entering.get((eio_sid, namespace))) is not None:
            entering.sent_away = True

    async def leave(self, eio_sid: str, namespace: str, reason: str, *, for_good: bool) -> None:
        """Take a client out of a namespace, and keep its session unless it goes *for_good*."""
        manager = self._server.manager
        if for_good and (entering := self._entering.get((eio_sid, namespace))) is not None:
            entering.left = True
        sid = manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not manager.is_connected(sid, namespace):
            return
        link = self._server.eio.sockets.get(eio_sid)
        session = self.sessions.held(namespace, sid)
        if session is not None and link is not None:  # now: the disconnect handler may leave rooms
            session.rooms = frozenset(manager.get_rooms(sid, namespace))
            session.data = link.session.get(namespace, {})
            session.start = max(session.start, link.confirmed)
        manager.pre_disconnect(sid, namespace)
        try:
            await self._tell_left(namespace, sid, reason)
        finally:
            self.recovered.discard(sid)
            await manager.disconnect(sid, namespace, ignore_queue=True)
            if link is not None:
                link.left_namespace()
            self._give_up(session, keep=not for_good)

    async def leave_all(self, eio_sid: str, reason: str) -> None:
        """The connection ended: out of every namespace. Connect handlers may use their session to their end."""
        for entering in [entering for (sid, _), entering in self._entering.items() if sid == eio_sid]:
            await entering.settled.wait()
        for namespace in list(self._server.manager.get_namespaces()):
            await self.leave(eio_sid, namespace, reason, for_good=False)

    async def _tell_left(self, namespace: str, sid: str, reason: str) -> None:
        try:
            await self._server._trigger_event("disconnect", namespace, sid, reason)
        except Exception:  # the rest of the way out must be gone in any case
            logger.exception("the disconnect handler of %s failed", namespace)


_OUR_FAULT: Final[Mapping[str, Any]] = {"message": "internal error"}
_SENT_AWAY: Final[Mapping[str, Any]] = {"message": "Disconnected by the server"}


def _split_auth(data: Any) -> tuple[object, object, Any]:
    """Take the two keys recovery adds out of a client's auth; None is left when it sent nothing else."""
    if not isinstance(data, dict):
        return None, None, data
    auth = {key: value for key, value in data.items() if key not in ("pid", "offset")}
    return data.get("pid"), data.get("offset"), auth or None
