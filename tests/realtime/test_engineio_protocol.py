"""Engine.IO, revision 4, case by case as the protocol's document and its test suite have it, against the bare engine.

https://github.com/socketio/socket.io/tree/main/docs/engine.io-protocol
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from server.realtime.counters import Counters
from server.realtime.engine import Engine
from tests.support.listening import listening
from tests.support.raw_client import RawClients, raw_clients

PING_INTERVAL_S, PING_TIMEOUT_S = 0.3, 0.2
HELLO = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


@pytest.fixture
async def raw() -> AsyncIterator[RawClients]:
    """Clients of a server that sends back what it gets."""
    engine = Engine(
        buffer_bytes=1 << 20,
        connect_timeout=60,
        counters=Counters(),
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
    )

    async def echo(sid: str, data: str | bytes) -> None:
        await engine.send(sid, data)

    engine.on("message", echo)
    app = web.Application()
    engine.attach(app)
    async with listening(app, shutdown_timeout=1.0) as url:
        try:
            async with raw_clients(url, "/engine.io/") as raw:
                yield raw
        finally:
            await engine.shutdown()


async def test_polling_opens_a_session(raw: RawClients) -> None:
    hello = (await raw.polling()).hello

    assert hello.keys() == HELLO
    assert isinstance(hello["sid"], str)
    assert hello["upgrades"] == ["websocket"]
    assert (hello["pingInterval"], hello["pingTimeout"], hello["maxPayload"]) == (300, 200, 1_000_000)


async def test_a_websocket_opens_a_session(raw: RawClients) -> None:
    hello = (await raw.websocket()).hello

    assert hello.keys() == HELLO
    assert hello["upgrades"] == []
    assert (hello["pingInterval"], hello["pingTimeout"], hello["maxPayload"]) == (300, 200, 1_000_000)


@pytest.mark.parametrize(
    "query",
    ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc", "EIO=3&transport=polling"],
)
async def test_a_bad_handshake_is_refused(raw: RawClients, query: str) -> None:
    async with raw.http.get(f"{raw.url}?{query}") as response:
        assert response.status == 400

    with pytest.raises(aiohttp.WSServerHandshakeError):
        await raw.http.ws_connect(f"{raw.url}?{query.replace('polling', 'websocket')}")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_handshake_is_a_get(raw: RawClients, method: str) -> None:
    async with raw.http.request(method, f"{raw.url}?EIO=4&transport=polling") as response:
        assert response.status == 400


@pytest.mark.parametrize("payload", [["4hello"], ["4test1", "4test2", "4test3"], ["4hello", "bAQIDBA=="]])
async def test_polling_carries_packets_both_ways(raw: RawClients, payload: list[str]) -> None:
    session = await raw.polling()

    assert await session.post(*payload) == (200, "ok")

    assert await session.poll() == (200, "\x1e".join(payload))


async def test_an_invalid_packet_ends_a_polling_session(raw: RawClients) -> None:
    session = await raw.polling()

    assert (await session.post("abc"))[0] == 400

    assert (await session.poll())[0] == 400


async def test_two_polls_at_the_same_time_end_the_session(raw: RawClients) -> None:
    session = await raw.polling()

    first = asyncio.create_task(session.poll())
    await asyncio.sleep(0.02)
    second = await session.poll()

    assert await first == (200, "1")
    assert second[0] == 400
    assert (await session.poll())[0] == 400


async def test_a_poll_that_the_client_gave_up_ends_the_session(raw: RawClients) -> None:
    session = await raw.polling()
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.02)

    poll.cancel()

    assert (await session.poll())[0] == 400


@pytest.mark.parametrize("packet", ["4hello", b"\x01\x02\x03\x04"])
async def test_a_websocket_carries_packets_both_ways(raw: RawClients, packet: str | bytes) -> None:
    socket = await raw.websocket()

    await socket.send(packet)

    assert await socket.receive() == packet


@pytest.mark.parametrize("packet", ["abc", "", "2", "9"])
async def test_an_invalid_packet_closes_a_websocket(raw: RawClients, packet: str) -> None:
    socket = await raw.websocket()

    await socket.send(packet)

    assert await socket.receive() is None


async def test_polling_has_a_heartbeat(raw: RawClients) -> None:
    session = await raw.polling()

    for _ in range(3):
        assert await session.poll() == (200, "2")
        assert await session.post("3") == (200, "ok")


async def test_a_websocket_has_a_heartbeat(raw: RawClients) -> None:
    socket = await raw.websocket()

    for _ in range(3):
        assert await socket.receive() == "2"
        await socket.send("3")


async def test_an_unanswered_ping_ends_a_polling_session(raw: RawClients) -> None:
    session = await raw.polling()

    await asyncio.sleep(PING_INTERVAL_S + PING_TIMEOUT_S + 0.1)

    assert (await session.poll())[0] == 400


async def test_an_unanswered_ping_closes_a_websocket(raw: RawClients) -> None:
    socket = await raw.websocket()

    assert [await socket.receive(), await socket.receive()] == ["2", None]


async def test_any_packet_is_a_sign_of_life(raw: RawClients) -> None:
    socket = await raw.websocket()

    assert await socket.receive() == "2"
    await socket.send("4still here")
    assert await socket.receive() == "4still here"
    assert await socket.receive() == "2"


async def test_a_client_closes_a_polling_session(raw: RawClients) -> None:
    session = await raw.polling()
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.02)

    await session.post("1")

    assert await poll == (200, "6")
    assert (await session.poll())[0] == 400


async def test_a_client_closes_a_websocket(raw: RawClients) -> None:
    socket = await raw.websocket()

    await socket.send("1")

    assert await socket.receive() is None


async def test_polling_is_upgraded_to_a_websocket(raw: RawClients) -> None:
    session = await raw.polling()
    socket = await raw.websocket(session.hello["sid"])

    await socket.send("2probe")
    assert await socket.receive() == "3probe"
    assert await session.poll() == (200, "6")
    await socket.send("5")
    await socket.send("4hello")

    assert await socket.next() == "4hello"


async def test_a_poll_that_waits_is_ended_by_the_probe(raw: RawClients) -> None:
    session = await raw.polling()
    poll = asyncio.create_task(session.poll())
    await asyncio.sleep(0.02)
    socket = await raw.websocket(session.hello["sid"])

    await socket.send("2probe")

    assert await poll == (200, "6")


async def test_after_the_upgrade_polling_is_refused_and_harms_nothing(raw: RawClients) -> None:
    session = await raw.polling()
    socket = await raw.websocket(session.hello["sid"])
    await socket.send("2probe")
    await socket.receive()
    await socket.send("5")
    await socket.send("4upgraded")
    assert await socket.next() == "4upgraded"

    assert (await session.poll())[0] == 400
    assert (await session.post("4hello"))[0] == 400
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await raw.websocket(session.hello["sid"])

    await socket.send("4hello")
    assert await socket.next() == "4hello"


async def test_an_abandoned_probe_leaves_polling_as_it_was(raw: RawClients) -> None:
    session = await raw.polling()
    socket = await raw.websocket(session.hello["sid"])
    await socket.send("2probe")
    await socket.receive()

    await socket.socket.close()

    assert await session.post("4hello") == (200, "ok")
    assert await session.packets() in (["4hello"], ["6"])
    assert await session.poll() == (200, "2")  # it waits again, for the heartbeat


@pytest.mark.parametrize("packet", ["4hello", "2", "5", b"\x01"])
async def test_a_probe_that_is_none_is_closed(raw: RawClients, packet: str | bytes) -> None:
    session = await raw.polling()
    socket = await raw.websocket(session.hello["sid"])

    await socket.send(packet)

    assert await socket.receive() is None
    assert await session.post("4hello") == (200, "ok")
    assert await session.poll() == (200, "4hello")


async def test_an_unknown_session_is_refused(raw: RawClients) -> None:
    for method in ("GET", "POST"):
        async with raw.http.request(method, f"{raw.url}?EIO=4&transport=polling&sid=unknown") as response:
            assert response.status == 400


async def test_two_posts_at_the_same_time_end_the_session(raw: RawClients) -> None:
    session = await raw.polling()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"4hel"
        await asyncio.sleep(0.05)
        yield b"lo"

    async def post_slowly() -> int:
        async with raw.http.post(session.url, data=slowly()) as response:
            return response.status

    first = asyncio.create_task(post_slowly())
    await asyncio.sleep(0.02)

    assert (await session.post("4hello"))[0] == 400
    await first
    assert (await session.poll())[0] == 400
