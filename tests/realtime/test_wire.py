"""The WebSocket itself: what comes early, what is not a message, and what is not WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import pack

import pytest

from tests.support.realtime import Live, serving

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
