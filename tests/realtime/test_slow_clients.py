"""A client that does not read what it is sent harms nobody but itself, and not for long."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket as sockets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from socketio.packet import EVENT

from server.realtime import inbound, link
from server.realtime.frames import encode
from tests.support.js_client import JsClients
from tests.support.raw_client import raw_clients
from tests.support.realtime import Live, serving

BUFFER = 64 * 1024


class Deaf:
    """A WebSocket client with a small receive buffer that reads only when told to."""

    def __init__(self, raw: sockets.socket) -> None:
        self._raw = raw
        self._buffer = b""

    @classmethod
    async def connect(cls, url: str) -> Deaf:
        raw = sockets.socket()
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.setblocking(False)
        host, port = url.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (host, int(port)))
        deaf = cls(raw)
        await loop.sock_sendall(
            raw,
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode(),
        )
        while b"\r\n\r\n" not in deaf._buffer:
            await deaf._fill()
        deaf._buffer = deaf._buffer.partition(b"\r\n\r\n")[2]
        await deaf.packet()  # the Engine.IO handshake
        await loop.sock_sendall(raw, b"\x81\x82\0\0\0\0" + b"40")
        await deaf.packet()
        return deaf

    async def _fill(self) -> None:
        async with asyncio.timeout(10):
            data = await asyncio.get_running_loop().sock_recv(self._raw, 65536)
        if not data:
            raise ConnectionResetError
        self._buffer += data

    async def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._fill()
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    async def packet(self) -> str:
        """Read one packet, however late."""
        length = (await self._take(2))[1]
        if length > 125:
            length = int.from_bytes(await self._take(2 if length == 126 else 8), "big")
        return (await self._take(length)).decode()

    async def events(self, last: str) -> list[list[Any]]:
        """Read every event up to the one named *last*."""
        events: list[list[Any]] = []
        while not events or events[-1][0] != last:
            packet = await self.packet()
            if packet.startswith("42"):
                events.append(json.loads(packet[2:]))
        return events

    def close(self) -> None:
        self._raw.close()


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    async with serving(buffer_bytes=BUFFER) as live:
        yield live


@pytest.fixture
async def deaf(live: Live) -> AsyncIterator[Deaf]:
    """A client that is connected and has stopped reading, with so much sent that it is congested."""
    deaf = await Deaf.connect(live.url)
    while not live.sio.metrics().congested:
        await live.sio.emit("fill", "x" * 30_000)
        await asyncio.sleep(0)
    yield deaf
    deaf.close()


async def test_a_client_over_its_bound_is_cut_and_freed(live: Live, deaf: Deaf) -> None:
    most = 0
    while live.sio.metrics().sockets:
        await live.sio.emit("tick", "x" * 1000)
        most = max(most, live.sio.metrics().backlog_bytes)
        await asyncio.sleep(0)

    assert live.sio.metrics().drops == {"backlog": 1}
    assert BUFFER - 2000 < most <= BUFFER
    assert await live.saw("disconnect") == ("disconnect", live.seen[0][1], "transport close")
    assert live.sio.manager.rooms == {}


async def test_the_kernel_keeps_nothing_for_a_client_that_was_cut(live: Live, deaf: Deaf) -> None:
    while live.sio.metrics().sockets:
        await live.sio.emit("tick", "x" * 1000)
        await asyncio.sleep(0)

    with pytest.raises(ConnectionResetError) as reset:  # else all that was sent, and then the end
        await deaf.events("never")
    assert reset.value.errno == errno.ECONNRESET


async def test_a_client_that_is_too_far_behind_is_cut(live: Live, deaf: Deaf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PATIENCE_S", 0.0)

    await live.sio.emit("tick", 1)

    await live.until(lambda: live.sio.metrics().sockets == 0)
    assert live.sio.metrics().drops == {"late": 1}


async def test_progress_collapses_to_the_newest_and_nothing_else_does(live: Live, deaf: Deaf) -> None:
    for n in range(20):
        await live.sio.emit("progress", ("a", n), collapse="progress:a")
        await live.sio.emit("progress", ("b", n), collapse="progress:b")
        await live.sio.emit("started", n)
    await live.sio.emit("end")

    events = [event for event in await deaf.events("end") if event[0] != "fill"]
    assert [event for event in events if event[0] == "progress"][-2:] == [["progress", "a", 19], ["progress", "b", 19]]
    assert [event for event in events if event[0] == "started"] == [["started", n] for n in range(20)]
    waiting = events.index(["started", 0])
    assert sum(event[0] == "progress" for event in events[waiting:]) == 2
    await live.until(lambda: live.sio.metrics().congested == 0)


async def test_progress_behind_a_replay_is_not_collapsed(live: Live, deaf: Deaf) -> None:
    (way_out,) = live.sio.eio.sockets.values()
    way_out.send_replay([encode(EVENT, "/", ["missed", n]) for n in range(3)])

    for n in range(20):
        await live.sio.emit("progress", n, collapse="progress")
    await live.sio.emit("end")

    events = [event for event in await deaf.events("end") if event[0] in ("missed", "progress")]
    assert events == [["missed", n] for n in range(3)] + [["progress", n] for n in range(20)]


async def test_a_client_that_catches_up_is_written_to_directly_again_and_lost_nothing(live: Live, deaf: Deaf) -> None:
    for n in range(30):
        await live.sio.emit("tick", n)
    await live.sio.emit("end")

    events = [event for event in await deaf.events("end") if event[0] == "tick"]
    assert events == [["tick", n] for n in range(30)]

    await live.until(lambda: live.sio.metrics().congested == 0)
    await live.sio.emit("again", 1)
    await live.sio.emit("end")
    assert await deaf.events("end") == [["again", 1], ["end"]]
    assert live.sio.metrics().drops == {}


async def test_the_others_get_every_event_meanwhile(live: Live, deaf: Deaf) -> None:
    async with raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()

        for n in range(100):
            await live.sio.emit("tick", (n, "x" * 5000))
            assert json.loads(str(await socket.next())[2:])[1] == n

        assert live.sio.metrics().drops == {"backlog": 1}


async def test_one_event_larger_than_the_bound_passes(live: Live) -> None:
    async with raw_clients(live.url) as raw:
        socket, polling = await raw.websocket(), await raw.polling()
        await socket.enter()
        await polling.post("40")
        await polling.packets()

        await live.sio.emit("large", "x" * 500_000)

        assert len(str(await socket.next())) > 500_000
        assert len((await polling.packets())[0]) > 500_000


async def test_a_polling_client_that_stopped_polling_is_cut_at_the_bound(live: Live) -> None:
    async with raw_clients(live.url) as raw:
        session = await raw.polling()
        await session.post("40")
        await session.packets()

        while live.sio.metrics().sockets:
            await live.sio.emit("tick", "x" * 1000)
            assert live.sio.metrics().backlog_bytes <= BUFFER
            await asyncio.sleep(0)

        assert (await session.poll())[0] == 400
        assert live.sio.metrics().drops == {"backlog": 1}


async def test_a_polling_client_that_stopped_polling_is_cut_at_the_number_of_packets() -> None:
    async with serving() as live, raw_clients(live.url) as raw:
        session = await raw.polling()
        await session.post("40")
        await session.packets()

        for n in range(link.POLL_PACKETS + 1):
            await live.sio.emit("tick", n)

        await live.until(lambda: live.sio.metrics().sockets == 0)
        assert live.sio.metrics().drops == {"backlog": 1}


async def test_a_congested_client_does_not_hold_up_the_shutdown(live: Live, deaf: Deaf) -> None:
    await live.sio.emit("tick")

    async with asyncio.timeout(2):
        await live.sio.shutdown()

    assert live.sio.metrics().sockets == 0


@pytest.mark.node
async def test_a_stopped_client_is_freed_within_the_ping_timeout_and_recovers_all_of_it(js: JsClients) -> None:
    async with serving(recovery_ms=60_000, ping_interval=0.3, ping_timeout=0.3) as live:
        socket = await js.connect(live.url)
        await socket.wait("connect")

        os.kill(js.pid, signal.SIGSTOP)
        try:
            for n in range(1000):
                await live.sio.emit("tick", n)
            await live.until(lambda: live.sio.metrics().sockets == 0)
        finally:
            os.kill(js.pid, signal.SIGCONT)

        again = await socket.wait_for("connect", lambda entry: bool(entry["recovered"]))
        assert again["sid"] == live.seen[0][1]
        await socket.until(lambda: len(socket.events("tick")) >= 1000)
        assert [tick[0] for tick in socket.events("tick")] == list(range(1000))


async def test_no_more_is_read_from_a_client_than_its_handlers_can_take(live: Live) -> None:
    running, most, go_on = 0, 0, asyncio.Event()

    async def work(_sid: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        live.note("worked", "")

    live.sio.on("work", work)
    async with raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()

        for _ in range(100):
            await socket.send('42["work"]')
        await live.until(lambda: running == inbound.HANDLERS_PER_CLIENT)
        go_on.set()

        await live.until(lambda: sum(what == "worked" for what, _, _ in live.seen) == 100)
        assert most == inbound.HANDLERS_PER_CLIENT


@pytest.mark.parametrize(
    "packets",
    [
        ['45999999-["x"]'],
        ['452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"x" * 600, b"x" * 600],
        ['451-["x",{"_placeholder":true,"num":0}]', '42["text"]'],
        ['451-["x",{"_placeholder":true,"num":7}]', b"x"],
        [b"x"],
        ["x" * 2000],
    ],
)
async def test_a_client_that_sends_too_much_or_nonsense_is_cut(packets: list[str | bytes]) -> None:
    async with serving(max_http_buffer_size=1000) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()

        for packet in packets:
            await socket.send(packet)

        assert await socket.rest() == []
        await live.until(lambda: live.sio.metrics().sockets == 0)


async def test_a_post_over_the_limit_is_refused_and_ends_the_session() -> None:
    async with serving(max_http_buffer_size=1000) as live, raw_clients(live.url) as raw:
        session = await raw.polling()

        status, _ = await session.post("4" + "x" * 1000)

        assert status == 400
        assert live.sio.metrics().sockets == 0


async def test_a_client_that_reads_is_not_cut_for_what_one_turn_of_the_loop_made(live: Live) -> None:
    count = 4000
    async with raw_clients(live.url) as raw:
        socket, polling = await raw.websocket(), await raw.polling()
        await socket.enter()
        await polling.post("40")
        await polling.packets()
        poll = asyncio.create_task(polling.poll())
        await live.until(lambda: any(link._poll.is_open for link in live.sio.eio.sockets.values()))

        for n in range(count):
            await live.sio.emit("tick", n)

        assert [json.loads(str(await socket.next())[2:])[1] for _ in range(count)] == list(range(count))
        assert (await poll)[1].startswith('42["tick",0]')
        assert live.sio.metrics().drops == {}


async def test_a_polling_client_is_not_cut_for_a_replay_it_is_still_reading() -> None:
    async with serving(recovery_ms=60_000) as live, raw_clients(live.url) as raw:
        first = await raw.polling()
        await first.post("40")
        hello = json.loads((await first.packets())[0][2:])
        (way_out,) = live.sio.eio.sockets.values()
        way_out.cut("test")
        await live.saw("disconnect")
        for n in range(4000):
            await live.sio.emit("tick", (n, "x" * 100))

        second = await raw.polling()
        await second.post("40" + json.dumps({"pid": hello["pid"]}))
        seen: list[int] = []
        live_ones = iter(range(4000, 4010))
        while len(seen) < 4010:
            seen += [json.loads(packet[2:])[1] for packet in await second.packets() if packet.startswith("42")]
            for n in live_ones:
                await live.sio.emit("tick", n)
                break

        assert seen == list(range(4010))
        assert live.sio.metrics().drops == {"test": 1}


async def test_a_client_whose_calls_take_long_is_not_taken_for_dead() -> None:
    go_on = asyncio.Event()

    def slow(live: Live) -> None:
        async def connect(sid: str, _environ: dict[str, Any], _auth: Any) -> None:
            live.note("connect", sid)

        async def work(_sid: str) -> int:
            await go_on.wait()
            return 1

        live.sio.on("connect", connect)
        live.sio.on("work", work)

    async with serving(slow, ping_interval=0.02, ping_timeout=0.02) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()
        calls = inbound.HANDLERS_PER_CLIENT + 2
        for number in range(calls):
            await socket.send(f'42{number}["work"]')

        pings = 0
        while pings < 20:  # many times what a client is given to answer one
            assert await socket.receive() == "2"
            await socket.send("3")
            pings += 1
        assert await live.sio.answers(live.seen[0][1], within_s=0.01)
        go_on.set()

        answers = {await socket.next() for _ in range(calls)}
        assert answers == {f"43{number}[1]" for number in range(calls)}
