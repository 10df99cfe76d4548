"""The Engine.IO wire itself, for tests that send what no client library would, or look at what one would hide."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

PATIENCE_S = 10.0
CLOSING = aiohttp.ClientWSTimeout(ws_close=2.0)
RECORD_SEPARATOR = "\x1e"


class RawSocket:
    """An Engine.IO WebSocket: packets go and come as the strings and bytes of the protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.hello: dict[str, Any] = {}

    async def send(self, packet: str | bytes) -> None:
        await (self.socket.send_bytes(packet) if isinstance(packet, bytes) else self.socket.send_str(packet))

    async def receive(self) -> str | bytes | None:
        """The next packet; None when the server closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    async def next(self) -> str | bytes | None:
        """The next packet that is not a PING, which is answered."""
        while (packet := await self.receive()) == "2":
            await self.send("3")
        return packet

    async def rest(self) -> list[str | bytes]:
        """Every packet until the server closes the connection."""
        packets = []
        while (packet := await self.next()) is not None:
            packets.append(packet)
        return packets

    async def enter(self, packet: str = "40") -> dict[str, Any]:
        """Connect to a namespace and return what CONNECT says."""
        await self.send(packet)
        answer = await self.next()
        assert isinstance(answer, str), "the server closed the connection"
        assert answer.startswith("40"), answer
        body: dict[str, Any] = json.loads(answer[answer.index("{") :])
        return body


class RawPolling:
    """An Engine.IO session over long-polling."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.hello: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"{self._url}&sid={self.hello['sid']}"

    async def open(self) -> None:
        async with self._http.get(self._url) as response:
            self.hello = json.loads((await response.text())[1:])

    async def post(self, *packets: str) -> tuple[int, str]:
        async with self._http.post(self.url, data=RECORD_SEPARATOR.join(packets)) as response:
            return response.status, await response.text()

    async def poll(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE_S), self._http.get(self.url) as response:
            return response.status, await response.text()

    async def packets(self) -> list[str]:
        """The packets of the next poll that is not just a PING, which is answered."""
        while True:
            status, body = await self.poll()
            assert status == 200, body
            found = body.split(RECORD_SEPARATOR)
            if "2" in found:
                await self.post("3")
                found.remove("2")
            if found:
                return found


class RawClients:
    """Opens raw sessions to one server and closes them at the end of the test."""

    def __init__(self, http: aiohttp.ClientSession, url: str, path: str = "/socket.io/") -> None:
        self.http = http
        self.url = f"{url}{path}"
        self._base = f"{url}{path}?EIO=4&transport="
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def websocket(self, sid: str | None = None, **options: Any) -> RawSocket:
        """A WebSocket; with *sid*, the one a polling session is to be upgraded to."""
        url = f"{self._base}websocket" + (f"&sid={sid}" if sid else "")
        socket = await self.http.ws_connect(url, max_msg_size=0, timeout=CLOSING, **options)
        self._sockets.append(socket)
        raw = RawSocket(socket)
        if sid is None:
            hello = await raw.receive()
            assert isinstance(hello, str)
            raw.hello = json.loads(hello[1:])
        return raw

    async def close(self) -> None:
        """Let go of every WebSocket, whatever its server is up to."""
        await asyncio.gather(*(socket.close() for socket in self._sockets), return_exceptions=True)

    async def polling(self) -> RawPolling:
        raw = RawPolling(self.http, f"{self._base}polling")
        await raw.open()
        return raw


@contextlib.asynccontextmanager
async def raw_clients(
    url: str, path: str = "/socket.io/", *, trust: ssl.SSLContext | None = None
) -> AsyncIterator[RawClients]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust or True, limit=0)) as http:
        clients = RawClients(http, url, path)
        try:
            yield clients
        finally:
            await clients.close()
