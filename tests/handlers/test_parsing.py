"""What aiohttp's parser refuses never reaches the application: it is answered in JSON all the same."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from handlers.parsing import AppRunner


async def hello(request: web.Request) -> web.Response:
    if request.path == "/broken":
        raise RuntimeError("the secret inside")
    return web.json_response("hello")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{any}", hello)
    runner = AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def sent(port: int, request: bytes) -> tuple[str, Any]:
    """Send bytes as they are; the answer's head, and its body, after which the connection must be closed."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return head, json.loads(body)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (b"FOO /marked HTTP/1.1\r\nHost: x\r\n\r\n", "a method this server knows"),
        (b"GET /" + b"marked" * 1500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "longer than the 8190 bytes"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"marked" * 1500 + b"\r\n\r\n", "longer than the 8190 bytes"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nmarked\r\n\r\n", "no valid HTTP"),
        (b"GET / marked/1.1\r\n\r\n", "no valid HTTP"),
        (b"\x16\x03\x01\x02\x00\x01marked\r\n\r\n", ""),  # TLS on a port without
    ],
    ids=["method", "path", "header", "colon", "protocol", "tls"],
)
async def test_what_is_no_request_is_refused_in_json_without_an_echo(port: int, request_: bytes, says: str) -> None:
    head, body = await sent(port, request_)

    assert head.startswith(("HTTP/1.1 400 ", "HTTP/1.0 400 "))
    assert "Content-Type: application/json; charset=utf-8" in head
    assert "Server: neonhub" in head
    assert body.keys() == {"success", "error"}
    assert body["success"] is False
    assert says in body["error"]
    assert "marked" not in head + body["error"]
    assert "aiohttp" not in head


async def test_a_defect_outside_of_the_application_tells_nothing_but_an_id_of_the_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    head, body = await sent(port, b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")

    assert head.startswith("HTTP/1.1 500 ")
    assert body.keys() == {"success", "error", "id"}
    assert "secret" not in body["error"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert vars(record)["requestId"] == body["id"]


async def test_what_is_a_request_is_answered_as_ever(port: int) -> None:
    head, body = await sent(port, b"GET /well HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert head.startswith("HTTP/1.1 200 ")
    assert body == "hello"
