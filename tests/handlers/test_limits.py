"""Section 5 of the contract: how many requests a user may make."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.auth import Role
from handlers.limits import RateLimits
from tests.handlers.stack import Reply, Stack, running


async def test_every_answer_tells_what_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, limit=3, scheduling=False) as stack:
        first = await stack.get("/api/agents")
        second = await stack.get("/api/agents/nobody")

    assert (first.status, second.status) == (200, 404)
    assert (_limit(first), _limit(second)) == (("3", "2"), ("3", "1"))
    assert 890 <= int(first.headers["RateLimit-Reset"]) <= 900


async def test_a_request_over_the_limit_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path, limit=2, window_s=60, scheduling=False) as stack:
        await _spend(stack, 2)

        refused = await stack.get("/api/agents")

    assert refused.status == 429
    assert refused.body.keys() == {"success", "error"}
    assert _limit(refused) == ("2", "0")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]


async def test_what_is_over_the_limit_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        await _spend(stack, 1)
        refused = await stack.post("/api/agents", {"id": "a", "name": "Daily", "agentType": "ECHO"})
        agents = await stack.get("/api/agents", token=stack.token(user="bob"))

    assert refused.status == 429
    assert agents.data == []


async def test_each_user_has_a_limit_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        await _spend(stack, 1)

        another = await stack.get("/api/agents", token=stack.token(user="bob"))
        same_user_new_token = await stack.get("/api/agents", token=stack.token(Role.ADMIN))

    assert (another.status, same_user_new_token.status) == (200, 429)


async def test_users_whose_names_look_like_the_limits_own_keys_stay_apart(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        await _spend(stack, 1)

        assert (await stack.get("/api/agents", token=stack.token(user="alice/1/900/second"))).status == 200
        assert (await stack.get("/api/agents", token=stack.token(user="LIMITER/alice"))).status == 200


async def test_requests_without_a_valid_token_cost_nobody_anything(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        for _ in range(3):
            refused = await stack.get("/api/agents", token="garbage")
            assert refused.status == 401
            assert _limit(refused) == ("1", "1")

        assert (await stack.get("/api/agents")).status == 200


async def test_a_refused_write_of_a_viewer_counts(tmp_path: Path) -> None:
    async with running(tmp_path, limit=2, scheduling=False) as stack:
        refused = await stack.post("/api/agents", {}, token=stack.token(Role.VIEWER))

    assert refused.status == 403
    assert _limit(refused) == ("2", "1")


async def test_what_surrounds_the_api_is_not_limited(tmp_path: Path) -> None:
    async with running(tmp_path, limit=1, scheduling=False) as stack:
        await _spend(stack, 1)
        for path in ("/health", "/metrics", "/api/docs", "/api/docs/swagger.json"):
            answer = await stack.get(path)
            assert answer.status == 200
            assert "RateLimit-Limit" not in answer.headers


async def test_zero_switches_the_limit_off(tmp_path: Path) -> None:
    async with running(tmp_path, limit=0, scheduling=False) as stack:
        for _ in range(5):
            answer = await stack.get("/api/agents")
            assert answer.status == 200
        refused = await stack.get("/api/agents", token=None)

    assert "RateLimit-Limit" not in answer.headers
    assert "RateLimit-Limit" not in refused.headers


@pytest.mark.parametrize("limit", [1, 100, 1_000_000])
async def test_a_limit_of_any_size_counts_down_by_one(limit: int) -> None:
    limits = RateLimits(limit, 900)

    first = await limits.count("alice")
    second = await limits.count("alice")

    assert first is not None
    assert second is not None
    assert (first.allowed, first.remaining) == (True, limit - 1)
    assert (second.allowed, second.remaining) == (limit > 1, max(limit - 2, 0))


async def _spend(stack: Stack, count: int) -> None:
    for _ in range(count):
        assert (await stack.get("/api/agents")).status == 200


def _limit(reply: Reply) -> tuple[str, str]:
    return reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]
