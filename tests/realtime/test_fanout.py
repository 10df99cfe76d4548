"""One event to many sockets: who gets it, in which order, over which transport."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvloop
from socketio.async_pubsub_manager import AsyncPubSubManager

from server.realtime import RedisFanout, SharedFanout
from server.realtime.frames import Frame
from server.realtime.wire import WebSocketWire
from tests.support.certificates import self_signed
from tests.support.js_client import POLLING, UPGRADE, WEBSOCKET, JsClients
from tests.support.raw_client import RawClients, raw_clients
from tests.support.realtime import Live, serving


async def test_a_socket_in_several_of_the_rooms_gets_the_event_once(live: Live, raw: RawClients) -> None:
    both, one, none = [await raw.websocket() for _ in range(3)]
    sids = [(await socket.enter())["sid"] for socket in (both, one, none)]
    for sid, room in ((sids[0], "a"), (sids[0], "b"), (sids[1], "b")):
        await live.sio.enter_room(sid, room)

    await live.sio.emit("news", 1, to=["a", "b", "unknown"])
    await live.sio.emit("end")

    assert [await both.next(), await both.next()] == ['42["news",1]', '42["end"]']
    assert [await one.next(), await one.next()] == ['42["news",1]', '42["end"]']
    assert await none.next() == '42["end"]'
    assert (live.sio.metrics().events, live.sio.metrics().deliveries) == (2, 5)


@pytest.mark.parametrize("nobody", [[], (), "unknown", ["unknown"]])
async def test_an_event_to_nobody_reaches_nobody(live: Live, raw: RawClients, nobody: Any) -> None:
    socket = await raw.websocket()
    await socket.enter()

    await live.sio.emit("news", to=nobody)
    await live.sio.emit("news", namespace="/unknown")
    await live.sio.emit("end")

    assert await socket.next() == '42["end"]'


@pytest.mark.parametrize("as_list", [False, True])
async def test_a_skipped_socket_does_not_get_the_event(live: Live, raw: RawClients, as_list: bool) -> None:
    socket, skipped = await raw.websocket(), await raw.websocket()
    await socket.enter()
    sid = (await skipped.enter())["sid"]

    await live.sio.emit("news", skip_sid=[sid] if as_list else sid)
    await live.sio.emit("end")

    assert await socket.next() == '42["news"]'
    assert await skipped.next() == '42["end"]'


async def test_what_is_sent_in_one_turn_of_the_loop_leaves_in_one_write_in_its_order(
    live: Live, raw: RawClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await raw.websocket()
    sid = (await socket.enter())["sid"]
    writes: list[bytes] = []
    write = WebSocketWire.write

    def noting(self: WebSocketWire, data: bytes) -> bool:
        writes.append(data)
        return write(self, data)

    monkeypatch.setattr(WebSocketWire, "write", noting)

    for n in range(10):
        await live.sio.emit("news", n)
    await live.sio.emit("blob", b"x", to=sid)
    await live.sio.emit("last")

    received = [await socket.next() for _ in range(13)]
    assert received[:10] == [f'42["news",{n}]' for n in range(10)]
    assert received[10:] == ['451-["blob",{"_placeholder":true,"num":0}]', b"x", '42["last"]']
    assert len(writes) == 1


@pytest.mark.node
async def test_an_acknowledgement_comes_after_the_events_made_before_it(
    js: JsClients, transports: tuple[str, ...]
) -> None:
    def counting(live: Live) -> None:
        async def ask(sid: str, number: int) -> int:
            for part in range(5):
                await live.sio.emit("part", (number, part), to=sid)
            return number

        live.sio.on("ask", ask)

    async with serving(counting) as live:
        socket = await js.connect(live.url, transports=transports)
        await socket.wait("connect")

        for number in range(20):
            assert await socket.call("ask", number) == number
            assert len(socket.events("part")) == 5 * (number + 1)

        assert socket.events("part") == [[number, part] for number in range(20) for part in range(5)]


@pytest.mark.node
async def test_no_event_is_lost_or_overtaken_while_clients_upgrade(live: Live, js: JsClients) -> None:
    sockets = [await js.connect(live.url, transports=UPGRADE) for _ in range(5)]
    for socket in sockets:
        sid = (await socket.wait("connect"))["sid"]
        await live.sio.enter_room(sid, "room")
    n = 0
    while not all(socket.happened_to("upgrade") for socket in sockets):
        for _ in range(5):
            await live.sio.emit("tick", n, to="room")
            n += 1
        await sockets[n // 5 % 5].call("echo")  # at the pace of the clients
    await live.sio.emit("end", to="room")

    for socket in sockets:
        await socket.event("end")
        assert socket.events("tick") == [[number] for number in range(n)]


@pytest.mark.node
async def test_binary_events_reach_every_transport(live: Live, js: JsClients) -> None:
    sockets = [await js.connect(live.url, transports=transports) for transports in (WEBSOCKET, POLLING, UPGRADE)]
    for socket in sockets:
        await socket.wait("connect")

    for n in range(20):
        await live.sio.emit("blob", (n, bytes([n]), {"more": b"\x00\xff"}))
    await live.sio.emit("end")

    for socket in sockets:
        await socket.event("end")
        assert socket.events("blob") == [[n, bytes([n]), {"more": b"\x00\xff"}] for n in range(20)]
        assert await socket.call("echo", b"\x01\x02", [b"\x03"]) == [b"\x01\x02", [b"\x03"]]


@pytest.mark.node
async def test_a_client_acknowledges_to_the_callback_of_that_event(
    live: Live, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await js.connect(live.url, transports=transports)
    sid = (await socket.wait("connect"))["sid"]

    answers = await asyncio.gather(*(live.sio.call("question", n, to=sid, timeout=10) for n in range(5)))

    assert answers == [0, 1, 2, 3, 4]


@pytest.mark.node
async def test_clients_of_every_kind_get_the_same_events(live: Live, js: JsClients) -> None:
    kinds = [WEBSOCKET, POLLING, UPGRADE] * 4
    sockets = [await js.connect(live.url, transports=kind) for kind in kinds]
    for socket in sockets:
        await socket.wait("connect")

    for n in range(200):
        await live.sio.emit("tick", n)
        if n % 10 == 0:
            await asyncio.sleep(0)

    for socket in sockets:
        await socket.until(lambda socket=socket: len(socket.events("tick")) == 200)  # type: ignore[misc]
        assert socket.events("tick") == [[n] for n in range(200)]


async def talk(live: Live, trust: ssl.SSLContext | None = None) -> None:
    """Connect, subscribe, get a burst, large frames and an acknowledgement, and survive a shutdown."""
    async with raw_clients(live.url, trust=trust) as raw:
        socket, polling = await raw.websocket(), await raw.polling()
        await socket.enter()
        await polling.post("40")
        await polling.packets()

        for n in range(100):
            await live.sio.emit("tick", n)
        await live.sio.emit("large", "x" * 300_000)
        await socket.send('421["echo","hello"]')

        assert [await socket.next() for _ in range(100)] == [f'42["tick",{n}]' for n in range(100)]
        assert await socket.next() == f'42["large","{"x" * 300_000}"]'
        assert await socket.next() == '431["hello"]'
        got: list[str] = []
        while len(got) < 101:
            got += await polling.packets()
        assert got[:100] == [f'42["tick",{n}]' for n in range(100)]

        await live.sio.shutdown()
        await live.sio.emit("nobody is there")
        assert await socket.next() is None


def test_it_runs_on_uvloop() -> None:
    async def scenario() -> None:
        async with serving() as live:
            await talk(live)

    uvloop.run(scenario())


async def over_tls(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(ssl_context=context) as live:
        await talk(live, ssl.create_default_context(cafile=str(certificate)))


async def test_it_runs_over_tls(tmp_path: Path) -> None:
    await over_tls(self_signed(tmp_path))


def test_it_runs_over_tls_on_uvloop(tmp_path: Path) -> None:
    uvloop.run(over_tls(self_signed(tmp_path)))


class Bus:
    """A message queue inside the process."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[dict[str, Any]]] = []


