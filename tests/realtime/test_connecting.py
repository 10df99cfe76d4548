"""Who gets in, and what a client is told that does not: seen by the unchanged JavaScript client, or on the wire."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from socketio.exceptions import ConnectionRefusedError as Refused

from tests.support.js_client import POLLING, JsClients
from tests.support.raw_client import RawClients, raw_clients
from tests.support.realtime import Live, serving


class Gate:
    """A connect handler that waits until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    def guard(self, live: Live) -> None:
        async def connect(sid: str, _environ: dict[str, Any], _auth: Any) -> None:
            await live.sio.enter_room(sid, "room")
            self.reached.set()
            await self.open.wait()
            live.note("connect", sid)

        async def disconnect(sid: str, reason: str) -> None:
            live.note("disconnect", sid, reason)

        live.sio.on("connect", connect)
        live.sio.on("disconnect", disconnect)


@pytest.mark.node
async def test_a_client_connects_subscribes_and_gets_events(
    live: Live, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await js.connect(live.url, transports=transports, auth={"token": "t"})
    connected = await socket.wait("connect")
    assert await socket.call("join", "room") is True

    await live.sio.emit("news", {"n": 1}, to="room")
    await live.sio.emit("more", (1, "two", None), to=connected["sid"])

    assert await socket.event("news") == [{"n": 1}]
    assert await socket.event("more") == [1, "two", None]
    assert ("connect", connected["sid"], {"token": "t"}) in live.seen


@pytest.mark.node
@pytest.mark.parametrize("version", ["socket.io-client-4.0", "socket.io-client-4.5", "socket.io-client-4.6"])
async def test_earlier_clients_connect_too(live: Live, js: JsClients, version: Any) -> None:
    socket = await js.connect(live.url, version=version, transports=("polling", "websocket"))
    await socket.wait("upgrade")

    assert await socket.call("echo", "a", {"b": [1]}) == ["a", {"b": [1]}]


@pytest.mark.node
async def test_a_refused_client_reads_message_and_code_and_does_not_come_back(js: JsClients) -> None:
    def refusing(live: Live) -> None:
        async def connect(_sid: str, _environ: Any, _auth: Any) -> None:
            raise Refused("Invalid or expired token", {"code": "TOKEN_INVALID"})

        live.sio.on("connect", connect)

    async with serving(refusing) as live:
        socket = await js.connect(live.url)

        error = await socket.wait("connect_error")

        assert error["message"] == "Invalid or expired token"
        assert error["data"] == {"code": "TOKEN_INVALID"}
        assert live.sio.manager.rooms == {}


@pytest.mark.node
async def test_a_connect_handler_that_fails_is_told_to_the_client_and_leaves_nothing(
    js: JsClients, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(live: Live) -> None:
        async def connect(_sid: str, _environ: Any, _auth: Any) -> None:
            raise LookupError("the database is away")

        live.sio.on("connect", connect)

    async with serving(failing, recovery_ms=60_000) as live:
        socket = await js.connect(live.url, transports=POLLING)

        error = await socket.wait("connect_error")

        assert error["message"] == "internal error"
        assert "the database is away" in caplog.text
        assert (live.sio.manager.rooms, live.sio.manager.pending_connect) == ({}, {})


@pytest.mark.node
async def test_an_unknown_namespace_is_named_as_such(live: Live, js: JsClients) -> None:
    socket = await js.connect(live.url, namespace="/nowhere")

    assert (await socket.wait("connect_error"))["message"] == "Invalid namespace"


async def test_no_event_reaches_a_client_before_its_connect_handler_is_done() -> None:
    gate = Gate()
    async with serving(gate.guard) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.send("40")
        await gate.reached.wait()

        await live.sio.emit("secret", "to everybody")
        await live.sio.emit("secret", "to the room", to="room")
        gate.open.set()
        await live.saw("connect")
        await live.sio.emit("news", 1, to="room")

        connected = await socket.next()
        assert isinstance(connected, str)
        assert json.loads(connected[2:]) == {"sid": live.seen[0][1]}
        assert await socket.next() == '42["news",1]'


async def test_what_is_sent_to_a_connecting_client_alone_follows_its_connect() -> None:
    gate = Gate()
    async with serving(gate.guard) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.send("40")
        await gate.reached.wait()
        sid = next(iter(live.sio.manager.rooms["/"][None]))

        await live.sio.emit("welcome", 1, to=sid)
        gate.open.set()

        assert str(await socket.next()).startswith('40{"sid":')
        assert await socket.next() == '42["welcome",1]'


@pytest.mark.parametrize("recovery_ms", [0, 60_000])
async def test_a_client_that_is_sent_away_while_its_connect_handler_runs_does_not_get_in(recovery_ms: int) -> None:
    gate = Gate()
    async with serving(gate.guard, recovery_ms=recovery_ms) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.send("40")
        await gate.reached.wait()
        sid = next(iter(live.sio.manager.rooms["/"][None]))

        await live.sio.disconnect(sid)
        gate.open.set()

        assert await socket.next() == '44{"message":"Disconnected by the server"}'
        assert live.seen == [("connect", sid, None), ("disconnect", sid, "server disconnect")]
        assert (live.sio.manager.rooms, live.sio.metrics().sessions) == ({}, 0)


@pytest.mark.parametrize("recovery_ms", [0, 60_000])
async def test_a_client_that_leaves_while_its_connect_handler_runs_leaves_nothing(recovery_ms: int) -> None:
    gate = Gate()
    async with serving(gate.guard, recovery_ms=recovery_ms) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.send("40")
        await gate.reached.wait()

        await socket.socket.close()
        await live.until(lambda: all(link.closing for link in live.sio.eio.sockets.values()))
        gate.open.set()

        what, _, reason = await live.saw("disconnect")  # what the connect handler began is undone
        assert (what, reason) == ("disconnect", "transport close")
        await live.until(lambda: live.sio.metrics().sockets == 0)
        assert (live.sio.manager.rooms, live.sio.manager.pending_connect, live.sio.environ) == ({}, {}, {})


async def test_a_polling_client_that_leaves_while_its_connect_handler_runs_leaves_nothing() -> None:
    gate = Gate()
    async with serving(gate.guard) as live, raw_clients(live.url) as raw:
        session = await raw.polling()
        connecting = asyncio.create_task(session.post("40"))
        await gate.reached.wait()
        link = next(iter(live.sio.eio.sockets.values()))

        closing = asyncio.create_task(link.close())
        gate.open.set()
        await asyncio.gather(connecting, closing)

        assert live.sio.manager.rooms == {}
        assert live.sio.metrics().sockets == 0


async def test_a_connection_that_enters_no_namespace_is_closed() -> None:
    async with serving(connect_timeout=0.05) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()

        assert await socket.rest() == []
        assert live.sio.metrics().drops == {"connect timeout": 1}


async def test_a_connection_that_left_its_last_namespace_is_closed() -> None:
    async with serving(connect_timeout=0.05) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()

        await socket.send("41")

        assert await socket.rest() == []


async def test_a_client_cannot_call_the_connect_handler_as_an_event(live: Live, raw: RawClients) -> None:
    socket = await raw.websocket()
    await socket.enter()

    await socket.send('42["connect",{},{"token":"x"}]')

    assert await socket.rest() == []
    assert [note[0] for note in live.seen].count("connect") == 1


async def test_a_second_connect_to_the_same_namespace_is_refused_and_harms_nothing(live: Live, raw: RawClients) -> None:
    socket = await raw.websocket()
    await socket.enter()

    await socket.send("40")

    assert await socket.next() == '44{"message":"Already connected"}'
    await live.sio.emit("news")
    assert await socket.next() == '42["news"]'


async def test_no_compression_is_agreed_on(live: Live, raw: RawClients) -> None:
    socket = await raw.websocket(compress=15)

    assert socket.socket.compress == 0


async def test_a_page_of_a_foreign_origin_cannot_connect() -> None:
    async with serving(cors_allowed_origins=["http://localhost:3000"]) as live, raw_clients(live.url) as raw:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await raw.websocket(origin="https://evil.example")
        await raw.websocket(origin="http://localhost:3000")
        await raw.websocket(origin=live.url)  # our own page


async def test_a_hundred_packets_in_one_post_all_arrive(live: Live, raw: RawClients) -> None:
    session = await raw.polling()
    await session.post("40")
    await session.packets()

    status, _ = await session.post(*(f'42["join","room {n}"]' for n in range(100)))

    assert status == 200
    await live.until(
        lambda: [room for what, _, room in live.seen if what == "join"] == [f"room {n}" for n in range(100)]
    )
