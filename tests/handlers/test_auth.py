"""Section 5 of the contract: which tokens are taken, and what their roles may do."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from handlers.auth import Caller, Role, TokenInvalid, TokenMissing, Tokens, bearer
from tests.handlers.stack import SECRET, Stack, running

OTHER_SECRET = "another secret for tests, of at least thirty-two bytes"


def signed(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token with a user and an hour to live, unless *claims* say otherwise; a claim of None is left out."""
    whole = {"id": "alice", "exp": int(time.time()) + 3600} | claims
    return jwt.encode({name: value for name, value in whole.items() if value is not None}, key, algorithm=algorithm)


def unsigned(header: dict[str, Any] | None = None) -> str:
    parts = [header or {"alg": "none", "typ": "JWT"}, {"id": "alice", "exp": int(time.time()) + 3600}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


BAD_TOKENS = {
    "not a token": "garbage",
    "two parts": "a.b",
    "not JSON inside": "YQ.YQ.YQ",
    "expired": signed(exp=int(time.time()) - 1),
    "unsigned": unsigned(),
    "unsigned with a signature": unsigned() + "c2lnbmF0dXJl",
    "signed with another key": signed(OTHER_SECRET),
    "signed with another HMAC": signed(algorithm="HS384"),
    "signed with RSA": signed(private_pem(RSA_KEY), "RS256"),
    "without exp": signed(exp=None),
    "with exp as text": signed(exp=None) and jwt.encode({"id": "alice", "exp": "soon"}, SECRET),
    "with an endless exp": signed(exp=10**30),
    "not valid yet": signed(nbf=int(time.time()) + 3600),
    "without a user": signed(id=None),
    "with an empty user": signed(id=" "),
    "with a list for a user": signed(id=["alice"]),
    "with true for a user": signed(id=True),
    "with a control character in the user": signed(id="a\nb"),
    "with an endless user": signed(id="a" * 300),
    "with an unknown role": signed(role="ROOT"),
    "with a role in small letters": signed(role="admin"),
    "with a list of roles": signed(role=["ADMIN"]),
    "with a null role": jwt.encode({"id": "alice", "exp": int(time.time()) + 60, "role": None}, SECRET),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_token_we_cannot_trust_is_refused(stack: Stack, token: str) -> None:
    refused = await stack.get("/api/agents", token=token)

    assert refused.status == 401
    assert refused.body == {"success": False, "error": "Invalid or expired token"}
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "Bearer "])
async def test_a_request_without_a_token_is_refused(stack: Stack, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}

    refused = await stack.get("/api/agents", token=None, headers=headers)

    assert refused.status == 401
    assert refused.body == {"success": False, "error": "Authentication required"}
    assert refused.headers["WWW-Authenticate"] == "Bearer"


async def test_another_scheme_than_bearer_is_refused(stack: Stack) -> None:
    refused = await stack.get("/api/agents", token=None, headers={"Authorization": f"Basic {stack.token()}"})

    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_the_scheme_is_read_in_any_case(stack: Stack) -> None:
    taken = await stack.get("/api/agents", token=None, headers={"Authorization": f"bearer  {stack.token()}"})

    assert taken.status == 200


async def test_a_token_in_the_query_is_no_token(stack: Stack) -> None:
    assert (await stack.get(f"/api/agents?token={stack.token()}", token=None)).status == 401


@pytest.mark.parametrize(
    ("claims", "user", "role"),
    [
        ({}, "alice", Role.USER), ({"id": None, "sub": "bob"}, "bob", Role.USER), ({"sub": "bob"}, "alice", Role.USER),
        ({"id": 42}, "42", Role.USER), ({"role": "VIEWER"}, "alice", Role.VIEWER),
        ({"role": "ADMIN"}, "alice", Role.ADMIN), ({"aud": "others", "iss": "them"}, "alice", Role.USER),
        ({"iat": int(time.time()) + 30}, "alice", Role.USER),
    ],
)  # fmt: skip
def test_a_valid_token_names_its_caller(claims: dict[str, Any], user: str, role: Role) -> None:
    exp = int(time.time()) + 60

    caller = Tokens(SECRET).verify(signed(**claims, exp=exp))

    assert caller == Caller(user, role, datetime.fromtimestamp(exp, UTC))


