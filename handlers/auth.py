"""Who is calling: tokens are read and made here, for REST and for Socket.IO alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from store.errors import ServiceError

Algorithm: TypeAlias = Literal["HS256", "RS256", "ES256"]

LONGEST_TOKEN = 8192
"""Characters; more than any real token has, so that nobody has us decode a megabyte."""
LONGEST_USER_ID = 256
HMAC_BLOCK = 64
"""Bytes of a block of SHA-256."""


class Role(StrEnum):
    """``VIEWER`` reads and subscribes, ``USER`` also writes, ``ADMIN`` may do everything."""

    VIEWER = "VIEWER"
    USER = "USER"
    ADMIN = "ADMIN"

    @property
    def may_write(self) -> bool:
        return self is not Role.VIEWER


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a valid token names. ``expires_at`` is when it stops to be valid."""

    user_id: str
    role: Role
    expires_at: datetime


class Unauthenticated(ServiceError):
    """Nobody we know is asking; ``code`` tells Socket.IO clients which way."""

    code = "TOKEN_INVALID"


class TokenMissing(Unauthenticated):
    """There was no token."""

    code = "TOKEN_MISSING"

    def __init__(self) -> None:
        super().__init__("Authentication required")


class TokenInvalid(Unauthenticated):
    """The token is malformed, expired, unsigned, or not signed with our key and algorithm.

    One message for all of them: which check failed helps only somebody who forges tokens.
    """

    def __init__(self) -> None:
        super().__init__("Invalid or expired token")


class Forbidden(ServiceError):
    """The caller is known, and may not do this."""


class Tokens:
    """Reads tokens with one key and one algorithm, both fixed here: a token cannot choose its own."""

    def __init__(self, key: str, algorithm: Algorithm = "HS256") -> None:
        if not key:
            raise ValueError("a key for tokens must not be empty")
        if algorithm == "HS256" and key.lstrip().startswith("-----BEGIN"):
            raise ValueError("a secret must not be a key in PEM form: set it as the public key (JWT_PUBLIC_KEY)")
        # HMAC itself fills a short key up with zeros (RFC 2104, 2); done here, PyJWT does not warn at every token.
        self._key = key.encode().ljust(HMAC_BLOCK, b"\0") if algorithm == "HS256" else key.encode()
        self._algorithm = algorithm

    @classmethod
    def with_public_key(cls, pem: str) -> Tokens:
        """Tokens that somebody else signs; the kind of key settles RS256 or ES256. ``ValueError`` for another kind."""
        try:
            key = load_pem_public_key(pem.encode())
        except Exception as error:  # cryptography raises several kinds for text that is not a key
            raise ValueError("a public key must be in PEM form, -----BEGIN PUBLIC KEY-----") from error
        if isinstance(key, RSAPublicKey):
            return cls(pem, "RS256")
        if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            return cls(pem, "ES256")
        raise ValueError("a public key must be RSA (for RS256) or on the curve P-256 (for ES256)")

    def verify(self, token: object) -> Caller:
        """The caller a token names.

        Raises:
            TokenMissing: there is none (None or empty).
            TokenInvalid: it is not a token, not ours, expired, without ``exp`` or user id, or its role is unknown.
        """
        if token is None or token == "":
            raise TokenMissing
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            raise TokenInvalid
        try:
            claims = self._decode(token)
            return Caller(_user_id(claims), _role(claims), datetime.fromtimestamp(int(claims["exp"]), UTC))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            raise TokenInvalid from error

    def mint(self, user_id: str, role: Role, ttl: timedelta, *, now: datetime | None = None) -> str:
        """A new token for *user_id*. ``ValueError`` where we only hold the public half of a key."""
        if self._algorithm != "HS256":
            raise ValueError("tokens are signed elsewhere: only their public key is configured (JWT_PUBLIC_KEY)")
        issued = now or datetime.now(UTC)
        claims = {"id": user_id, "sub": user_id, "role": role.value, "iat": issued, "exp": issued + ttl}
        return jwt.encode(claims, self._key, algorithm=self._algorithm)

    def _decode(self, token: str) -> dict[str, Any]:
        # What we have no setting for is not checked: audience, issuer, and `iat` of a clock ahead of ours.
        options: Any = {"require": ["exp"], "verify_aud": False, "verify_iat": False, "verify_sub": False}
        return jwt.decode(token, self._key, algorithms=[self._algorithm], options=options)


def bearer(header: str | None) -> str | None:
    """The token of an ``Authorization`` header, None without one; another scheme than Bearer is ``TokenInvalid``."""
    if header is None or not header.strip():
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise TokenInvalid
    return token.strip() or None


def require_write(caller: Caller) -> None:
    """``Forbidden`` with what to do about it, when the caller may only read."""
    if not caller.role.may_write:
        raise Forbidden(
            f"The role {caller.role} may only read. Ask your administrator for a token with the role {Role.USER}."
        )


def _user_id(claims: dict[str, Any]) -> str:
    value = claims.get("id", claims.get("sub"))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_USER_ID or not value.isprintable():
        raise ValueError("no usable user id")
    return value


def _role(claims: dict[str, Any]) -> Role:
    return Role(claims["role"]) if "role" in claims else Role.USER
