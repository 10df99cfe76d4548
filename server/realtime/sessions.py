"""Who may come back: the session of each client in a namespace with recovery, and who holds it at the moment.

A session has one holder at most, an Engine.IO connection: while it is connected, and already while it is reconnecting.
A claim of a held session means that the old connection is dead, whether or not this server has noticed: it is cut, and
the claim waits, bounded, until all of it is cleaned up. So a client's id is never registered twice.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MAX_SAVED: Final = 20_000
CLAIM_WAIT_S: Final = 5.0  # for the old connection's disconnect handlers


@dataclass(slots=True, eq=False)
class Session:
    """What outlives a connection. ``pid`` is the client's secret proof that the session is its own."""

    sid: str
    namespace: str
    identity: object
    start: int
    """The client has everything up to this position of the event log."""
    pid: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    holder: str | None = None
    rooms: frozenset[Any] = frozenset()
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    expires_at: float = float("inf")
    freed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class SessionTable:
    """All sessions by pid: held ones, and saved ones until they expire."""

    def __init__(self, keep_s: float, cut: Callable[[str], None]) -> None:
        self._keep_s = keep_s
        self._cut = cut
        self._sessions: dict[str, Session] = {}
        self._saved: dict[str, Session] = {}  # by sid, in the order they expire
        self._held: dict[tuple[str, str], Session] = {}  # by namespace and sid

    def __bool__(self) -> bool:
        return bool(self._sessions)

    @property
    def saved(self) -> int:
        return len(self._saved)

    def open(self, holder: str, sid: str, namespace: str, identity: object, start: int) -> Session:
        session = Session(sid, namespace, identity, start, holder=holder)
        self._sessions[session.pid] = session
        self._held[namespace, sid] = session
        return session

    async def claim(self, pid: str, namespace: str, holder: str, identity: object) -> Session | str:
        """Hand the session to *holder*, or say why not: ``unknown``, ``identity`` or ``busy``."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CLAIM_WAIT_S
        while True:  # looked up anew after each wait: another claim may have been quicker, or the session gone
            session = self._sessions.get(pid)
            if session is None or session.namespace != namespace or session.expires_at <= loop.time():
                return "unknown"
            if session.identity != identity:
                return "identity"
            if session.holder is None:
                break
            if session.holder == holder or loop.time() >= until:
                return "busy"
            self._cut(session.holder)
            try:
                async with asyncio.timeout_at(until):
                    await session.freed.wait()
            except TimeoutError:
                return "busy"
        session.holder = holder
        session.expires_at = float("inf")
        session.freed.clear()
        self._saved.pop(session.sid, None)
        self._held[namespace, session.sid] = session
        return session

    def held(self, namespace: str, sid: str) -> Session | None:
        return self._held.get((namespace, sid))

    def saved_by_sid(self, namespace: str, sid: str) -> Session | None:
        session = self._saved.get(sid)
        return session if session is not None and session.namespace == namespace else None

    def release(self, session: Session) -> None:
        """Keep the session for the client to come back to."""
        now = asyncio.get_running_loop().time()
        session.holder = None
        session.expires_at = now + self._keep_s
        self._held.pop((session.namespace, session.sid), None)
        self._saved[session.sid] = session
        session.freed.set()
        self.sweep(now)

    def drop(self, session: Session) -> None:
        """End the session: its client left on purpose, was sent away, or may not come in any more."""
        session.holder = None
        self._sessions.pop(session.pid, None)
        self._saved.pop(session.sid, None)
        self._held.pop((session.namespace, session.sid), None)
        session.freed.set()

    def sweep(self, now: float) -> None:
        """Forget the sessions that expired, and the oldest beyond MAX_SAVED."""
        while self._saved:
            oldest = next(iter(self._saved.values()))
            if oldest.expires_at > now and len(self._saved) <= MAX_SAVED:
                return
            self.drop(oldest)
