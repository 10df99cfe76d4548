"""Connection state recovery: the same client, exactly once and in order, whatever happened to the line."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import EVENT

from server.realtime import entrance
from server.realtime.frames import encode
from tests.support.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.js_client import TRANSPORTS, WEBSOCKET, JsClients, JsSocket
from tests.support.raw_client import RawSocket, raw_clients
from tests.support.realtime import Live, serving, with_rooms


def identified(live: Live) -> None:
    """Let in who has a user in its auth, and give it the rooms and events of ``with_rooms``."""
    with_rooms(live)

    async def connect(sid: str, _environ: dict[str, Any], auth: Any) -> None:
        live.note("connect", sid, (live.sio.recovered(sid), await live.sio.get_session(sid)))
        if not auth or auth.get("user") == "nobody":
            raise Refused("Invalid or expired token", {"code": "TOKEN_INVALID"})
        await live.sio.save_session(sid, {"user": auth["user"]})

    live.sio.on("connect", connect)


def user_of(_environ: Any, auth: Any) -> object:
    return auth.get("user") if isinstance(auth, dict) else None


OPTIONS: dict[str, Any] = {
    "recovery_ms": 60_000, "identity": user_of, "ping_interval": 1.0, "ping_timeout": 1.0,
}  # fmt: skip
ME = {"user": "me"}


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    async with serving(identified, **OPTIONS) as live:
        yield live


@pytest.fixture
async def line(live: Live) -> AsyncIterator[FlakyProxy]:
    async with flaky_proxy(live.url) as proxy:
        yield proxy


async def subscribed(js: JsClients, url: str, transports: tuple[str, ...] = WEBSOCKET, **options: Any) -> JsSocket:
    socket = await js.connect(url, transports=transports, auth=ME, **options)
    await socket.wait("connect")
    if transports[0] != transports[-1]:
        await socket.wait("upgrade")
    assert await socket.call("join", "room") is True
    return socket


async def back(socket: JsSocket) -> dict[str, Any]:
    await socket.wait("disconnect")
    return await socket.wait("connect")


@pytest.mark.node
@pytest.mark.parametrize("unnoticed", [False, True], ids=["reset", "half-open"])
async def test_a_client_that_was_cut_finds_all_it_missed_and_only_that(
    live: Live, line: FlakyProxy, js: JsClients, transports: tuple[str, ...], unnoticed: bool
) -> None:
    socket = await subscribed(js, line.url, transports)
    sid = live.seen[0][1]
    await live.sio.emit("tick", 0, to="room")
    await socket.event("tick")

    line.refusing = True
    (line.half_open if unnoticed else line.reset)()
    await socket.wait("disconnect")
    for n in range(1, 11):
        await live.sio.emit("tick", n, to="room")
        await live.sio.emit("direct", n, to=sid)
        await live.sio.emit("all", n)
        await live.sio.emit("blob", bytes([n]), to=["room", sid])
        await live.sio.emit("not for me", n, to="elsewhere")
        await live.sio.emit("not for me", n, skip_sid=sid)
    line.refusing = False
    again = await socket.wait_for("connect", lambda entry: bool(entry["recovered"]))
    await live.sio.emit("end", to="room")
    await socket.event("end")

    assert (again["sid"], again["recovered"]) == (sid, True)
    assert live.seen[-1] == ("connect", sid, (True, ME)) or live.sio.recovered(sid)
    assert [args[0] for args in socket.events("tick")] == list(range(11))
    for name in ("direct", "all"):
        assert [args[0] for args in socket.events(name)] == list(range(1, 11))
    assert [args[0] for args in socket.events("blob")] == [bytes([n]) for n in range(1, 11)]
    assert socket.events("not for me") == []
    assert (await live.sio.get_session(sid)) == ME
    assert live.sio.metrics().recovered >= 1


@pytest.mark.node
async def test_a_client_recovers_before_its_first_event(live: Live, line: FlakyProxy, js: JsClients) -> None:
    socket = await subscribed(js, line.url)

    line.refusing = True
    line.reset()
    await socket.wait("disconnect")
    await live.sio.emit("tick", 1, to="room")
    line.refusing = False

    assert (await socket.wait("connect"))["recovered"] is True
    assert (await socket.event("tick"))[0] == 1


@pytest.mark.node
async def test_events_with_acknowledgement_do_not_count_and_an_old_answer_meets_no_new_callback(
    live: Live, js: JsClients
) -> None:
    socket = await subscribed(js, live.url)
    sid = live.seen[0][1]
    await live.sio.emit("tick", 1, to="room")
    assert await live.sio.call("question", "last a string", to=sid, timeout=10) == "last a string"

    await socket.cut()
    await live.sio.emit("tick", 2, to="room")

    assert (await back(socket))["recovered"] is True
    await live.sio.emit("end")
    await socket.event("end")
    assert [args[0] for args in socket.events("tick")] == [1, 2]


@pytest.mark.node
async def test_a_client_that_left_on_purpose_starts_afresh(live: Live, js: JsClients) -> None:
    socket = await subscribed(js, live.url)
    await live.sio.emit("tick", 1)
    await socket.event("tick")

    await socket.leave()
    await live.saw("disconnect")
    await live.sio.emit("tick", 2)
    await socket.open()

    assert (await back(socket))["recovered"] is False
    assert live.sio.metrics().refused == {"unknown": 1}
    await live.sio.emit("end")
    await socket.event("end")
    assert len(socket.events("tick")) == 1


@pytest.mark.node
async def test_a_client_that_was_sent_away_starts_afresh(live: Live, js: JsClients) -> None:
    socket = await subscribed(js, live.url)

    await live.sio.disconnect(live.seen[0][1])
    await socket.wait("disconnect")
    await socket.open()

    second = await socket.wait_for("connect", lambda entry: entry["sid"] != live.seen[0][1])
    assert second["recovered"] is False


@pytest.mark.node
async def test_a_session_can_be_recovered_only_so_long(js: JsClients) -> None:
    async with serving(recovery_ms=1) as live:
        socket = await js.connect(live.url)
        first = await socket.wait("connect")

        await socket.cut()

        second = await back(socket)
        assert (second["recovered"], second["sid"] == first["sid"]) == (False, False)
        assert live.sio.metrics().refused == {"unknown": 1}


@pytest.mark.node
async def test_after_a_restart_a_client_starts_afresh_and_recovers_from_then_on(js: JsClients) -> None:
    async with serving(**OPTIONS) as old, flaky_proxy(old.url) as line:
        socket = await js.connect(line.url)
        await socket.wait("connect")
        await old.sio.emit("tick", 1)
        await socket.event("tick")
        async with serving(**OPTIONS) as new:
            line.refusing = True
            await old.sio.shutdown()
            line.retarget(new.url)
            line.refusing = False

            assert (await back(socket))["recovered"] is False

            await socket.cut()  # it sends the new pid and the offset of the old server now
            await new.sio.emit("tick", 2)
            assert (await back(socket))["recovered"] is True
            await new.sio.emit("end")
            await socket.event("end")
            assert [args[0] for args in socket.events("tick")] == [1, 2]


@pytest.mark.node
async def test_a_token_that_is_no_longer_good_does_not_recover_and_ends_the_session(live: Live, js: JsClients) -> None:
    socket = await subscribed(js, live.url)
    await socket.set_auth({"user": "nobody"})

    await socket.cut()

    assert (await socket.wait("connect_error"))["data"] == {"code": "TOKEN_INVALID"}
    assert live.sio.manager.rooms == {}

    await socket.set_auth(ME)  # the same user, but the session was bound to a token that was refused meanwhile
    await socket.open()
    assert (await socket.wait("connect"))["sid"]


@pytest.mark.node
async def test_a_refusal_on_the_way_back_ends_the_session(js: JsClients) -> None:
    refusing = False

    def moody(live: Live) -> None:
        async def connect(_sid: str, _environ: Any, _auth: Any) -> None:
            if refusing:
                raise Refused("no more")

        live.sio.on("connect", connect)

    async with serving(moody, recovery_ms=60_000) as live:
        socket = await js.connect(live.url)
        await socket.wait("connect")
        refusing = True
        await socket.cut()
        await socket.wait("connect_error")
        assert live.sio.metrics().sessions == 0

        refusing = False
        await socket.open()

        assert (await socket.wait("connect"))["recovered"] is False


@pytest.mark.node
async def test_a_fault_of_ours_on_the_way_back_does_not_end_the_session(
    js: JsClients, caplog: pytest.LogCaptureFixture
) -> None:
    failing = False

    def failing_now_and_then(live: Live) -> None:
        async def connect(_sid: str, _environ: Any, _auth: Any) -> None:
            if failing:
                raise LookupError("the database is away")

        live.sio.on("connect", connect)

    async with serving(failing_now_and_then, recovery_ms=60_000) as live:
        socket = await js.connect(live.url)
        await socket.wait("connect")
        failing = True
        await socket.cut()
        await socket.wait("connect_error")
        await live.sio.emit("tick", 1)

        failing = False
        await socket.open()

        assert (await socket.wait("connect"))["recovered"] is True
        assert (await socket.event("tick"))[0] == 1


@pytest.mark.node
async def test_another_user_with_the_same_secret_gets_a_session_of_its_own(live: Live, js: JsClients) -> None:
    socket = await subscribed(js, live.url)
    first = live.seen[0][1]
    await socket.set_auth({"user": "you"})

    await socket.cut()
    await live.sio.emit("tick", 1, to="room")

    second = await back(socket)
    assert (second["recovered"], second["sid"] == first) == (False, False)
    assert live.seen[-1] == ("connect", second["sid"], (False, {}))
    assert live.sio.metrics().refused == {"identity": 1}
    assert live.sio.rooms(second["sid"]) == [second["sid"]]


@pytest.mark.node
async def test_two_namespaces_on_one_connection_recover_each_for_itself(js: JsClients) -> None:
    def two(live: Live) -> None:
        identified(live)
        with_rooms(live, "/agents")

    async with serving(two, **OPTIONS, recovery_namespaces=["/", "/agents"]) as live, flaky_proxy(live.url) as line:
        one = await subscribed(js, line.url, forceNew=False)
        other = await js.connect(line.url, namespace="/agents", auth=ME, forceNew=False)
        await other.wait("connect")
        await other.call("join", "room")
        assert live.sio.metrics().sockets == 1

        line.refusing = True
        line.reset()
        for socket in (one, other):
            await socket.wait("disconnect")
        await live.sio.emit("tick", 1, to="room")
        await live.sio.emit("tock", 2, to="room", namespace="/agents")
        line.refusing = False

        for socket, name, n in ((one, "tick", 1), (other, "tock", 2)):
            assert (await socket.wait("connect"))["recovered"] is True
            assert (await socket.event(name))[0] == n
        assert (one.events("tock"), other.events("tick")) == ([], [])


async def test_recovery_leaves_no_trace_where_it_is_off() -> None:
    def two(live: Live) -> None:
        with_rooms(live)
        with_rooms(live, "/plain")

    async with serving(two, recovery_ms=60_000) as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()

        assert (await socket.enter("40/plain,")).keys() == {"sid"}
        await live.sio.emit("news", 1, namespace="/plain")
        assert await socket.next() == '42/plain,["news",1]'
        assert (await socket.enter()).keys() == {"sid", "pid"}

    async with serving() as live, raw_clients(live.url) as raw:
        socket = await raw.websocket()
        assert (await socket.enter('40{"pid":"x","offset":"y"}')).keys() == {"sid"}
        assert live.seen[0][2] == {"pid": "x", "offset": "y"}  # then they are the application's own


async def test_the_connect_handler_does_not_see_what_recovery_adds_to_the_auth(live: Live) -> None:
    seen: list[Any] = []

    async def connect(_sid: str, _environ: Any, auth: Any) -> None:
        seen.append(auth)

    live.sio.on("connect", connect)
    async with raw_clients(live.url) as raw:
        for packet in ("40", '40{"pid":"x"}', '40{"pid":"x","offset":"y","user":"me"}', '40{"pid":7,"offset":[]}'):
            await (await raw.websocket()).enter(packet)

    assert seen == [None, None, {"user": "me"}, None]


async def test_rooms_entered_and_left_while_the_client_is_away_count(live: Live) -> None:
    async with raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter('40{"user":"me"}')
        await live.sio.enter_room(hello["sid"], "old")
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)

        await live.sio.enter_room(hello["sid"], "new")  # by a handler that was still at work
        await live.sio.leave_room(hello["sid"], "old")
        await live.sio.emit("a", to="new")
        await live.sio.emit("b", to="old")

        second = await raw.websocket()
        await second.enter(json.dumps({"user": "me", "pid": hello["pid"]}).join(["40", ""]))
        assert str(await second.next()).startswith('42["a",')
        assert set(live.sio.rooms(hello["sid"])) == {hello["sid"], "new"}


async def test_a_room_that_the_connect_handler_leaves_is_not_replayed(live: Live) -> None:
    async def connect(sid: str, _environ: Any, _auth: Any) -> None:
        if live.sio.recovered(sid):
            assert "secret" in live.sio.rooms(sid)
            await live.sio.leave_room(sid, "secret")

    live.sio.on("connect", connect)
    async with raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter()
        await live.sio.enter_room(hello["sid"], "secret")
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)
        await live.sio.emit("no more", to="secret")
        await live.sio.emit("still", to=hello["sid"])

        second = await raw.websocket()
        await second.enter(json.dumps({"pid": hello["pid"]}).join(["40", ""]))

        assert str(await second.next()).startswith('42["still",')


async def test_a_taken_over_connection_is_cut_and_wholly_gone_before_the_client_is_back(live: Live) -> None:
    leaving, left = asyncio.Event(), asyncio.Event()

    async def disconnect(sid: str, reason: str) -> None:
        leaving.set()
        await left.wait()
        live.note("disconnect", sid, reason)

    live.sio.on("disconnect", disconnect)
    async with raw_clients(live.url) as raw:
        first, second = await raw.websocket(), await raw.websocket()
        hello = await first.enter('40{"user":"me"}')
        await live.sio.enter_room(hello["sid"], "room")

        await second.send(json.dumps({"user": "me", "pid": hello["pid"]}).join(["40", ""]))
        await leaving.wait()
        await live.sio.emit("meanwhile", to="room")
        assert [what for what, _, _ in live.seen] == ["connect"]
        left.set()

        answer = str(await second.next())
        assert json.loads(answer[2:]) == {"sid": hello["sid"], "pid": hello["pid"]}
        assert [what for what, _, _ in live.seen] == ["connect", "disconnect", "connect"]
        assert str(await second.next()).startswith('42["meanwhile",')
        assert live.sio.metrics().drops == {"taken over": 1}
        assert "room" in live.sio.rooms(hello["sid"])


async def test_a_client_cut_again_on_its_way_back_still_comes_back(live: Live) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def connect(sid: str, _environ: Any, _auth: Any) -> None:
        if live.sio.recovered(sid) and not reached.is_set():
            reached.set()
            await go_on.wait()

    live.sio.on("connect", connect)
    async with raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter()
        claim = json.dumps({"pid": hello["pid"]}).join(["40", ""])
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)
        await live.sio.emit("tick", 1)
        second, third = await raw.websocket(), await raw.websocket()

        await second.send(claim)
        await reached.wait()
        await third.send(claim)  # the second is dead, and nobody told the server
        await live.until(lambda: any(link.closing for link in live.sio.eio.sockets.values()))
        go_on.set()

        assert json.loads(str(await third.next())[2:])["sid"] == hello["sid"]
        assert str(await third.next()).startswith('42["tick",1,')


async def test_a_takeover_does_not_wait_for_a_disconnect_handler_for_ever(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.realtime.sessions.CLAIM_WAIT_S", 0.05)
    stuck = asyncio.Event()

    async def disconnect(_sid: str, _reason: str) -> None:
        await stuck.wait()

    live.sio.on("disconnect", disconnect)
    async with raw_clients(live.url) as raw:
        first, second = await raw.websocket(), await raw.websocket()
        hello = await first.enter('40{"user":"me"}')

        fresh = await second.enter(json.dumps({"user": "me", "pid": hello["pid"]}).join(["40", ""]))

        assert fresh["sid"] != hello["sid"]
        assert live.sio.metrics().refused == {"busy": 1}
        stuck.set()


async def answer_ping(socket: RawSocket) -> None:
    while await socket.receive() != "2":
        pass
    await socket.send("3")


async def test_a_quiet_client_recovers_though_its_last_event_is_long_forgotten() -> None:
    async with serving(recovery_ms=60_000, ping_interval=0.02, ping_timeout=5) as live, raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter()
        await live.sio.emit("for me", to=hello["sid"])
        offset = json.loads(str(await first.next())[2:])[-1]
        for _ in range(5):
            await live.sio.emit("for others", to="elsewhere")
        link = next(iter(live.sio.eio.sockets.values()))
        while link.confirmed < live.sio.entrance.log.head:
            await answer_ping(first)
        live.sio.entrance.log.evict(float("inf"))  # two minutes later
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)
        await live.sio.emit("missed", to=hello["sid"])

        second = await raw.websocket()
        await second.enter(json.dumps({"pid": hello["pid"], "offset": offset}).join(["40", ""]))

        assert str(await second.next()).startswith('42["missed",')


async def test_a_client_that_missed_what_is_forgotten_starts_afresh(live: Live) -> None:
    async with raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter('40{"user":"me"}')
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)
        await live.sio.emit("tick")
        live.sio.entrance.log.evict(float("inf"))

        second = await raw.websocket()
        fresh = await second.enter(json.dumps({"user": "me", "pid": hello["pid"]}).join(["40", ""]))

        assert (fresh["sid"] != hello["sid"], fresh["pid"] != hello["pid"]) == (True, True)
        assert live.sio.metrics().refused == {"forgotten": 1}


async def test_a_client_that_missed_too_much_starts_afresh(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "MAX_REPLAY_BYTES", 1000)
    async with raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter('40{"user":"me"}')
        await first.socket.close()
        await live.until(lambda: live.sio.metrics().sessions == 1)
        await live.sio.emit("tick", "x" * 2000)

        second = await raw.websocket()
        fresh = await second.enter(json.dumps({"user": "me", "pid": hello["pid"]}).join(["40", ""]))

        assert fresh["sid"] != hello["sid"]
        assert live.sio.metrics().refused == {"too much": 1}


async def test_nothing_is_logged_while_nobody_could_want_it(live: Live) -> None:
    await live.sio.emit("tick")

    assert live.sio.metrics().log_events == 0


@pytest.mark.node
async def test_a_cut_in_the_middle_of_a_long_replay_doubles_nothing(
    live: Live, line: FlakyProxy, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await subscribed(js, line.url, transports)
    line.refusing = True
    line.reset()
    await socket.wait("disconnect")
    for n in range(100):
        await live.sio.emit("tick", (n, "x" * 20_000), to="room")

    line.after(700_000)
    line.refusing = False
    await socket.until(lambda: len(socket.events("tick")) >= 100)
    await live.sio.emit("end", to="room")
    await socket.event("end")

    assert [args[0] for args in socket.events("tick")] == list(range(100))
    assert sum(entry["type"] == "connect" and entry["recovered"] for entry in socket.log) >= 2


@pytest.mark.node
@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("seed", [1, 2])
async def test_through_a_storm_of_cuts_every_event_arrives_once_and_in_order(
    js: JsClients, kind: str, seed: int
) -> None:
    """Cuts fall anywhere: into handshakes, upgrades and replays; some of them only the client notices."""
    chance = random.Random(seed)
    async with (
        serving(identified, recovery_ms=60_000, identity=user_of, ping_interval=0.5, ping_timeout=0.5) as live,
        flaky_proxy(live.url) as line,
    ):
        socket = await subscribed(js, line.url, TRANSPORTS[kind], timeout=1000)
        sid = live.seen[0][1]
        paced = await subscribed(js, live.url)  # not through the storm: the test keeps pace with it

        for n in range(600):
            await live.sio.emit("tick", n, to=["room", "nowhere"])
            if n % 5 == 0:
                await paced.call("echo")
            if chance.random() < 0.02:
                match chance.randrange(3):
                    case 0:
                        line.reset()
                    case 1:
                        line.half_open()
                    case _:
                        line.after(chance.randrange(4000))
        await live.sio.emit("end", to="room")
        await socket.event("end")

        assert [args[0] for args in socket.events("tick")] == list(range(600))
        connects = [entry for entry in socket.log if entry["type"] == "connect"]
        assert {entry["sid"] for entry in connects} == {sid}
        assert all(entry["recovered"] for entry in connects[1:])


async def test_a_ping_answered_before_the_way_back_vouches_for_nothing_that_is_replayed() -> None:
    async with (
        serving(recovery_ms=60_000, ping_interval=0.05, ping_timeout=10.0) as live,
        raw_clients(live.url) as raw,
    ):
        first = await raw.websocket()
        hello = await first.enter()
        await live.sio.emit("tick", 0)
        offset = json.loads(str(await first.next())[2:])[-1]
        claim = "40" + json.dumps({"pid": hello["pid"], "offset": offset})
        cut_all(live)
        await live.saw("disconnect")
        for n in range(1, 11):
            await live.sio.emit("tick", n)

        second = await raw.websocket()  # its auth function takes a while
        assert await second.receive() == "2"
        await second.send("3")
        (way_out,) = live.sio.eio.sockets.values()
        await live.until(lambda: way_out.confirmed > 0)
        await second.send(claim)
        await live.until(lambda: live.sio.metrics().replayed == 10)
        cut_all(live)  # with the replay on the line
        await live.until(lambda: live.sio.metrics().sessions == 1)

        third = await raw.websocket()
        await third.enter(claim)
        assert [json.loads(str(await third.next())[2:])[1] for _ in range(10)] == list(range(1, 11))


async def test_what_was_sent_to_a_client_while_it_connected_is_recovered_too() -> None:
    def welcoming(live: Live) -> None:
        async def connect(sid: str, _environ: Any, _auth: Any) -> None:
            if not live.sio.recovered(sid):
                await live.sio.emit("not for you", to="others")
                await live.sio.emit("welcome", 1, to=[sid, "others"])

        live.sio.on("connect", connect)

    async with serving(welcoming, recovery_ms=60_000) as live, raw_clients(live.url) as raw:
        first = await raw.websocket()
        hello = await first.enter()
        cut_all(live)  # it read CONNECT and nothing more
        await live.until(lambda: live.sio.metrics().sessions == 1)

        second = await raw.websocket()
        await second.enter("40" + json.dumps({"pid": hello["pid"]}))
        await live.sio.emit("end")

        events = [json.loads(str(await second.next())[2:])[:-1] for _ in range(2)]
        assert events == [["welcome", 1], ["end"]]


async def test_the_log_outlives_the_sessions_by_the_time_a_loss_goes_unnoticed() -> None:
    """A session counts from when its loss is noticed, its position from the last answer before."""
    async with serving(recovery_ms=1000, ping_interval=20.0, ping_timeout=40.0) as live:
        log = live.sio.entrance.log
        log.append(100.0, "/", None, (), encode(EVENT, "/", ["tick"]))

        log.evict(100.0 + 1 + 59.9)
        assert len(log) == 1

        log.evict(100.0 + 1 + 60.1)
        assert len(log) == 0


def cut_all(live: Live) -> None:
    for link in list(live.sio.eio.sockets.values()):
        link.cut("test")
