"""Socket.IO, revision 5, case by case as the protocol's document and its test suite have it.

https://github.com/socketio/socket.io/tree/main/docs/socket.io-protocol
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.raw_client import RawClients, RawSocket, raw_clients
from tests.support.realtime import Live, serving


def answering(live: Live) -> None:
    """The server the test suite expects: it says what auth it got, and answers ``message`` and ``message-with-ack``."""
    sio = live.sio
    for namespace in ("/", "/custom"):

        async def connect(sid: str, _environ: Any, auth: Any, namespace: str = namespace) -> None:
            await sio.emit("auth", auth or {}, to=sid, namespace=namespace)

        async def message(sid: str, *args: Any, namespace: str = namespace) -> None:
            await sio.emit("message-back", args, to=sid, namespace=namespace)

        async def with_ack(_sid: str, *args: Any) -> Any:
            return args

        sio.on("connect", connect, namespace=namespace)
        sio.on("message", message, namespace=namespace)
        sio.on("message-with-ack", with_ack, namespace=namespace)


@pytest.fixture
async def raw() -> AsyncIterator[RawClients]:
    async with (
        serving(answering, ping_interval=0.3, ping_timeout=0.2, connect_timeout=0.4) as live,
        raw_clients(live.url) as raw,
    ):
        yield raw


async def connected(raw: RawClients) -> RawSocket:
    socket = await raw.websocket()
    await socket.enter()
    assert await socket.next() == '42["auth",{}]'
    return socket


@pytest.mark.parametrize("place", ["", "/custom,"])
@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
async def test_a_client_connects_to_a_namespace(raw: RawClients, place: str, auth: str) -> None:
    socket = await raw.websocket()

    await socket.send(f"40{place}{auth}")

    answer = str(await socket.next())
    assert answer.startswith(f"40{place}{{")
    assert json.loads(answer[2 + len(place) :]).keys() == {"sid"}
    assert await socket.next() == f'42{place}["auth",{auth or "{}"}]'


async def test_an_unknown_namespace_is_refused(raw: RawClients) -> None:
    socket = await raw.websocket()

    await socket.send("40/random")

    assert await socket.next() == '44/random,{"message":"Invalid namespace"}'


@pytest.mark.parametrize("packet", ["4abc", '42["message"]x', "4", "47", b"\x01"])
async def test_an_invalid_handshake_closes_the_connection(raw: RawClients, packet: str | bytes) -> None:
    socket = await raw.websocket()

    await socket.send(packet)

    assert await socket.receive() is None


async def test_without_a_handshake_the_connection_is_closed(raw: RawClients) -> None:
    socket = await raw.websocket()

    assert await socket.rest() == []  # though it answers every ping


async def test_a_client_leaves_the_main_namespace(raw: RawClients) -> None:
    socket = await connected(raw)

    await socket.send("41")

    assert await socket.receive() == "2"


async def test_a_client_leaves_one_namespace_and_stays_in_the_other(raw: RawClients) -> None:
    socket = await connected(raw)
    await socket.enter("40/custom")
    assert await socket.next() == '42/custom,["auth",{}]'

    await socket.send("41/custom")
    await socket.send('42["message","message to main namespace"]')

    assert await socket.next() == '42["message-back","message to main namespace"]'


async def test_an_event_goes_both_ways(raw: RawClients) -> None:
    socket = await connected(raw)

    await socket.send('42["message",1,"2",{"3":[true]}]')

    assert await socket.next() == '42["message-back",1,"2",{"3":[true]}]'


PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


async def test_an_event_with_attachments_goes_both_ways(raw: RawClients) -> None:
    socket = await connected(raw)

    for packet in (f'452-["message",{PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06"):
        await socket.send(packet)

    assert await socket.next() == f'452-["message-back",{PLACEHOLDERS}]'
    assert [await socket.next(), await socket.next()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_an_event_is_acknowledged(raw: RawClients) -> None:
    socket = await connected(raw)

    await socket.send('42456["message-with-ack",1,"2",{"3":[false]}]')

    assert await socket.next() == '43456[1,"2",{"3":[false]}]'


async def test_an_event_with_attachments_is_acknowledged_with_them(raw: RawClients) -> None:
    socket = await connected(raw)

    for packet in (f'452-789["message-with-ack",{PLACEHOLDERS}]', b"\x01\x02\x03", b"\x04\x05\x06"):
        await socket.send(packet)

    assert await socket.next() == f"462-789[{PLACEHOLDERS}]"
    assert [await socket.next(), await socket.next()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_an_event_that_announces_no_attachments_is_an_event(raw: RawClients) -> None:
    socket = await connected(raw)

    await socket.send('450-["message","plain"]')

    assert await socket.next() == '42["message-back","plain"]'


@pytest.mark.parametrize(
    "packet",
    ["4abc", "42{}", '42abc["message-with-ack",1]', "42", "4243", '42["message"', "44{}", '41{"x":1}', '40["x"]'],
)
async def test_an_invalid_packet_closes_the_connection(raw: RawClients, packet: str) -> None:
    socket = await connected(raw)

    await socket.send(packet)

    assert await socket.receive() is None


async def test_a_batch_of_packets_that_did_not_wait_for_connect_is_handled_in_order(raw: RawClients) -> None:
    session = await raw.polling()

    await session.post("40", '42["message",1]', '421["message-with-ack",2]')

    got: list[str] = []
    while len(got) < 4:
        got += await session.packets()
    assert got[0].startswith("40{")
    assert got[1:] == ['42["auth",{}]', '42["message-back",1]', "431[2]"]
