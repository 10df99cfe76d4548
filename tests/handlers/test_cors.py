"""Which pages of other origins may call the API, and what their browsers let them read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.stack import Stack, running

ORIGIN = "http://localhost:3000"
SECOND = "https://app.example.org"
ROUTES = [
    ("GET", "/api/agents"), ("POST", "/api/agents"), ("POST", "/api/agents/run"), ("PATCH", "/api/agents/a"),
    ("DELETE", "/api/agents/a"), ("POST", "/api/agents/a/schedule"), ("DELETE", "/api/agents/a/schedule"),
    ("PATCH", "/api/agents/a/schedule/a/pause"), ("GET", "/api/agents/a/sessions/s"), ("GET", "/api/scheduler/status"),
]  # fmt: skip


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, origins=(ORIGIN, SECOND), limit=100, scheduling=False) as stack:
        yield stack


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_preflight_with_a_token_header_is_granted(shared: Stack, method: str, path: str) -> None:
    granted = await shared.call(
        "OPTIONS",
        path,
        token=None,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert granted.status == 200
    assert granted.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert granted.headers["Access-Control-Allow-Methods"] == method
    assert set(granted.headers["Access-Control-Allow-Headers"].lower().split(",")) == {"authorization", "content-type"}


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("https://evil.example", "authorization"),
        (ORIGIN, "x-other"),
        (f"{ORIGIN}.evil.example", ""),
        ("null", ""),
    ],
)
async def test_a_preflight_of_anybody_else_is_refused_in_json(shared: Stack, origin: str, headers: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": headers}

    refused = await shared.call("OPTIONS", "/api/agents", token=None, headers=asked)

    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert refused.body["success"] is False


@pytest.mark.parametrize("origin", [ORIGIN, SECOND])
async def test_an_answer_may_be_read_with_its_limits(shared: Stack, origin: str) -> None:
    answer = await shared.get("/api/agents", headers={"Origin": origin})

    assert answer.headers["Access-Control-Allow-Origin"] == origin
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(","))
    assert exposed >= {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"}
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/api/agents/nobody", 404), ("/api/agents?limit=x", 400)])
async def test_an_error_may_be_read_too(shared: Stack, path: str, status: int) -> None:
    answer = await shared.get(path, headers={"Origin": ORIGIN})

    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_refused_token_may_be_read_as_such(shared: Stack) -> None:
    answer = await shared.get("/api/agents", token=None, headers={"Origin": ORIGIN})

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)


async def test_a_page_of_another_origin_may_read_nothing(shared: Stack) -> None:
    answer = await shared.get("/api/agents", headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nothing", 404), ("PUT", "/api/agents", 405)])
async def test_what_is_no_route_may_be_read_as_such(shared: Stack, method: str, path: str, status: int) -> None:
    answer = await shared.call(method, path, headers={"Origin": ORIGIN})
    unknown = await shared.call(method, path, headers={"Origin": "https://evil.example"})

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
    assert "RateLimit-Limit" in answer.headers["Access-Control-Expose-Headers"]
    assert unknown.status == status
    assert "Access-Control-Allow-Origin" not in unknown.headers


async def test_a_preflight_of_what_is_no_route_is_granted_so_that_its_answer_can_be_read(shared: Stack) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}

    granted = await shared.call("OPTIONS", "/api/nothing", token=None, headers=asked | {"Origin": ORIGIN})
    refused = await shared.call("OPTIONS", "/api/nothing", token=None, headers=asked | {"Origin": f"{ORIGIN}.example"})

    assert (granted.status, granted.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert "PATCH" in granted.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in granted.headers["Access-Control-Allow-Headers"]
    assert refused.status == 404
    assert "Access-Control-Allow-Origin" not in refused.headers
