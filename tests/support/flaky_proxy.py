"""A TCP proxy that breaks connections the ways networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from tests.support.listening import stop_accepting

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close with RST


class FlakyProxy:
    """Passes bytes on until told to break: for both sides, or with one of them not noticing.

    ``after(n)`` arms a reset for when *n* more bytes have gone to clients: a cut in the middle of whatever that is.
    """

    def __init__(self, target: str) -> None:
        self.retarget(target)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._closing: list[asyncio.StreamWriter] = []
        self._fuse: int | None = None
        self.refusing = False
        self.url = ""

    def retarget(self, url: str) -> None:
        """Lead new connections to another server."""
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)

    def reset(self) -> None:
        """Break every connection with RST on both sides."""
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    def half_open(self) -> None:
        """Break every connection for the client only: the server is told nothing, as when a phone changes networks."""
        for client, server in list(self._pairs):
            self._silent.add(server)
            _reset(client)

    def after(self, count: int) -> None:
        self._fuse = count

    async def close(self) -> None:
        self.reset()
        for client in self._clients:  # also one whose task has not begun
            _reset(client)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self._closing:  # one whose peer reads nothing more would never be done
            writer.transport.abort()
        for _ in range(20):  # turns of the loop in which connections under way come in and are refused
            await asyncio.sleep(0)

    def accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(client)
            return
        task = asyncio.create_task(self._serve(reader, client))
        self._clients.add(client)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        server: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError):
                server_reader, server = await asyncio.open_connection(*self._target)
                await self._pass_on(reader, client, server_reader, server)
        finally:
            self._clients.discard(client)
            for writer in (client, server):
                if writer is not None:
                    writer.close()  # what was passed on arrives; a connection that was to be reset is reset already
                    self._closing.append(writer)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        pair = client, server
        self._pairs.add(pair)
        up = asyncio.create_task(self._pump(reader, server, counted=False))
        down = asyncio.create_task(self._pump(server_reader, client, counted=True))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if server in self._silent:  # go on swallowing what the server sends into the dead line
                await down
        finally:
            self._pairs.discard(pair)
            self._silent.discard(server)
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(16384):
                if counted and self._fuse is not None:
                    self._fuse -= len(data)
                    if self._fuse < 0:
                        self._fuse = None
                        writer.write(data[: len(data) // 2])
                        self.reset()
                        return
                if not writer.transport.is_closing():
                    writer.write(data)
                    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def flaky_proxy(target: str) -> AsyncIterator[FlakyProxy]:
    """Run a :class:`FlakyProxy` in front of the server at the URL *target*; its own address is ``url``."""
    proxy = FlakyProxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.refusing = True
        await stop_accepting(server.sockets[0].fileno())
        server.close()
        await proxy.close()
        if (abort_clients := getattr(server, "abort_clients", None)) is not None:  # since Python 3.13
            abort_clients()
        await server.wait_closed()
