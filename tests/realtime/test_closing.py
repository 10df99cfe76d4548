"""How connections end: what the client sees, whether it comes back, and that the server waits for nobody."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.js_client import WEBSOCKET, JsClients
from tests.support.raw_client import RawClients, raw_clients
from tests.support.realtime import Live, serving


@pytest.mark.node
async def test_a_client_whose_transport_is_closed_comes_back_by_itself_with_fresh_auth(
    live: Live, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await js.connect(live.url, transports=transports, auth={"token": "old"})
    first = await socket.wait("connect")
    await socket.set_auth({"token": "new"})

    await live.sio.close_transport(first["sid"])

    assert (await socket.wait("disconnect"))["reason"] in ("transport close", "transport error")
    second = await socket.wait("connect")
    assert ("connect", second["sid"], {"token": "new"}) in live.seen


@pytest.mark.node
async def test_a_client_that_is_sent_away_stays_away(live: Live, js: JsClients, transports: tuple[str, ...]) -> None:
    socket = await js.connect(live.url, transports=transports)
    connected = await socket.wait("connect")

    await live.sio.disconnect(connected["sid"])

    assert (await socket.wait("disconnect"))["reason"] == "io server disconnect"
    assert await live.saw("disconnect") == ("disconnect", connected["sid"], "server disconnect")
    assert live.sio.manager.rooms == {}


@pytest.mark.node
async def test_a_shutdown_is_seen_as_a_loss_of_transport_at_once(js: JsClients, transports: tuple[str, ...]) -> None:
    async with serving() as live:
        socket = await js.connect(live.url, transports=transports, reconnection=False)
        await socket.wait("connect")
        if transports[0] != transports[-1]:
            await socket.wait("upgrade")

        async with asyncio.timeout(2):
            await live.sio.shutdown()

        assert (await socket.wait("disconnect"))["reason"] == "transport close"
        assert (await live.saw("disconnect"))[2] == "transport close"
        assert live.sio.metrics().sockets == 0


async def test_a_server_that_shuts_down_takes_nobody_in(live: Live, raw: RawClients) -> None:
    await live.sio.shutdown()

    async with raw.http.get(f"{live.url}/socket.io/?EIO=4&transport=polling") as response:
        assert response.status == 503


async def test_a_shutdown_does_not_wait_for_a_disconnect_handler_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.realtime.engine.SHUTDOWN_S", 0.05)

    def stuck(live: Live) -> None:
        async def disconnect(_sid: str, _reason: str) -> None:
            await asyncio.Event().wait()

        live.sio.on("disconnect", disconnect)

    async with serving(stuck) as live, raw_clients(live.url) as raw:
        await (await raw.websocket()).enter()

        async with asyncio.timeout(2):
            await live.sio.shutdown()


@pytest.mark.node
async def test_a_client_that_leaves_is_gone_for_good(live: Live, js: JsClients, transports: tuple[str, ...]) -> None:
    socket = await js.connect(live.url, transports=transports)
    connected = await socket.wait("connect")

    await socket.leave()

    assert await live.saw("disconnect") == ("disconnect", connected["sid"], "client disconnect")


async def test_a_failing_disconnect_handler_is_logged_and_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def failing(live: Live) -> None:
        async def disconnect(_sid: str, _reason: str) -> None:
            raise LookupError("nobody knows")

        live.sio.on("disconnect", disconnect)

    async with serving(failing) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        await socket.enter()

        await socket.socket.close()

        await live.until(lambda: live.sio.metrics().sockets == 0)
        assert (live.sio.manager.rooms, live.sio.manager.pending_disconnect) == ({}, {})
        assert "nobody knows" in caplog.text


@pytest.mark.node
async def test_the_javascript_client_notices_a_server_that_dropped_the_connection(live: Live, js: JsClients) -> None:
    socket = await js.connect(live.url, transports=WEBSOCKET)
    await socket.wait("connect")

    for link in list(live.sio.eio.sockets.values()):
        link.cut("test")

    assert (await socket.wait("disconnect"))["reason"] == "transport close"
    await socket.wait("connect")
