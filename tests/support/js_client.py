"""Real JavaScript Socket.IO clients under the hand of a test: one Node.js process, any number of sockets in it.

async with js_clients() as js:
    socket = await js.connect(url, auth={"token": token})
    await socket.wait("connect")
    answer = await socket.call("agent:subscribe", "agent-1")
    event = await socket.event("agent:started")
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from tests.support.tools import JS_TESTS, node

Version = Literal["socket.io-client", "socket.io-client-4.0", "socket.io-client-4.5", "socket.io-client-4.6"]

WEBSOCKET = ("websocket",)
POLLING = ("polling",)
UPGRADE = ("polling", "websocket")
TRANSPORTS = {"websocket": WEBSOCKET, "polling": POLLING, "upgrade": UPGRADE}

PATIENCE_S = 15.0  # for anything a test waits for; on a machine that is not busy it takes milliseconds


class JsSocket:
    """One Socket.IO client. Everything that happened to it is in ``log``, in order."""

    def __init__(self, process: JsClients, name: str) -> None:
        self._process = process
        self._name = name
        self._news = asyncio.Event()
        self._read: dict[str, int] = {}
        self.log: list[dict[str, Any]] = []

    async def emit(self, event: str, *args: Any) -> None:
        await self._process.do("emit", socket=self._name, event=event, args=args)

    async def call(self, event: str, *args: Any) -> Any:
        """Emit with an acknowledgement, and return it: its one argument, or the list of them."""
        answer = await self._process.do("call", socket=self._name, event=event, args=args)
        return answer[0] if len(answer) == 1 else answer

    async def set_auth(self, auth: Any) -> None:
        """What the client's ``auth`` function returns from now on."""
        await self._process.do("auth", socket=self._name, auth=auth)

    async def open(self) -> None:
        await self._process.do("open", socket=self._name)

    async def leave(self) -> None:
        """``socket.disconnect()``: leave on purpose."""
        await self._process.do("leave", socket=self._name)

    async def cut(self) -> None:
        """Lose the connection, as on a change of network; the client reconnects by itself."""
        await self._process.do("cut", socket=self._name)

    async def wait(self, kind: str) -> dict[str, Any]:
        """The next ``connect``, ``disconnect``, ``connect_error``, ``upgrade`` or ``event`` not waited for before."""
        return await self.wait_for(kind, lambda entry: True)

    async def event(self, name: str) -> list[Any]:
        """The arguments of the next event *name* not waited for before."""
        entry = await self.wait_for("event", lambda entry: entry["event"] == name, read=f"event {name}")
        args: list[Any] = entry["args"]
        return args

    async def wait_for(
        self, kind: str, wanted: Callable[[dict[str, Any]], bool], *, read: str | None = None
    ) -> dict[str, Any]:
        cursor = read or kind
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at in range(self._read.get(cursor, 0), len(self.log)):
                    if self.log[at]["type"] == kind and wanted(self.log[at]):
                        self._read[cursor] = at + 1
                        return self.log[at]
                self._news.clear()
                await self._news.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until *reached*, looked at whenever something happens to this socket."""
        async with asyncio.timeout(PATIENCE_S):
            while not reached():
                self._news.clear()
                await self._news.wait()

    def events(self, name: str) -> list[list[Any]]:
        """The arguments of every event *name* so far."""
        return [entry["args"] for entry in self.log if entry["type"] == "event" and entry["event"] == name]

    def happened_to(self, kind: str) -> bool:
        return any(entry["type"] == kind for entry in self.log)

    def happened(self, entry: dict[str, Any]) -> None:
        self.log.append(entry)
        self._news.set()


class JsClients:
    """The Node.js process, and the sockets in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.sockets: dict[str, JsSocket] = {}
        """All that were made, by name."""
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)

    @property
    def pid(self) -> int:
        """Of the process, for a test that stops it."""
        return self._process.pid

    async def connect(
        self,
        url: str,
        *,
        transports: tuple[str, ...] = WEBSOCKET,
        auth: Any = None,
        namespace: str = "/",
        version: Version = "socket.io-client",
        **options: Any,
    ) -> JsSocket:
        """Start connecting a new client; *options* are those of ``io()``. Wait for ``connect`` or ``connect_error``."""
        name = f"socket {len(self.sockets) + 1}"
        socket = self.sockets[name] = JsSocket(self, name)
        await self.do(
            "connect",
            socket=name,
            url=url,
            version=version,
            namespace=namespace,
            auth=auth,
            options={"transports": transports, **options},
        )
        return socket

    async def do(self, what: str, **command: Any) -> Any:
        """Run one command and return its answer."""
        assert self._process.stdin is not None
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": what, **command}, default=_pack_bytes)
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def read(self) -> None:
        """Take in what the process says, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            entry = json.loads(line, object_hook=_unpack_bytes)
            if "socket" in entry:
                self.sockets[entry["socket"]].happened(entry)
            elif "error" in entry:
                self._answers.pop(entry["id"]).set_exception(RuntimeError(entry["error"]))
            else:
                self._answers.pop(entry["id"]).set_result(entry["ok"])


@contextlib.asynccontextmanager
async def js_clients(**environment: str) -> AsyncIterator[JsClients]:
    """Start Node.js for clients, and stop it, and with it every client, at the end. Mark: ``node``."""
    program = node()
    assert program is not None, "mark the test with `node`"
    process = await asyncio.create_subprocess_exec(
        program,
        str(JS_TESTS / "client.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
        env={**os.environ, **environment},
    )
    clients = JsClients(process)
    reader = asyncio.create_task(clients.read(), name="Node.js clients")
    try:
        yield clients
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reader


def _pack_bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"not for JSON: {value!r}")


def _unpack_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value
