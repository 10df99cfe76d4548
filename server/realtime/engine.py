"""The Engine.IO server: handshakes, requests, and a prompt shutdown."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

import engineio
from aiohttp import web
from engineio.exceptions import EngineIOError

from server.realtime.counters import Counters
from server.realtime.frames import CLOSE, Frame, ProtocolError
from server.realtime.heartbeat import Pulse
from server.realtime.link import TRANSPORT_CLOSE, TRANSPORT_ERROR, Link
from server.realtime.turn import Turn
from server.realtime.wire import CLOSE_WAIT_S

logger = logging.getLogger(__name__)

SHUTDOWN_S: Final = 3.0  # for the disconnect handlers of all sockets together


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """engineio's server around our links.

    Restated from upstream, and watched by tests/realtime/test_upstream.py: ``_handle_connect``.
    """

    sockets: dict[str, Link]

    def __init__(
        self, *, buffer_bytes: int, connect_timeout: float, counters: Counters, io_uring: bool = True, **options: Any
    ) -> None:
        super().__init__(async_mode="aiohttp", monitor_clients=False, http_compression=False, **options)
        self.buffer_bytes = buffer_bytes
        self.connect_timeout = connect_timeout
        self.counters = counters
        self.position: Callable[[], int] = lambda: 0
        self.turn = Turn(io_uring=io_uring)
        self.pulse = Pulse(self.ping_interval, self.ping_timeout)
        self._tasks: set[asyncio.Future[None]] = set()
        self._readers: set[asyncio.Future[None]] = set()
        self._goodbyes: set[str] = set()
        self._shut = False

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve every method on the path: a method the protocol does not know is answered 400, as the others expect."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    # What links call

    def say_goodbye(self, sid: str) -> None:
        """Answer the next poll of *sid*, which is between two, with CLOSE: a 400 would look like a fault to it."""
        self._goodbyes.add(sid)
        asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._goodbyes.discard, sid)

    def spawn(self, work: Awaitable[None], name: str) -> None:
        """Run *work* to its end and log how it failed, if it did."""
        _keep(asyncio.ensure_future(_logged(work, name)), self._tasks)

    def read(self, work: Awaitable[None]) -> None:
        """Run *work*, which reads a WebSocket to its end; a shutdown waits for it."""
        _keep(asyncio.ensure_future(_logged(work, "reading a WebSocket")), self._readers)

    async def deliver(self, sid: str, data: str | bytes) -> None:
        await self.handlers["message"](sid, data)

    async def left(self, sid: str, reason: str) -> None:
        try:
            if "disconnect" in self.handlers:
                await self.handlers["disconnect"](sid, reason)
        finally:
            self.sockets.pop(sid, None)

    # Requests

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request or WebSocket handshake on the path."""
        query = parse_qs(request.query_string)
        if query.get("transport", [""])[0] not in self.transports or request.method not in ("GET", "POST", "OPTIONS"):
            return await self._answer(request, self._bad_request("Bad transport or method"))
        sid = query.get("sid", [None])[0]
        if sid is None and self._shut:
            return web.Response(status=503, text="Shutting down")
        if sid in self._goodbyes and request.method == "GET":
            self._goodbyes.discard(sid)
            return await self._answer(request, self._ok([CLOSE]))
        response: web.StreamResponse = await super().handle_request(request)
        return response

    async def _answer(self, request: web.Request, answer: dict[str, Any]) -> web.Response:
        environ = self._async["translate_request"](request)
        response: web.Response = await self._make_response(answer, environ)
        return response

    async def _handle_connect(self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None) -> Any:
        sid = self.generate_id()
        link = self.sockets[sid] = Link(self, sid)
        hello = {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": round(self.ping_timeout * 1000),
            "pingInterval": round(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        link.send_frame(Frame("0" + json.dumps(hello, separators=(",", ":"))))
        if "connect" in self.handlers:
            await self.handlers["connect"](sid, environ)
        link.start()
        if transport == "polling":
            link.connected = True
            try:
                return self._ok(await link.handle_get_request(environ), jsonp_index=jsonp_index)
            except EngineIOError:
                await link.close(abort=True)
                return self._bad_request()
        try:
            return await link.handle_get_request(environ)
        finally:
            if not link.connected:  # a handshake that failed leaves nothing behind
                await link.close(abort=True, reason=TRANSPORT_CLOSE)

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: Any = None) -> Any:
        answer = super()._ok(packets, headers, jsonp_index)
        if packets is None:
            answer["response"] = b"ok"  # as the protocol document has it; upstream says OK
        return answer

    async def disconnect(self, sid: str | None = None) -> None:
        """Close the transport of one client, or of all; their clients come back by themselves."""
        links = list(self.sockets.values()) if sid is None else [self.sockets[sid]] if sid in self.sockets else []
        for link in links:
            await link.close(reason=TRANSPORT_ERROR)

    async def shutdown(self) -> None:
        """Part from every client, so that it reconnects at once, and take no new ones. Takes SHUTDOWN_S at most."""
        self._shut = True
        closing = [asyncio.ensure_future(link.close()) for link in list(self.sockets.values())]
        if closing or self._readers:
            _, late = await asyncio.wait([*closing, *self._readers], timeout=SHUTDOWN_S)
            for task in late:
                task.cancel()
        self.turn.close()


async def _logged(work: Awaitable[None], name: str) -> None:
    try:
        await work
    except (ProtocolError, EngineIOError) as error:
        logger.info("%s: %s", name, error)
    except Exception:
        logger.exception("%s failed", name)


def _keep(task: asyncio.Future[None], tasks: set[asyncio.Future[None]]) -> None:
    """Hold *task* among *tasks* to its end: the loop itself holds none."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)