class BusTransport(AsyncPubSubManager):  # type: ignore[misc]
    """What AsyncRedisManager is for Redis."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        bus.queues.append(self._queue)

    async def _publish(self, data: dict[str, Any]) -> None:
        for queue in self._bus.queues:
            queue.put_nowait(data)

    async def _listen(self) -> Any:
        while True:
            yield await self._queue.get()


class BusFanout(SharedFanout, BusTransport):
    """Made like RedisFanout."""


async def test_an_event_of_one_process_reaches_the_clients_of_the_others_collapse_key_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = Bus()
    managers = [BusFanout(bus), BusFanout(bus)]
    async with (
        serving(client_manager=managers[0], recovery_ms=60_000) as here,
        serving(client_manager=managers[1], recovery_ms=60_000) as there,
        raw_clients(here.url) as raw_here,
        raw_clients(there.url) as raw_there,
    ):
        near, far = await raw_here.websocket(), await raw_there.websocket()
        await near.enter()
        await far.enter()
        collapsing: list[str | None] = []
        deliver = BusFanout._deliver

        def noting(self: BusFanout, frame: Frame, *rest: Any) -> None:
            collapsing.append(frame.collapse)
            deliver(self, frame, *rest)

        monkeypatch.setattr(BusFanout, "_deliver", noting)

        await here.sio.emit("news", {"n": 1}, collapse="progress:a")

        for socket in (near, far):
            assert str(await socket.next()).startswith('42["news",{"n":1},"')  # with the offset of its own process
        assert collapsing == ["progress:a", "progress:a"]
        for manager in managers:
            manager.thread.cancel()


def test_the_redis_manager_delivers_locally_through_the_fast_path() -> None:
    order = [cls.__name__ for cls in RedisFanout.__mro__]

    assert order.index("SharedFanout") < order.index("AsyncRedisManager") < order.index("AsyncPubSubManager")
    assert order.index("AsyncPubSubManager") < order.index("Fanout") < order.index("AsyncManager")