def test_a_token_we_mint_is_one_we_take() -> None:
    now = datetime.now(UTC).replace(microsecond=0)

    token = Tokens(SECRET).mint("alice", Role.ADMIN, timedelta(days=7), now=now)

    assert Tokens(SECRET).verify(token) == Caller("alice", Role.ADMIN, now + timedelta(days=7))
    assert jwt.get_unverified_header(token)["alg"] == "HS256"


def test_a_short_secret_is_the_same_key_for_everybody_else() -> None:
    ours = Tokens("short").mint("alice", Role.USER, timedelta(hours=1))

    with pytest.warns(jwt.InsecureKeyLengthWarning):
        theirs = signed("short")
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        assert jwt.decode(ours, "short", algorithms=["HS256"])["id"] == "alice"
    assert Tokens("short").verify(theirs).user_id == "alice"


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_told_from_a_bad_one(token: str | None) -> None:
    with pytest.raises(TokenMissing) as missing:
        Tokens(SECRET).verify(token)
    with pytest.raises(TokenInvalid) as invalid:
        Tokens(SECRET).verify("x")

    assert (missing.value.code, invalid.value.code) == ("TOKEN_MISSING", "TOKEN_INVALID")


@pytest.mark.parametrize("token", [5, ["x"], {"token": "x"}, True, "a" * 100_000, signed() + "a" * 9000])
def test_what_is_no_text_of_a_tokens_length_is_no_token(token: object) -> None:
    with pytest.raises(TokenInvalid):
        Tokens(SECRET).verify(token)


def test_a_header_is_read_as_its_token() -> None:
    assert bearer("Bearer abc") == "abc"
    assert bearer(None) is None


class TestPublicKeys:
    @pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
    def test_a_public_key_takes_what_its_private_half_signed(self, key: Any, algorithm: str) -> None:
        tokens = Tokens.with_public_key(public_pem(key))

        assert tokens.verify(signed(private_pem(key), algorithm)).user_id == "alice"

    @pytest.mark.parametrize("key", [RSA_KEY, EC_KEY])
    def test_the_public_key_is_no_secret_to_sign_with(self, key: Any) -> None:
        header = {"alg": "HS256", "typ": "JWT"}
        forged = _signed_by_hand(header, public_pem(key).encode())

        with pytest.raises(TokenInvalid):
            Tokens.with_public_key(public_pem(key)).verify(forged)

    @pytest.mark.parametrize(
        "token", [unsigned(), signed(), signed(private_pem(RSA_KEY), "RS512"), signed(private_pem(EC_KEY), "ES256")]
    )
    def test_another_algorithm_is_refused(self, token: str) -> None:
        with pytest.raises(TokenInvalid):
            Tokens.with_public_key(public_pem(RSA_KEY)).verify(token)

    def test_a_public_key_cannot_mint(self) -> None:
        with pytest.raises(ValueError, match="JWT_PUBLIC_KEY"):
            Tokens.with_public_key(public_pem(EC_KEY)).mint("alice", Role.USER, timedelta(hours=1))

    @pytest.mark.parametrize("pem", ["", "not a key", public_pem(ec.generate_private_key(ec.SECP384R1()))])
    def test_what_is_no_key_for_us_is_refused_at_the_start(self, pem: str) -> None:
        with pytest.raises(ValueError, match="public key must be"):
            Tokens.with_public_key(pem)

    @pytest.mark.parametrize("secret", ["", public_pem(RSA_KEY)])
    def test_what_cannot_be_a_secret_is_refused_at_the_start(self, secret: str) -> None:
        with pytest.raises(ValueError, match="must not be"):
            Tokens(secret)


