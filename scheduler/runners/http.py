"""Runs an agent that lives behind a URL: one POST with what there is to do, one answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from scheduler.masking import Hide, hidden, hiding, secrets_in
from scheduler.runners.base import Run, RunFailed
from scheduler.runners.http_settings import HttpSettings, http_settings
from scheduler.runners.stream import (
    LINES_A_TURN,
    Intake,
    Texts,
    excerpt,
    is_news,
    parse_json,
)
from scheduler.runners.targets import AddressRefused, GuardedResolver, HostRules, guarded_socket
from store.records import JSON, JSONObject

CONNECT_TIMEOUT_S = 10.0
"""To resolve the name, connect and agree on TLS. The run itself is bounded by the scheduler (``timeoutMs``)."""
BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer that is not a stream."""
ERROR_BODY_LIMIT = 8 * 1024
"""Bytes read of an answer that is only quoted."""
ERROR_BODY_WAIT_S = 5.0
"""How long such an answer is waited for once its status is known."""

NDJSON = "application/x-ndjson"
LINE_STREAMS = (NDJSON, "application/ndjson", "application/jsonl")  # the other names that are in use for it
EVENT_STREAM = "text/event-stream"
_HEADERS = {
    "Accept": f"application/json, {NDJSON}, {EVENT_STREAM}",
    "Accept-Encoding": "identity",  # a compressed stream arrives late, and unpacks to any size
    "Content-Type": "application/json",
    "User-Agent": "neonhub-agent-scheduler",
}


