"""HTTP long-polling: the poll that waits, and the body of a POST."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aiohttp import web
from engineio.exceptions import EngineIOError

from server.realtime.frames import NOOP, Frame, ProtocolError
from server.realtime.outbox import Outbox

POLL_BYTES: Final = 256 * 1024  # of one response
PROBED_POLL_S: Final = 0.1  # a poll during a probe is answered after this, so that the client can stop polling


class Poll:
    """The one GET a client may have waiting, emptying the outbox whenever there is something in it."""

    __slots__ = ("_outbox", "_stopped", "_waiter")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiter: asyncio.Future[None] | None = None
        self._stopped = False

    @property
    def is_open(self) -> bool:
        return self._waiter is not None

    async def take(self, request: web.Request, *, probed: bool, now: Callable[[], float]) -> list[Frame]:
        """Wait until there are frames, or, while the client is *probed*, for a moment; NOOP stands for none.

        Raises:
            EngineIOError: the client gave the poll up; its frames stay where they are.
        """
        if not self._outbox:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiter, PROBED_POLL_S if probed else None)
            finally:
                self._waiter = None
        if request.transport is None or request.transport.is_closing():
            raise EngineIOError("the poll was given up")
        return ([] if self._stopped else self._outbox.take(POLL_BYTES, now())) or [NOOP]

    def stop(self) -> None:
        """Let the open poll, if there is one, return with nothing: what is in the outbox leaves another way."""
        self._stopped = True
        self.answer()

    def answer(self) -> None:
        """Let the open poll return with what is in the outbox."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end_with(self, last: Frame) -> bool:
        """Let *last* be the last that the open poll returns with; False when none is open."""
        if self._waiter is None or self._waiter.done():
            return False
        self._outbox.put_replay(last, 0.0)
        self.answer()
        return True


async def read_body(request: web.Request, limit: int) -> str:
    """The body of a POST.

    Raises:
        ProtocolError: longer than *limit* bytes, or not UTF-8.
    """
    body = bytearray()
    too_long = (request.content_length or 0) > limit
    async for chunk in request.content.iter_any():
        too_long = too_long or len(body) + len(chunk) > limit
        if too_long:
            raise ProtocolError("a POST body over the limit")
        body += chunk
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a POST body that is not UTF-8") from error
