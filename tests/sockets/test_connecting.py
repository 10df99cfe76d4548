"""Sections 2 and 5 of the contract: who may connect a socket, how many, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import socketio

from handlers.auth import Role, Tokens
from tests.handlers.stack import SECRET
from tests.sockets.stack import AGENT, HOUR, Stack, running
from tests.support.js_client import JsClients, JsSocket
from tests.support.raw_client import RawClients, raw_clients

pytestmark = pytest.mark.node

MISSING = {"message": "Authentication required", "data": {"code": "TOKEN_MISSING"}}
INVALID = {"message": "Invalid or expired token", "data": {"code": "TOKEN_INVALID"}}
TOO_MANY = {"message": "Too many connections", "data": {"code": "TOO_MANY_CONNECTIONS"}}


async def refusal(socket: JsSocket) -> dict[str, Any]:
    """What the client's ``connect_error`` says."""
    entry = await socket.wait("connect_error")
    return {"message": entry["message"], "data": entry["data"]}


@pytest.mark.parametrize("role", Role)
async def test_a_token_of_any_role_gets_in_and_may_subscribe(stack: Stack, js: JsClients, role: Role) -> None:
    socket = await js.connect(stack.url, auth=stack.auth(role=role))

    await socket.wait("connect")

    assert (await socket.call("agent:subscribe", AGENT))["success"] is True