class HttpRunner:
    """The runner of every agent with a ``configuration.url``; owns the client session they share.

    ``environ`` is where ``secretHeader`` finds its variable.
    """

    def __init__(self, rules: HostRules, environ: Mapping[str, str]) -> None:
        self._rules = rules
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(),
            socket_factory=guarded_socket,
            use_dns_cache=False,  # the address that was checked is the one in use, each time
            force_close=True,  # a kept connection may be dead, and a POST cannot be repeated to find out
            limit=0,  # the scheduler says how many runs there are
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
            trust_env=False,  # a proxy would connect where we could not check
        )

    async def close(self) -> None:
        """Close what is open; may be called twice, or without a start."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def check(self, configuration: JSONObject) -> None:
        """Raises Invalid, with the field, for a configuration that this runner does not accept."""
        http_settings(configuration, self._rules)

    async def __call__(self, run: Run) -> JSON:
        """Post the run and return its result; RunFailed says in one sentence what went wrong."""
        settings = http_settings(run.configuration, self._rules)
        headers = dict(settings.headers)
        secrets = secrets_in(run.configuration)
        if settings.secret is not None:
            headers[settings.secret.header] = value = settings.secret.value(self._environ)
            secrets |= secrets_in({"secret": value})
        hide = hiding(secrets)
        try:
            return await self._post(run, settings, headers, hide)
        except RunFailed as error:
            raise RunFailed(hide(str(error))) from None
        except (aiohttp.ClientError, OSError) as error:
            # Not chained: what the client library says may hold the headers it sent.
            raise RunFailed(hide(_reason(error, settings))) from None

    async def _post(self, run: Run, settings: HttpSettings, headers: Mapping[str, str], hide: Hide) -> JSON:
        assert self._session is not None, "start() comes first"
        response = await self._session.post(
            settings.url, json=order(run), headers=headers, allow_redirects=False, raise_for_status=False
        )
        try:
            if response.status >= 300:
                raise RunFailed(await _refused(response, settings))
            if response.content_type.lower() in (*LINE_STREAMS, EVENT_STREAM):
                return await _streamed(response, settings, Intake(run, hide))
            return hidden(await _whole(response, settings), hide)
        finally:
            # Not release(): nobody waits for what is left, and an agent shall notice that its run was cancelled.
            response.close()


def order(run: Run) -> JSONObject:
    """What an agent outside this process is told about the run it is to do."""
    return {
        "agentId": run.agent.id,
        "sessionId": run.session_id,
        "attempt": run.attempt,
        "configuration": run.configuration,
        "context": run.context,
    }


async def _whole(response: aiohttp.ClientResponse, settings: HttpSettings) -> JSON:
    body = await _head(response, BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise RunFailed(f"{settings.target} answered with more than {BODY_LIMIT} bytes.")
    if not body.strip():  # "204 No Content", and the many hooks that answer 200 with nothing
        return None
    try:
        return parse_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise RunFailed(
            f"{settings.target} answered {response.status} with something that is not JSON: {_quoted(body)}"
        ) from None


async def _streamed(response: aiohttp.ClientResponse, settings: HttpSettings, intake: Intake) -> JSON:
    """Follow a stream up to its result or error; what might follow that is not waited for."""
    try:
        await _follow(response, settings, intake)
    except (aiohttp.ClientError, OSError):
        raise RunFailed(f"{settings.target} broke off its stream before a result.") from None
    except ValueError as error:
        raise RunFailed(f"{settings.target} broke its stream: {error}.") from None
    if not intake.ended:
        raise RunFailed(f"{settings.target} ended its stream without a result.")
    if intake.error is not None:
        raise RunFailed(intake.error)
    return intake.result


async def _follow(response: aiohttp.ClientResponse, settings: HttpSettings, intake: Intake) -> None:
    texts = Texts(events=response.content_type.lower() == EVENT_STREAM)
    async for chunk in response.content.iter_any():
        for number, text in enumerate(texts.feed(chunk), 1):
            if text:
                await _take(text, intake, settings)
                if intake.ended:
                    return
            if number % LINES_A_TURN == 0:
                await asyncio.sleep(0)
    for text in texts.end():
        await _take(text, intake, settings)


async def _take(text: str, intake: Intake, settings: HttpSettings) -> None:
    try:
        news = parse_json(text)
    except ValueError:
        raise RunFailed(f"{settings.target} broke its stream: this is not JSON: {excerpt(text)}") from None
    if isinstance(news, dict) and is_news(news):
        await intake.take(news)
    else:
        await intake.log("info", text)


async def _refused(response: aiohttp.ClientResponse, settings: HttpSettings) -> str:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = response.reason or ""
    said = f"{settings.target} answered {response.status} {phrase}".rstrip()
    if response.status < 400:
        location = excerpt(response.headers.get("Location", "elsewhere"))
        return f"{said}, a redirect to {location}: redirects are not followed, put the final address into url."
    try:
        async with asyncio.timeout(ERROR_BODY_WAIT_S):
            body = await _head(response, ERROR_BODY_LIMIT)
    except (aiohttp.ClientError, OSError):
        body = b""  # the status says enough
    return f"{said}: {_quoted(body)}" if body.strip() else f"{said}."


async def _head(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first *limit* bytes if it is longer."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _quoted(body: bytes) -> str:
    return excerpt(body[:ERROR_BODY_LIMIT].decode("utf-8", "replace"))


def _reason(error: Exception, settings: HttpSettings) -> str:
    """One sentence for what can go wrong between us and an agent, in the order from name to answer."""
    target = settings.target
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return f"{target}: {cause}."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{target}: the host name {settings.url.host} cannot be resolved."
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{target}: its TLS certificate is not accepted: {_tls(error.certificate_error)}."
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return f"{target}: TLS could not be agreed on: {_tls(cause)}."
    if isinstance(cause, ConnectionRefusedError):
        return f"{target}: connection refused; nothing listens there."
    if isinstance(error, asyncio.TimeoutError):
        return f"{target}: no connection within {CONNECT_TIMEOUT_S:g} s."
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return f"{target} closed the connection before it answered."
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{target}: cannot connect: {getattr(cause, 'strerror', None) or cause}."
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"{target} closed the connection in the middle of its answer."
    return f"{target}: {excerpt(str(error)) or type(error).__name__}."


def _tls(error: Exception) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
