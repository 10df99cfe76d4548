from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from scheduler.runners.base import RunFailed
from scheduler.runners.http import BODY_LIMIT, HttpRunner
from scheduler.runners.stream import LINE_LIMIT
from store.records import JSON, JSONObject
from tests.runners.conftest import Serve, ServeRaw
from tests.runners.support import Heard, a_run, ended
from tests.support.certificates import self_signed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answering(*args: Any, **kwargs: Any) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(*args, **kwargs)

    return handler


def streaming(*chunks: bytes, content_type: str = "application/x-ndjson") -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return handler


async def failure(http: HttpRunner, configuration: JSONObject, heard: Heard | None = None) -> str:
    with pytest.raises(RunFailed) as failed:
        await http(a_run(configuration, sink=heard))
    return str(failed.value)


async def test_an_agent_is_told_who_runs_and_with_what(http: HttpRunner, serve: Serve) -> None:
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        got.extend([request.method, request.content_type, await request.json()])
        return web.json_response({"posts": 5})

    configuration: JSONObject = {"url": await serve(handler), "apiKey": "sk-1234", "deep": {"token": "t0ken"}}

    result = await http(a_run(configuration, context={"reason": "test"}))

    assert result == {"posts": 5}
    assert got == [
        "POST",
        "application/json",
        {
            "agentId": "agent-1",
            "sessionId": "session-1",
            "attempt": 1,
            "configuration": configuration,
            "context": {"reason": "test"},
        },
    ]


@pytest.mark.parametrize("value", [{"error": "is a result here"}, [1], "text", 5, None])
async def test_a_json_answer_is_the_result_whatever_it_is(http: HttpRunner, serve: Serve, value: JSON) -> None:
    assert await http(a_run({"url": await serve(answering(text=json.dumps(value)))})) == value


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_an_empty_answer_is_a_success_without_a_result(http: HttpRunner, serve: Serve, status: int) -> None:
    assert await http(a_run({"url": await serve(answering(status=status))})) is None


async def test_secrets_of_the_configuration_do_not_come_back_in_the_result(http: HttpRunner, serve: Serve) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response((await request.json())["configuration"]["apiKey"])

    assert await http(a_run({"url": await serve(echo), "apiKey": "sk-1234"})) == "***"


STREAM = [
    {"progress": 40, "message": "half", "currentStep": 2, "totalSteps": 5},
    {"log": {"level": "warning", "message": "slow"}},
    {"surprise": 1},
    {"result": {"posts": 5}, "metrics": {"rows": 3}},
]


def ndjson() -> bytes:
    return b"".join(json.dumps(news).encode() + b"\n" for news in STREAM)


def events() -> bytes:
    return b": hello\n\n" + b"".join(b"event: x\r\ndata: %s\r\n\r\n" % json.dumps(news).encode() for news in STREAM)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (ndjson(), "application/x-ndjson"),
        (ndjson(), "Application/NDJSON"),
        (events(), "text/event-stream"),
        (events()[:-4], "text/event-stream"),
    ],
)
async def test_a_stream_tells_progress_logs_and_the_result(
    http: HttpRunner, serve: Serve, body: bytes, content_type: str, size: int
) -> None:
    heard = Heard()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    run = a_run({"url": await serve(streaming(*chunks, content_type=f"{content_type}; charset=utf-8"))}, sink=heard)

    result = await http(run)

    assert result == {"posts": 5}
    assert run.metrics == {"rows": 3}
    assert heard.logs == [("warning", "slow"), ("info", '{"surprise": 1}')]
    [progress] = heard.progress_told
    assert (progress.percent, progress.message, progress.step, progress.of) == (40.0, "half", 2, 5)


async def test_news_is_passed_on_while_the_agent_still_works(http: HttpRunner, serve: Serve) -> None:
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(b'{"progress": 10}\n')
        await go_on.wait()
        await response.write(b'{"result": "done"}\n')
        await go_on.wait()
        return response

    heard = Heard()
    task = asyncio.create_task(http(a_run({"url": await serve(handler)}, sink=heard)))

    await heard.until(lambda: heard.percents == [10.0])
    assert not task.done()

    go_on.set()
    assert await task == "done"


async def test_after_the_result_the_end_of_the_stream_is_not_waited_for(http: HttpRunner, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"result": 1}\n\n')
        await asyncio.Event().wait()
        return response

    async with asyncio.timeout(30):
        assert await http(a_run({"url": await serve(handler)})) == 1