WRITES = [
    ("POST", "/api/agents"), ("POST", "/api/agents/run"), ("PATCH", "/api/agents/agent-123"),
    ("DELETE", "/api/agents/agent-123"), ("POST", "/api/agents/agent-123/run"), ("POST", "/api/agents/agent-123/stop"),
    ("POST", "/api/agents/agent-123/schedule"), ("DELETE", "/api/agents/agent-123/schedule"),
    ("PATCH", "/api/agents/agent-123/schedule/agent-123/pause"),
    ("PATCH", "/api/agents/agent-123/schedule/agent-123/resume"),
]  # fmt: skip
READS = [
    "/api/agents", "/api/agents/agent-123", "/api/agents/agent-123/schedule", "/api/agents/agent-123/schedule/status",
    "/api/agents/agent-123/schedule/paused", "/api/agents/schedule/paused", "/api/agents/agent-123/sessions",
    "/api/agents/scheduler/status", "/api/agents/schedule/status", "/api/scheduler/status",
]  # fmt: skip


class TestRoles:
    @pytest.mark.parametrize(("method", "path"), WRITES)
    async def test_a_viewer_may_not_write(self, stack: Stack, method: str, path: str) -> None:
        await stack.agent()

        refused = await stack.call(method, path, token=stack.token(Role.VIEWER))

        assert refused.status == 403
        assert refused.body == {
            "success": False,
            "error": "The role VIEWER may only read. Ask your administrator for a token with the role USER.",
        }

    @pytest.mark.parametrize("path", READS)
    @pytest.mark.parametrize("role", list(Role))
    async def test_every_role_may_read(self, stack: Stack, path: str, role: Role) -> None:
        await stack.agent()

        assert (await stack.get(path, token=stack.token(role))).status == 200

    @pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
    async def test_users_and_administrators_may_write(self, stack: Stack, role: Role) -> None:
        agent = {"name": "Daily", "agentType": "ECHO"}

        assert (await stack.post("/api/agents", agent, token=stack.token(role))).status == 201

    async def test_a_token_without_a_role_may_write(self, stack: Stack) -> None:
        agent = {"name": "Daily", "agentType": "ECHO"}

        assert (await stack.post("/api/agents", agent, token=signed())).status == 201

    async def test_what_is_no_route_is_not_found_for_a_viewer_too(self, stack: Stack) -> None:
        viewer = stack.token(Role.VIEWER)

        assert (await stack.post("/api/nothing", {}, token=viewer)).status == 404
        assert (await stack.delete("/api/agents", token=viewer)).status == 405


@pytest.mark.parametrize(("method", "path"), [*WRITES, *(("GET", path) for path in READS), ("GET", "/api/nothing")])
async def test_every_route_wants_a_token(bare: Stack, method: str, path: str) -> None:
    assert (await bare.call(method, path, token=None)).status == 401


@pytest.mark.parametrize("path", ["/health", "/metrics", "/api/docs", "/api/docs/swagger.json"])
async def test_what_surrounds_the_api_wants_none(bare: Stack, path: str) -> None:
    assert (await bare.get(path, token=None)).status == 200


async def test_a_server_with_a_public_key_takes_its_tokens_over_http(tmp_path: Path) -> None:
    async with running(tmp_path, tokens=Tokens.with_public_key(public_pem(EC_KEY)), scheduling=False) as stack:
        taken = await stack.get("/api/agents", token=signed(private_pem(EC_KEY), "ES256"))
        refused = await stack.get("/api/agents", token=signed())

    assert (taken.status, refused.status) == (200, 401)


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path, scheduling=False) as stack:
        yield stack


def _signed_by_hand(header: dict[str, Any], key: bytes) -> str:
    """An HS256 token with a key that PyJWT would refuse to sign with."""
    import hashlib
    import hmac

    head, payload, _ = unsigned(header).split(".")
    signature = hmac.new(key, f"{head}.{payload}".encode(), hashlib.sha256).digest()
    return f"{head}.{payload}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