async def test_a_valid_token_gets_in_over_every_transport(
    stack: Stack, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await js.connect(stack.url, transports=transports, auth=stack.auth())

    assert (await socket.wait("connect"))["transport"] in transports


@pytest.mark.parametrize("auth", [None, {}, {"token": None}, {"token": ""}])
async def test_without_a_token_the_client_is_told_that_it_needs_one(
    stack: Stack, js: JsClients, transports: tuple[str, ...], auth: Any
) -> None:
    socket = await js.connect(stack.url, transports=transports, auth=auth)

    assert await refusal(socket) == MISSING


def bad_tokens() -> dict[str, object]:
    later = datetime.now(UTC) + HOUR
    good = Tokens(SECRET).mint("alice", Role.USER, HOUR)
    return {
        "malformed": "nonsense",
        "a number": 5,
        "an object": {"token": good},
        "expired": Tokens(SECRET).mint("alice", Role.USER, -HOUR),
        "another key": Tokens("another secret, of at least thirty-two bytes").mint("alice", Role.USER, HOUR),
        "another algorithm": jwt.encode({"id": "alice", "exp": later}, SECRET.ljust(64, "\0"), algorithm="HS512"),
        "unsigned": jwt.encode({"id": "alice", "exp": later}, "", algorithm="none"),
        "no expiry": jwt.encode({"id": "alice"}, SECRET.ljust(64, "\0"), algorithm="HS256"),
        "with its scheme": f"Bearer {good}",
    }


@pytest.mark.parametrize("kind", bad_tokens())
async def test_a_token_that_is_not_valid_is_refused(stack: Stack, js: JsClients, kind: str) -> None:
    socket = await js.connect(stack.url, auth={"token": bad_tokens()[kind]})

    assert await refusal(socket) == INVALID


async def test_a_refused_client_gets_in_when_it_connects_again_with_a_token(stack: Stack, js: JsClients) -> None:
    socket = await js.connect(stack.url)
    assert await refusal(socket) == MISSING
    await socket.set_auth(stack.auth())

    await socket.open()

    await socket.wait("connect")


async def test_anonymous_sockets_may_listen_where_tokens_are_optional(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, anonymous=True) as stack:
        socket = await js.connect(stack.url)
        await socket.wait("connect")

        assert await socket.call("agent:subscribe", AGENT) == {"success": True, "data": None}


async def test_a_bad_token_is_refused_also_where_tokens_are_optional(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, anonymous=True) as stack:
        socket = await js.connect(stack.url, auth={"token": "nonsense"})

        assert await refusal(socket) == INVALID


async def test_anonymous_sockets_have_no_limit_in_common(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, anonymous=True, max_per_user=1) as stack:
        for _ in range(3):
            socket = await js.connect(stack.url)
            await socket.wait("connect")


async def test_python_clients_get_in_and_are_refused_in_the_same_way(stack: Stack) -> None:
    refused: list[Any] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", refused.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(stack.url, transports=["websocket"])
    assert refused == [MISSING]

    await client.connect(stack.url, auth=stack.auth(), transports=["websocket"])

    assert await client.call("agent:subscribe", AGENT) == {"success": True, "data": None}
    await client.disconnect()


# How many


async def connected(js: JsClients, stack: Stack, count: int, **given: Any) -> list[JsSocket]:
    sockets = [await js.connect(stack.url, auth=stack.auth(**given)) for _ in range(count)]
    for socket in sockets:
        await socket.wait("connect")
    return sockets


async def test_the_sixth_socket_of_a_user_is_refused(stack: Stack, js: JsClients, transports: tuple[str, ...]) -> None:
    await connected(js, stack, 5)

    sixth = await js.connect(stack.url, transports=transports, auth=stack.auth())

    assert await refusal(sixth) == TOO_MANY


async def test_the_limit_of_one_user_is_not_that_of_another(stack: Stack, js: JsClients) -> None:
    await connected(js, stack, 5)

    await connected(js, stack, 5, user="bob")


async def test_six_sockets_that_come_at_the_same_time_are_five(stack: Stack, js: JsClients) -> None:
    sockets = [await js.connect(stack.url, auth=stack.auth()) for _ in range(6)]

    for socket in sockets:
        await socket.until(lambda socket=socket: bool(socket.log))  # type: ignore[misc]
    assert sorted(socket.log[0]["type"] for socket in sockets) == ["connect"] * 5 + ["connect_error"]


async def test_a_socket_that_left_makes_room_for_another_one(stack: Stack, js: JsClients) -> None:
    sockets = await connected(js, stack, 5)

    await sockets[0].leave()

    await connected(js, stack, 1)


async def test_refused_sockets_are_not_counted(stack: Stack, js: JsClients) -> None:
    sockets = await connected(js, stack, 5)
    for _ in range(3):
        assert await refusal(await js.connect(stack.url, auth=stack.auth())) == TOO_MANY

    await sockets[0].leave()

    await connected(js, stack, 1)


async def test_zero_switches_the_limit_off(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, max_per_user=0) as stack:
        await connected(js, stack, 8)


async def test_sockets_that_broke_and_are_not_known_to_be_gone_lock_nobody_out(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, patience_s=0.2) as stack, raw_clients(stack.url) as raw:
        await silent(raw, stack, 5)

        await connected(js, stack, 1)


async def test_a_socket_that_answers_is_not_taken_for_broken(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, max_per_user=2, patience_s=1.0) as stack, raw_clients(stack.url) as raw:
        [alive] = await connected(js, stack, 1)
        await silent(raw, stack, 1)

        await connected(js, stack, 1)

        assert (await alive.call("agent:subscribe", AGENT))["success"] is True
        assert [entry["type"] for entry in alive.log] == ["connect"]


async def silent(raw: RawClients, stack: Stack, count: int) -> None:
    """Connect sockets that never say anything again, not even to a ping."""
    for _ in range(count):
        socket = await raw.websocket()
        await socket.enter(f'40{{"token":"{stack.token()}"}}')


async def test_all_sockets_of_a_user_come_back_after_their_network_changed(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, recovery_ms=60_000) as stack:
        sockets = await connected(js, stack, 5)

        for socket in sockets:
            await socket.cut()

        for socket in sockets:
            assert (await socket.wait("connect"))["recovered"] is True
        assert await refusal(await js.connect(stack.url, auth=stack.auth())) == TOO_MANY


async def test_another_user_does_not_get_a_session_back_that_is_not_his(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, recovery_ms=60_000) as stack:
        [socket] = await connected(js, stack, 1)
        await socket.call("agent:subscribe", AGENT)
        await socket.set_auth(stack.auth(user="bob"))

        await socket.cut()

        again = await socket.wait("connect")
        assert again["recovered"] is False
        assert list(stack.sio.rooms(again["sid"])) == [again["sid"]]


# For how long


async def test_a_client_whose_token_expires_comes_back_with_the_one_its_auth_function_gives(
    stack: Stack, js: JsClients, transports: tuple[str, ...]
) -> None:
    socket = await js.connect(stack.url, transports=transports, auth=stack.auth())
    await socket.wait("connect")
    if len(transports) == 2:
        await socket.wait("upgrade")
    await socket.set_auth(stack.auth(ttl=3 * HOUR))

    stack.door.advance(2 * HOUR)

    assert (await socket.wait("disconnect"))["reason"] == "transport close"
    await socket.wait("connect")


async def test_a_client_whose_token_expires_is_refused_without_a_new_one(stack: Stack, js: JsClients) -> None:
    socket = await js.connect(stack.url, auth=stack.auth())
    await socket.wait("connect")
    await socket.set_auth(stack.auth(ttl=-HOUR))

    stack.door.advance(2 * HOUR)

    await socket.wait("disconnect")
    assert await refusal(socket) == INVALID


async def test_nothing_is_lost_over_the_change_of_a_token(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, recovery_ms=60_000) as stack:
        await stack.agent()
        socket = await js.connect(stack.url, auth=stack.auth())
        first = await socket.wait("connect")
        await socket.call("agent:subscribe", AGENT)
        await socket.set_auth(stack.auth(ttl=3 * HOUR))

        stack.door.advance(2 * HOUR)
        await stack.service.run(AGENT, {})

        second = await socket.wait("connect")
        assert (second["recovered"], second["sid"]) == (True, first["sid"])
        await socket.event("agent:completed")
        assert len(socket.events("agent:started")) == 1


async def test_a_token_that_expires_later_keeps_its_socket_open(stack: Stack, js: JsClients) -> None:
    [short] = await connected(js, stack, 1)
    [long] = await connected(js, stack, 1, ttl=timedelta(days=36_500))
    await short.set_auth(None)

    stack.door.advance(2 * HOUR)

    await short.wait("disconnect")
    assert (await long.call("agent:subscribe", AGENT))["success"] is True
    assert [entry["type"] for entry in long.log] == ["connect"]


async def test_a_socket_that_expired_is_not_counted_any_more(tmp_path: Path, js: JsClients) -> None:
    async with running(tmp_path, max_per_user=1) as stack:
        [socket] = await connected(js, stack, 1)
        await socket.set_auth(None)

        stack.door.advance(2 * HOUR)

        assert await refusal(socket) == MISSING
        await connected(js, stack, 1, ttl=3 * HOUR)