async def test_an_error_in_the_stream_is_the_failure(http: HttpRunner, serve: Serve) -> None:
    url = await serve(streaming(b'{"progress": 1}\n{"error": "no disk for sk-1234"}\n'))

    assert await failure(http, {"url": url, "apiKey": "sk-1234"}) == "no disk for ***"


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (streaming(b'{"progress": 40}\n'), "ended its stream without a result"),
        (streaming(), "ended its stream without a result"),
        (streaming(b'{"progress": 40}\nnonsense\n'), "broke its stream: this is not JSON: nonsense"),
        (streaming(b"x" * (LINE_LIMIT + 1)), f"a line holds more than {LINE_LIMIT} bytes"),
        (
            answering(status=500, text="<h1>Oops</h1>\n  at line 5"),
            "answered 500 Internal Server Error: <h1>Oops</h1> at",
        ),
        (answering(status=404), "answered 404 Not Found."),
        (answering(status=599, text="?"), "answered 599"),
        (answering(text="<html>"), "answered 200 with something that is not JSON: <html>"),
        (answering(body=b"\xff\xfe\x00"), "something that is not JSON"),
        (answering(body=b"1" * (BODY_LIMIT + 1)), f"answered with more than {BODY_LIMIT} bytes"),
        (answering(status=302, headers={"Location": "/login"}), "302 Found, a redirect to /login: redirects are not"),
        (answering(status=304), "answered 304"),
    ],
)
async def test_a_failure_says_who_answered_and_what(
    http: HttpRunner, serve: Serve, handler: Handler, says: str
) -> None:
    url = await serve(handler)

    said = await failure(http, {"url": f"{url}?key=in-the-query"})

    assert said.startswith(url)
    assert says in said
    assert "in-the-query" not in said
    assert "\n" not in said


async def test_a_redirect_is_not_followed(http: HttpRunner, serve: Serve) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    await failure(http, {"url": await serve(handler)})

    assert asked == ["/run"]


async def test_secrets_that_an_error_page_repeats_are_hidden(http: HttpRunner, serve: Serve) -> None:
    async def repeat(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"bad {request.headers['Authorization']} in {await request.text()}")

    said = await failure(
        http,
        {
            "url": await serve(repeat),
            "apiKey": "sk-1234",
            "secretHeader": {"header": "Authorization", "env": "AGENT_SECRET_CRM"},
        },
    )

    assert "bad *** in" in said
    assert "sk-1234" not in said
    assert "s3cret" not in said


async def test_the_secret_header_comes_from_the_environment_and_is_not_in_the_body(
    http: HttpRunner, serve: Serve
) -> None:
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        got.extend([request.headers["X-Api"], request.headers["X-Team"], await request.text()])
        return web.Response()

    secret: JSONObject = {"header": "X-Api", "env": "AGENT_SECRET_CRM"}
    await http(a_run({"url": await serve(handler), "secretHeader": secret, "headers": {"X-Team": "sales"}}))

    assert got[:2] == ["s3cret-of-crm", "sales"]
    assert "s3cret-of-crm" not in got[2]


@pytest.mark.parametrize("env", ["AGENT_SECRET_NONE", "AGENT_SECRET_ODD"])
async def test_a_secret_that_is_missing_or_unfit_is_named_and_nothing_is_sent(
    http: HttpRunner, serve: Serve, env: str
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    said = await failure(http, {"url": await serve(handler), "secretHeader": {"header": "X-Api", "env": env}})

    assert env in said
    assert "break" not in said
    assert asked == []


async def test_a_refused_connection_is_told(http: HttpRunner) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"

        assert await failure(http, {"url": url}) == f"{url}: connection refused; nothing listens there."


async def test_a_name_that_does_not_resolve_is_told(http: HttpRunner) -> None:
    said = await failure(http, {"url": "http://no-such-host.invalid/"})

    assert said == "http://no-such-host.invalid/: the host name no-such-host.invalid cannot be resolved."


async def test_a_certificate_that_is_not_trusted_is_told(http: HttpRunner, serve: Serve, tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(self_signed(tmp_path))

    said = await failure(http, {"url": await serve(answering(), tls=tls)})

    assert "its TLS certificate is not accepted: self-signed certificate" in said.replace("self signed", "self-signed")


async def test_https_to_a_server_that_does_not_speak_it_is_told(http: HttpRunner, serve: Serve) -> None:
    url = (await serve(answering())).replace("http:", "https:")

    said = await failure(http, {"url": url})

    assert said.startswith(url)
    assert "TLS could not be agreed on" in said


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def test_a_connection_closed_without_an_answer_is_told(http: HttpRunner, serve_raw: ServeRaw) -> None:
    assert "closed the connection before it answered" in await failure(http, {"url": await serve_raw(hang_up)})


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "closed the connection in the middle of its answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'11\r\n{"progress": 40}\n\r\n',
            "broke off its stream before a result",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "http://127.0.0.1"),
    ],
)
async def test_an_answer_that_breaks_off_is_told(
    http: HttpRunner, serve_raw: ServeRaw, start: bytes, says: str
) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)

    said = await failure(http, {"url": await serve_raw(break_off)})

    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n{"],
    ids=["before the answer", "in a stream", "in a body"],
)
async def test_a_cancelled_run_closes_its_connection_at_once(
    http: HttpRunner, serve_raw: ServeRaw, start: bytes
) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}")
        writer.write(start)
        await writer.drain()
        asked.set()
        assert await reader.read() == b""
        closed.set()

    task = asyncio.create_task(http(a_run({"url": await serve_raw(hold)})))
    await asyncio.wait_for(asked.wait(), 30)

    task.cancel()

    assert isinstance(await ended(task), asyncio.CancelledError)
    await asyncio.wait_for(closed.wait(), 30)


async def test_closing_twice_or_before_a_start_is_harmless(http: HttpRunner) -> None:
    await http.close()
    await http.close()
