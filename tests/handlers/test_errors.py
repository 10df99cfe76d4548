"""The table of section 1: every status, always JSON, and nothing of our inside."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from handlers.errors import STATUS, status_of
from store.base import Store
from store.errors import LeaseLost, ServiceError, StoreUnavailable
from tests.handlers.stack import Reply, Stack, running

JSON_TYPE = {"Content-Type": "application/json"}
AGENT = {"name": "Daily", "agentType": "ECHO"}

MALFORMED = {
    "empty": b"",
    "blank": b" \n ",
    "not JSON": b"{name: 1}",
    "cut off": b'{"name": "Da',
    "trailing comma": b'{"name": "a",}',
    "two values": b"{} {}",
    "null": b"null",
    "an array": b"[]",
    "a string": b'"text"',
    "a number": b"5",
    "NaN": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "a huge float": b'{"configuration": {"n": 1e999}}',
    "a huge integer": b'{"configuration": {"n": 9223372036854775808}}',
    "an endless integer": b'{"configuration": {"n": ' + b"9" * 5000 + b"}}",
    "a key twice": b'{"name": "a", "name": "b", "agentType": "ECHO"}',
    "a nested key twice": b'{"configuration": {"a": 1, "a": 2}}',
    "NUL": b'{"name": "a\\u0000b", "agentType": "ECHO"}',
    "NUL in a key": b'{"configuration": {"a\\u0000b": 1}}',
    "half a surrogate pair": b'{"name": "\\ud800", "agentType": "ECHO"}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "nested too deep": b'{"configuration": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
    "nested endlessly": b"[" * 200_000,
    "nested endlessly in objects": b'{"a":' * 100_000,
}


class Broken:
    """A store that fails in one method and is whole in all others."""

    def __init__(self, store: Store, method: str, error: BaseException) -> None:
        self._store, self._method, self._error = store, method, error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._store, name)

    async def _fail(self, *_: Any, **__: Any) -> None:
        raise self._error


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_body_that_is_no_sound_json_object_is_refused(stack: Stack, body: bytes) -> None:
    refused = await stack.call("POST", "/api/agents", data=body, headers=JSON_TYPE)

    assert refused.status == 400
    assert refused.body.keys() == {"success", "error", "errors"}
    assert refused.body["success"] is False
    assert len(refused.body["error"]) < 300
    assert (await stack.get("/api/agents")).body["pagination"]["total"] == 0


@pytest.mark.parametrize("body", [b'{"context": {"a": 1, "a": 2}}', b"null", b"[]", b"{", b"0"])
async def test_an_optional_body_is_held_to_the_same(stack: Stack, body: bytes) -> None:
    await stack.agent()

    assert (await stack.call("POST", "/api/agents/agent-123/run", data=body, headers=JSON_TYPE)).status == 400


async def test_a_null_patch_is_refused(stack: Stack) -> None:
    await stack.agent()

    assert (await stack.call("PATCH", "/api/agents/agent-123", data=b"null", headers=JSON_TYPE)).status == 400


async def test_a_key_that_is_given_twice_is_named(stack: Stack) -> None:
    refused = await stack.call("POST", "/api/agents", data=MALFORMED["a key twice"], headers=JSON_TYPE)

    assert refused.body["errors"] == [{"field": "name", "message": "name is given twice."}]


async def test_text_in_any_script_and_numbers_of_64_bits_come_back_as_they_were(stack: Stack) -> None:
    configuration = {"größe": "日本語 🎉", "n": 2**63 - 1, "m": -(2**63) + 1, "f": 1.5e-300, "": [[], {}]}

    await stack.agent(configuration=configuration)

    assert (await stack.get("/api/agents/agent-123")).data["configuration"] == configuration


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
async def test_json_is_taken_under_its_names(stack: Stack, content_type: str) -> None:
    made = await stack.call(
        "POST", "/api/agents", data=json.dumps(AGENT).encode(), headers={"Content-Type": content_type}
    )

    assert made.status == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "image/png", "x"])
async def test_another_content_type_is_refused(stack: Stack, content_type: str) -> None:
    refused = await stack.call(
        "POST", "/api/agents", data=json.dumps(AGENT).encode(), headers={"Content-Type": content_type}
    )

    _assert_failure(refused, 415)
    assert "application/json" in refused.body["error"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(stack: Stack, chunked: bool) -> None:
    body = json.dumps(AGENT | {"description": "x" * 1024 * 1024}).encode()
    data = _chunks(body) if chunked else io.BytesIO(body)

    refused = await stack.call("POST", "/api/agents", data=data, headers=JSON_TYPE)

    _assert_failure(refused, 413)
    assert "1048576" in refused.body["error"]


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/agents/", "/api/agents/a/b/c/d", "/nothing", "/api", "/socket.io/nothing.js"]
)
async def test_what_is_no_route_is_not_found_in_json(stack: Stack, path: str) -> None:
    _assert_failure(await stack.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/agents", {"GET", "HEAD", "POST"}),
        ("PUT", "/api/agents/agent-123", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/api/agents/agent-123/schedule/agent-123/pause", {"PATCH"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("TRACE", "/api/agents", {"GET", "HEAD", "POST"}),
    ],
)
async def test_a_wrong_method_is_answered_with_those_that_work(
    stack: Stack, method: str, path: str, allowed: set[str]
) -> None:
    refused = await stack.call(method, path)

    _assert_failure(refused, 405)
    assert set(refused.headers["Allow"].split(",")) >= allowed


async def test_a_head_is_a_get_without_its_body(stack: Stack) -> None:
    await stack.agent()

    head = await stack.call("HEAD", "/api/agents/agent-123")
    missing = await stack.call("HEAD", "/api/agents/nobody")

    assert (head.status, head.text) == (200, "")
    assert int(head.headers["Content-Length"]) > 100
    assert (missing.status, missing.text) == (404, "")


async def test_a_defect_is_answered_with_an_id_of_the_log_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    defect = RuntimeError("the secret inside /etc/passwd")
    async with running(tmp_path, scheduling=False, wrapped=lambda s: Broken(s, "list_agents", defect)) as stack:
        failed = await stack.get("/api/agents")

    assert failed.status == 500
    assert failed.body.keys() == {"success", "error", "id"}
    assert failed.body["id"] in failed.body["error"]
    assert "secret" not in failed.text
    assert "Traceback" not in failed.text
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert vars(record)["requestId"] == failed.body["id"]
    assert record.exc_info is not None
    assert record.exc_info[1] is defect


async def test_a_database_out_of_reach_is_told_with_when_to_come_back(tmp_path: Path) -> None:
    away = StoreUnavailable("mongodb://user:password@db.internal timed out")
    async with running(tmp_path, scheduling=False, wrapped=lambda s: Broken(s, "list_agents", away)) as stack:
        failed = await stack.get("/api/agents")

    assert failed.status == 503
    assert failed.body.keys() == {"success", "error"}
    assert "db.internal" not in failed.text
    assert int(failed.headers["Retry-After"]) >= 1


async def test_a_lost_lease_is_a_conflict(tmp_path: Path) -> None:
    lost = LeaseLost("Somebody else runs it now")
    async with running(tmp_path, scheduling=False, wrapped=lambda s: Broken(s, "get_agent", lost)) as stack:
        _assert_failure(await stack.get("/api/agents/agent-123"), 409)


async def test_every_kind_of_error_has_its_row_in_the_table() -> None:
    class Unheard(ServiceError):
        pass

    assert {400, 401, 403, 404, 409, 429, 503} == set(STATUS.values())
    assert status_of(Unheard("?")) == 500


async def test_an_error_of_ours_that_no_row_names_is_our_fault(tmp_path: Path) -> None:
    async with running(
        tmp_path, scheduling=False, wrapped=lambda s: Broken(s, "get_agent", ServiceError("x"))
    ) as stack:
        failed = await stack.get("/api/agents/agent-123")

    assert failed.status == 500
    assert failed.body.keys() == {"success", "error", "id"}


async def test_a_broken_compression_is_the_clients_error(stack: Stack) -> None:
    headers = JSON_TYPE | {"Content-Encoding": "gzip"}

    refused = await stack.call("POST", "/api/agents", data=b"this is no gzip", headers=headers)

    _assert_failure(refused, 400)


async def test_a_client_that_goes_away_in_mid_request_leaves_no_error(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(stack.url.host, stack.url.port)
    head = f"POST /api/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.token()}\r\nContent-Length: 100\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await stack.get("/api/agents")).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_every_answer_names_its_request(stack: Stack) -> None:
    first = await stack.get("/api/agents")
    named = await stack.get("/api/agents", headers={"X-Request-Id": "trace-0123456789"})
    forged = await stack.get("/api/agents", headers={"X-Request-Id": "a b <script>"})

    assert len(first.headers["X-Request-Id"]) == 32
    assert named.headers["X-Request-Id"] == "trace-0123456789"
    assert forged.headers["X-Request-Id"] != "a b <script>"


async def test_every_answer_forbids_to_guess_its_type_and_to_share_it(stack: Stack) -> None:
    for path in ("/api/agents", "/api/nothing"):
        answer = await stack.get(path)

        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_request_is_logged_with_the_ids_it_is_about(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    await stack.agent()
    caplog.set_level(logging.INFO, logger="handlers")

    answer = await stack.get("/api/agents/agent-123?q=private")

    record = caplog.records[-1]
    assert record.getMessage().startswith("GET /api/agents/agent-123 200 ")
    extras = vars(record)
    assert (extras["requestId"], extras["userId"], extras["agentId"]) == (
        answer.headers["X-Request-Id"],
        "alice",
        "agent-123",
    )
    assert "private" not in caplog.text
    assert stack.token() not in caplog.text


def _assert_failure(reply: Reply, status: int) -> None:
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.body["success"] is False
    assert isinstance(reply.body["error"], str)
    assert reply.body["error"]
    assert "\n" not in reply.body["error"]


async def _chunks(body: bytes) -> Any:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]
