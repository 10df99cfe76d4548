"""What the HTTP runner refuses: settings at the door, addresses on the socket that connects."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import ThreadedResolver, web
from aiohttp.abc import ResolveResult

from scheduler.runners.base import RunFailed
from scheduler.runners.http import HttpRunner
from scheduler.runners.http_settings import check_timeout
from scheduler.runners.targets import AddressRefused, HostRules, check_literal, guarded_socket, refusal
from store.errors import Invalid
from store.records import JSON
from tests.runners.conftest import Serve
from tests.runners.support import a_run

ANY = HttpRunner(HostRules(), {})

REFUSED_ADDRESSES = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "fe80::1",
    "fe80::1%1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:0.0.0.0",
    "64:ff9b:1::a9fe:a9fe",  # RFC 8215, the prefix 96 bits long; then 64, 56 and 48
    "64:ff9b:1:2:a9:fea9:fe00:0",
    "64:ff9b:1:2a9:fe:a9fe::",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2001:0:102:304::5601:5601",  # Teredo: the client's address is kept inverted
    "2001:0:a9fe:a9fe::f5fe:fdfc",
]


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_an_address_where_no_agent_lives_is_refused(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "100.64.0.1", "93.184.216.34", "::1", "fd12::1",
                "2606:2800:220:1::1", "::ffff:127.0.0.1", "64:ff9b:1::a01:203",
                "64:ff9b:1:a01:2:300::", "2001:0:102:304::f5fe:fdfc"]
)  # fmt: skip
def test_loopback_private_and_public_addresses_are_allowed(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_no_socket_is_made_for_a_refused_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with pytest.raises(AddressRefused, match="does not connect there"):
        guarded_socket((family, socket.SOCK_STREAM, 6, "", (address, 80)))


@pytest.mark.parametrize("host", ["①⑥⑨.254.169.254", "１６９.254.169.254", "169。254。169。254", "0ｘa9fea9fe"])
def test_an_address_in_other_letters_is_the_same_address(host: str) -> None:
    with pytest.raises(Invalid, match=r"configuration\.url: "):
        check_literal(host)


def check(**configuration: JSON) -> None:
    ANY.check({"url": "http://agent.example.com/", **configuration})


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0:5000/",
        "http://[::]/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://127.1/",
        "http://①⑥⑨.254.169.254/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "example.com",
        "http://",
        "http:///path",
        "http://user:pass@example.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://exa mple.com/",
        "http://example.com\\@169.254.169.254/",
        "http://example.com/\r\nX-A: b",
        "http://example.com/" + "x" * 2100,
        "",
        5,
        ["http://example.com/"],
    ],
)
def test_a_bad_url_is_refused_at_the_door(url: JSON) -> None:
    with pytest.raises(Invalid) as refused:
        check(url=url)

    assert refused.value.field == "configuration.url"
    assert str(refused.value).startswith("configuration.url")


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8080/run", "https://agent.example.com/a/b?c=d#e", "http://[::1]:9/", "http://10.0.0.7/",
     "HTTP://Example.COM", "http://agent_1:8000/", "http://bücher.example/"],
)  # fmt: skip
def test_a_good_url_is_accepted(url: str) -> None:
    check(url=url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"content-length": "5"},
        {"Connection": "close"},
        {"TRANSFER-ENCODING": "chunked"},
        {"Upgrade": "websocket"},
        {"X-A": "line\r\nX-B: injected"},
        {"X-A": "ümlaut"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": 5},
        {"X-A": None},
        {"X-A": "x" * 10_000},
        ["X-A: b"],
        "X-A: b",
    ],
)
def test_headers_that_cannot_be_sent_or_are_not_the_agents_to_set_are_refused(headers: JSON) -> None:
    with pytest.raises(Invalid) as refused:
        check(headers=headers)

    assert refused.value.field == "configuration.headers"


@pytest.mark.parametrize(
    "env", ["JWT_SECRET", "agent_secret_crm", "AGENT_SECRET_", "XAGENT_SECRET_A", "AGENT_SECRET_A B"]
)
def test_no_variable_of_the_server_but_those_meant_for_agents_can_be_named(env: str) -> None:
    with pytest.raises(Invalid, match="starts with AGENT_SECRET_") as refused:
        check(secretHeader={"header": "Authorization", "env": env})

    assert refused.value.field == "configuration.secretHeader"


@pytest.mark.parametrize(
    "secret",
    [
        "AGENT_SECRET_CRM",
        {"header": "Authorization"},
        {"header": "Authorization", "env": "AGENT_SECRET_CRM", "value": "x"},
        {"header": "Host", "env": "AGENT_SECRET_CRM"},
        {"header": 5, "env": "AGENT_SECRET_CRM"},
    ],
)
def test_a_secret_header_of_another_form_is_refused(secret: JSON) -> None:
    with pytest.raises(Invalid) as refused:
        check(secretHeader=secret)

    assert refused.value.field == "configuration.secretHeader"


def test_a_header_cannot_be_both_plain_and_secret() -> None:
    with pytest.raises(Invalid, match=r"also in configuration\.headers"):
        check(headers={"authorization": "x"}, secretHeader={"header": "Authorization", "env": "AGENT_SECRET_CRM"})


@pytest.mark.parametrize("timeout", [0, -1, 1.5, "1000", True, 10**30, [], {}])
def test_a_timeout_is_a_positive_whole_number_of_milliseconds(timeout: JSON) -> None:
    with pytest.raises(Invalid) as refused:
        check_timeout({"timeoutMs": timeout})

    assert refused.value.field == "configuration.timeoutMs"


def test_a_timeout_may_be_absent() -> None:
    check_timeout({})
    check_timeout({"timeoutMs": 1})


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("crm.example.com", True),
        ("CRM.example.com.", True),
        ("a.agents.internal", True),
        ("a.b.agents.internal", True),
        ("agents.internal", False),
        ("evilagents.internal", False),
        ("crm.example.com.evil.org", False),
        ("10.0.0.7", True),
        ("10.0.0.8", False),
    ],
)
def test_the_allow_list_narrows_to_named_hosts(host: str, allowed: bool) -> None:
    assert HostRules.of(["crm.example.com", "*.Agents.internal", "10.0.0.7"]).allow(host) is allowed


def test_a_host_outside_the_allow_list_is_refused_at_the_door() -> None:
    with pytest.raises(Invalid, match="HTTP_RUNNER_ALLOW"):
        HttpRunner(HostRules.of(["crm.example.com"]), {}).check({"url": "http://localhost/"})


@pytest.mark.parametrize("entry", ["http://crm.example.com", "crm.example.com:80", "a/b", "*", "a.*.com", "", "-a"])
def test_a_bad_entry_of_the_allow_list_stops_the_start_by_name(entry: str) -> None:
    with pytest.raises(Invalid, match="HTTP_RUNNER_ALLOW"):
        HostRules.of([entry])


class FakeDns:
    """Answers for ``*.test`` in place of the system; the rest goes to the system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        real = ThreadedResolver.resolve

        async def resolve(resolver: ThreadedResolver, host: str, port: int, family: Any) -> list[ResolveResult]:
            if not host.endswith(".test"):
                return await real(resolver, host, port, family)
            self.asked.append(host)
            return [_resolved(host, address, port) for address in self.answers[host]]

        monkeypatch.setattr(ThreadedResolver, "resolve", resolve)


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=6, flags=flags)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> FakeDns:
    return FakeDns(monkeypatch)


