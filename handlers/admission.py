"""Who may connect a socket: tokens, how many a user may have, and the end of a socket when its token expires."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from socketio.exceptions import ConnectionRefusedError as Refused

from handlers.auth import Caller, TokenMissing, Tokens, Unauthenticated
from handlers.realtime import Realtime
from scheduler.clock import Clock

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long a socket may take for a sign of life when its user has no room for another one."""


def identity(tokens: Tokens) -> Callable[[object, object], object]:
    """Tells whose session a returning client may recover: two connects with equal values are of one user.

    It never raises. None stands for everybody without a token; a bad token is equal to nothing.
    """

    def identify(_environ: object, auth: object) -> object:
        try:
            return tokens.verify(token_in(auth)).user_id
        except TokenMissing:
            return None
        except Unauthenticated:
            return object()

    return identify


def token_in(auth: object) -> object:
    """What the client's ``auth`` holds as ``token``, None where there is none."""
    return auth.get("token") if isinstance(auth, dict) else None


class Admission:
    """The doorkeeper of one namespace. ``max_per_user=0`` sets no limit; anonymous sockets are nobody's and have none.

    A user's sockets are counted in this process. What is counted for a connect that then fails for whatever reason
    is found out when the limit is met: a socket that is gone, or gives no sign of life, makes room for a new one.
    """

    def __init__(
        self,
        sio: Realtime,
        namespace: str,
        tokens: Tokens,
        clock: Clock,
        *,
        anonymous: bool,
        max_per_user: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._sio = sio
        self._namespace = namespace
        self._tokens = tokens
        self._clock = clock
        self._anonymous = anonymous
        self._max_per_user = max_per_user
        self._patience_s = patience_s
        self._stays: dict[str, _Stay] = {}  # by sid
        self._sids: dict[str, set[str]] = {}  # by user id

    async def enter(self, sid: str, auth: object) -> None:
        """Let a connecting socket in.

        Raises:
            socketio.exceptions.ConnectionRefusedError: with the message and the code that the client is to get.
        """
        caller = self._caller(auth)
        if caller is None:
            return
        await self._make_room(sid, caller.user_id)
        stay = self._stays[sid] = _Stay(caller.user_id)
        stay.expiry = asyncio.create_task(self._expire(sid, stay, caller.expires_at), name=f"expiry of socket {sid}")
        self._sids.setdefault(caller.user_id, set()).add(sid)

    def leave(self, sid: str) -> None:
        """The socket is gone. May be called twice, and for one that never came in."""
        stay = self._stays.pop(sid, None)
        if stay is None:
            return
        if stay.expiry is not None and not stay.is_over:
            stay.expiry.cancel()
        self._sids[stay.user].discard(sid)
        if not self._sids[stay.user]:
            del self._sids[stay.user]

    def _caller(self, auth: object) -> Caller | None:
        try:
            return self._tokens.verify(token_in(auth))
        except TokenMissing as missing:
            if self._anonymous:
                return None
            raise _refusal(str(missing), missing.code) from missing
        except Unauthenticated as error:
            raise _refusal(str(error), error.code) from error

    async def _make_room(self, sid: str, user: str) -> None:
        """Return, without a further await, when there is room for the socket."""
        if self._is_full(user):
            await self._drop_the_dead(user)
        if self._is_full(user):
            logger.info("user %s has %d sockets, socket %s was refused", user, self._max_per_user, sid)
            raise _refusal("Too many connections", "TOO_MANY_CONNECTIONS")

    def _is_full(self, user: str) -> bool:
        return 0 < self._max_per_user <= len(self._sids.get(user, ()))

    async def _drop_the_dead(self, user: str) -> None:
        """Close the user's sockets that do not answer: a network that changed leaves them half-open for a while."""
        await asyncio.gather(*(self._drop_if_dead(sid, self._stays[sid]) for sid in self._sids[user]))

    async def _drop_if_dead(self, sid: str, stay: _Stay) -> None:
        alive = await self._sio.answers(sid, self._namespace, within_s=self._patience_s)
        if not alive and self._stays.get(sid) is stay:  # else it came back to its session meanwhile
            self.leave(sid)
            await self._sio.close_transport(sid, self._namespace)

    async def _expire(self, sid: str, stay: _Stay, at: datetime) -> None:
        """Close the transport when the token ends: an unchanged client comes back, with a new token or not at all."""
        while self._clock.now() < at:
            await self._clock.sleep_until(at)
        stay.is_over = True  # the disconnect that this causes must not cancel this task on its way
        await self._sio.close_transport(sid, self._namespace)
        if self._stays.get(sid) is stay:
            self.leave(sid)


@dataclass(slots=True, eq=False)
class _Stay:
    """One connection of a user, from its connect to its disconnect. ``is_over`` when its token has expired."""

    user: str
    expiry: asyncio.Task[None] | None = None
    is_over: bool = False


def _refusal(message: str, code: str) -> Any:
    return Refused(message, {"code": code})
