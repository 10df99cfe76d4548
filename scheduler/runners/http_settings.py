"""What ``configuration`` tells the HTTP runner, checked: the target, the headers, and where a secret comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from scheduler.runners.base import RunFailed
from scheduler.runners.targets import HostRules, check_literal
from store.errors import Invalid
from store.records import JSON, JSONObject

SECRET_PREFIX = "AGENT_SECRET_"
"""Of the server's environment, only variables that start so may be sent: an agent's author must not get JWT_SECRET."""
URL_LIMIT = 2048
HEADER_LIMIT = 8 * 1024
LONGEST_TIMEOUT_MS = 30 * 24 * 3600 * 1000

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_VARIABLE = re.compile(r"AGENT_SECRET_[A-Za-z0-9_]+")
_OURS = frozenset({"host", "content-length", "expect"})
_HOP_BY_HOP = frozenset(  # RFC 9110 7.6.1
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class SecretHeader:
    """A header whose value is the environment variable ``env`` of the server at the time of the run."""

    header: str
    env: str

    def value(self, environ: Mapping[str, str]) -> str:
        """Raises RunFailed, which names the variable and never its value."""
        value = environ.get(self.env, "").strip()
        if not value:
            raise RunFailed(f"The server's environment has no {self.env}, which configuration.secretHeader names.")
        if not _HEADER_VALUE.fullmatch(value):
            raise RunFailed(f"The value of {self.env} cannot be sent in a header: it holds other than printable ASCII.")
        return value


@dataclass(frozen=True, slots=True)
class HttpSettings:
    url: URL
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: SecretHeader | None = None

    @property
    def target(self) -> str:
        """The URL as an error may show it: without its query, where people put keys."""
        return str(self.url.with_query(None))


def http_settings(configuration: JSONObject, rules: HostRules) -> HttpSettings:
    """Read the HTTP runner's part of a configuration. Invalid names the field and what it accepts."""
    headers = _headers(configuration.get("headers"))
    secret = _secret_header(configuration.get("secretHeader"))
    if secret is not None and secret.header.lower() in {name.lower() for name in headers}:
        raise _invalid("secretHeader", f"the header {secret.header} is also in configuration.headers.")
    return HttpSettings(_url(configuration["url"], rules), headers, secret)


def check_timeout(configuration: JSONObject) -> None:
    """``timeoutMs``, which counts whatever the runner: a positive whole number of milliseconds, or absent."""
    timeout = configuration.get("timeoutMs")
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 < timeout <= LONGEST_TIMEOUT_MS:
        raise _invalid("timeoutMs", f"must be a whole number of milliseconds from 1 to {LONGEST_TIMEOUT_MS}.")


def _url(text: JSON, rules: HostRules) -> URL:
    if not isinstance(text, str) or len(text) > URL_LIMIT or re.search(r"[\x00-\x20\x7f\\]", text):
        raise _invalid("url", f"must be a URL of at most {URL_LIMIT} characters, without spaces or backslashes.")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise _invalid("url", f"is not a URL: {error}.") from None
    if url.scheme not in ("http", "https") or not host or not port:
        raise _invalid("url", "must start with http:// or https:// and name a host.")
    if url.user is not None or url.password is not None:
        raise _invalid("url", "must not hold a user or password; send credentials by configuration.secretHeader.")
    if not rules.allow(host):
        raise _invalid("url", f"the host {host} is not one of those in HTTP_RUNNER_ALLOW.")
    check_literal(host)
    return url.with_fragment(None)


def _headers(given: JSON) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise _invalid("headers", 'must be an object of strings, such as {"X-Team": "sales"}.')
    for name, value in given.items():
        _check_header_name(name, "headers")
        if not isinstance(value, str) or len(value) > HEADER_LIMIT or not _HEADER_VALUE.fullmatch(value):
            raise _invalid("headers", f"the value of {name} must be up to {HEADER_LIMIT} printable ASCII characters.")
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _check_header_name(name: str, where: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise _invalid(where, f"{name[:40]!r} is not a header name.")
    if name.lower() in _HOP_BY_HOP | _OURS:
        raise _invalid(where, f"{name} cannot be set: it belongs to the connection or is computed.")


def _secret_header(given: JSON) -> SecretHeader | None:
    if given is None:
        return None
    header, env = (given.get("header"), given.get("env")) if isinstance(given, dict) else (None, None)
    if not isinstance(given, dict) or len(given) != 2 or not isinstance(header, str) or not isinstance(env, str):
        raise _invalid("secretHeader", f'must be {{"header": "Authorization", "env": "{SECRET_PREFIX}..."}}.')
    _check_header_name(header, "secretHeader")
    if not _VARIABLE.fullmatch(env):
        raise _invalid(
            "secretHeader",
            f"env must name a variable whose name starts with {SECRET_PREFIX}: "
            "nothing else of the server's environment is ever sent to an agent.",
        )
    return SecretHeader(header, env)


def _invalid(name: str, message: str) -> Invalid:
    return Invalid(f"configuration.{name}: {message}", field=f"configuration.{name}")