async def refused(http: HttpRunner, url: str) -> str:
    with pytest.raises(RunFailed) as failed:
        async with asyncio.timeout(30):
            await http(a_run({"url": url}))
    return str(failed.value)


@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["fd00:ec2::254"], ["0.0.0.0"], ["127.0.0.1", "169.254.169.254"]]
)
async def test_a_name_that_leads_to_a_refused_address_is_refused_after_resolution(
    http: HttpRunner, dns: FakeDns, serve: Serve, addresses: list[str]
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    url = (await serve(handler)).replace("127.0.0.1", "metadata.test")
    dns.answers["metadata.test"] = addresses

    said = await refused(http, url)

    assert f"metadata.test resolves to {addresses[-1]}" in said
    assert asked == []


async def test_a_name_that_changes_its_address_between_two_runs_is_checked_each_time(
    http: HttpRunner, dns: FakeDns, serve: Serve
) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response("ran")

    url = (await serve(handler)).replace("127.0.0.1", "rebind.test")
    dns.answers["rebind.test"] = ["127.0.0.1"]
    assert await http(a_run({"url": url})) == "ran"

    dns.answers["rebind.test"] = ["169.254.169.254"]
    assert "resolves to 169.254.169.254" in await refused(http, url)


async def test_the_address_that_was_checked_is_the_one_in_use(http: HttpRunner, dns: FakeDns, serve: Serve) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response("ran")

    url = (await serve(handler)).replace("127.0.0.1", "once.test")
    dns.answers["once.test"] = ["127.0.0.1"]

    await http(a_run({"url": url}))

    assert dns.asked == ["once.test"]
