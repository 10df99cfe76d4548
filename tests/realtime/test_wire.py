"""The WebSocket itself: what comes early, what is not a message, and what is not WebSocket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from struct import pack
from typing import cast

import pytest
import uvloop
from aiohttp import web

from server.realtime import RealtimeServer
from server.realtime.wire import WebSocketWire
from tests.support.listening import listening
from tests.support.raw_client import raw_clients
from tests.support.realtime import Live, serving, with_rooms

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
TEXT, PING, PONG, CLOSE = 0x81, 0x89, 0x8A, 0x88
PROTOCOL_ERROR, TOO_BIG = 1002, 1009


def masked(head: int, payload: bytes) -> bytes:
    """A client's frame, with a mask of zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + pack("!H", len(payload))
    return bytes([head]) + length + bytes(4) + payload


class Bytes:
    """A connection read frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.send = writer.write

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            head, length = await self._reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self._reader.readexactly(2), "big")
            return head, await self._reader.readexactly(length)

    async def answer(self) -> str:
        async with asyncio.timeout(10):
            return (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read() == b""


@asynccontextmanager
async def connection(live: Live) -> AsyncIterator[Bytes]:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Bytes(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_what_comes_with_the_handshake_is_taken_after_it(live: Live) -> None:
    async with connection(live) as line:
        connect = masked(TEXT, b"40")
        line.send(HANDSHAKE + connect + masked(TEXT, b'421["echo",1]')[:5])

        assert (await line.answer()).startswith("HTTP/1.1 101 ")
        assert (await line.frame())[1].startswith(b"0{")
        assert (await line.frame())[1].startswith(b"40{")
        line.send(masked(TEXT, b'421["echo",1]')[5:])
        assert await line.frame() == (TEXT, b"431[1]")


async def test_a_websocket_ping_is_answered_and_a_pong_is_not(live: Live) -> None:
    async with connection(live) as line:
        line.send(HANDSHAKE + masked(PONG, b"late") + masked(PING, b"there?"))
        await line.answer()
        await line.frame()

        assert await line.frame() == (PONG, b"there?")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x83\x80" + bytes(4), PROTOCOL_ERROR),  # no such opcode
        (masked(TEXT, b"3") + b"\x83\x80" + bytes(4), PROTOCOL_ERROR),  # the same after the answer to a ping
        (masked(TEXT, b"4" * 2000), TOO_BIG),
    ],
)
async def test_what_breaks_the_websocket_protocol_ends_with_its_code(sent: bytes, code: int) -> None:
    async with serving(max_http_buffer_size=1000) as live, connection(live) as line:
        line.send(HANDSHAKE + masked(TEXT, b"40"))
        await line.answer()
        await line.frame()
        await line.frame()

        line.send(sent)

        assert await line.frame() == (CLOSE, pack("!H", code))
        assert await line.ended()
        await live.saw("disconnect")


async def test_a_close_frame_is_answered_and_the_connection_closed(live: Live) -> None:
    async with connection(live) as line:
        line.send(HANDSHAKE)
        await line.answer()
        await line.frame()

        line.send(masked(CLOSE, pack("!H", 1000)))

        assert (await line.frame())[0] == CLOSE
        assert await line.ended()


async def test_a_handshake_that_is_none_is_refused_and_leaves_nothing_behind(live: Live) -> None:
    async with connection(live) as line:
        line.send(HANDSHAKE.replace(b"Version: 13", b"Version: 1"))

        assert (await line.answer()).startswith("HTTP/1.1 400 ")
    await live.until(lambda: live.sio.metrics().sockets == 0)


async def test_what_was_answered_before_the_handshake_and_not_read_counts_as_waiting() -> None:
    """Requests one after the other, none of whose answers is read, and then a WebSocket on the same connection."""
    transports: list[asyncio.Transport] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        transports.append(request.transport)
        return web.Response(body=b"x" * 16_000)  # less than aiohttp waits for

    live = Live(RealtimeServer(buffer_bytes=64 * 1024), "")
    with_rooms(live)
    app = web.Application()
    app.router.add_get("/answer", answer)
    live.sio.attach(app)
    loop = asyncio.get_running_loop()
    async with listening(app, shutdown_timeout=0) as url:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", int(url.rpartition(":")[2])))
            while not (transports and transports[-1].get_write_buffer_size()):
                asked = len(transports) + 1
                await loop.sock_sendall(raw, b"GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await live.until(lambda asked=asked: len(transports) == asked)  # type: ignore[misc]
                await asyncio.sleep(0)
            await loop.sock_sendall(raw, HANDSHAKE + masked(TEXT, b"40"))
            await live.saw("connect")

            assert live.sio.metrics().congested == 1
            while live.sio.metrics().sockets:
                await live.sio.emit("tick", "x" * 1000)
                await asyncio.sleep(0)
            assert live.sio.metrics().drops == {"backlog": 1}
        await live.sio.shutdown()


async def test_whatever_ails_one_socket_the_others_get_their_event(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        descriptor = -1

        def write(self, data: bytes) -> bool:
            raise ZeroDivisionError

    async with serving() as live, raw_clients(live.url) as raw:
        socks = [await raw.websocket() for _ in range(3)]
        for sock in socks:
            await sock.enter()
        way_out = next(iter(live.sio.eio.sockets.values()))
        way_out._go(cast(WebSocketWire, Broken()))

        await live.sio.emit("tick", 1)

        assert [await sock.next() for sock in socks[1:]] == ['42["tick",1]'] * 2
        await live.saw("disconnect")
        assert live.sio.metrics().drops == {"write error": 1}
        assert "writing to" in caplog.text


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("how", ["reset", "end", "close", "abort"])
def test_a_socket_is_closed_only_after_its_protocol_was_told(
    how: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What broadcasts rely on, which write to descriptors: that none is another connection's meanwhile."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[asyncio.BaseTransport] = loop.create_future()
        lost: asyncio.Future[bool] = loop.create_future()

        class Told(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.descriptor = transport.get_extra_info("socket").fileno()
                self.made = os.fstat(self.descriptor).st_ino
                connected.set_result(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(os.fstat(self.descriptor).st_ino == self.made)

        server = await loop.create_server(Told, "127.0.0.1", 0)
        with socket.socket() as client:
            client.connect(server.sockets[0].getsockname())
            async with asyncio.timeout(10):
                transport = await connected
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
                if how in ("reset", "end"):
                    client.close()
                else:
                    getattr(transport, how)()
                assert await lost
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


async def test_answers_to_pings_among_messages_change_nothing_of_their_order(live: Live) -> None:
    async with connection(live) as line:
        line.send(HANDSHAKE + masked(TEXT, b"40"))
        await line.answer()
        await line.frame()
        await line.frame()

        for number in range(3):
            line.send(masked(TEXT, b"3") + masked(TEXT, b'42%d["echo",%d]' % (number, number)) + masked(TEXT, b"3"))
            line.send(masked(TEXT, b"3"))

        assert [await line.frame() for _ in range(3)] == [(TEXT, b"43%d[%d]" % (number, number)) for number in range(3)]
