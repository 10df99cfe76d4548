"""Where the HTTP runner may connect to: which hosts, and at which addresses, checked on the socket that connects.

Agents live on loopback and in private networks, so these are allowed. Refused is what no agent lives at: the metadata
services of clouds, which hand credentials to whoever asks from the inside, link-local, multicast, and the like.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, TypeAlias

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from store.errors import Invalid

Address: TypeAlias = IPv4Address | IPv6Address

METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, and most others
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's host agent
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_IPV4_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1
_LOW_32 = 0xFFFFFFFF

_HOST_RULE = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]+")

# Seconds until a peer that vanished without a word (no FIN, no RST) is noticed: 60 + 4 * 15.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class AddressRefused(OSError):
    """An address the HTTP runner does not connect to. An OSError, so that the client takes it for one of connecting."""


def refusal(address: str) -> str | None:
    """Why *address* (an IP literal, scope id and all) is never connected to, None when it may be."""
    for one in _meanings(ipaddress.ip_address(address)):
        if one in METADATA_ADDRESSES:
            return "a metadata service"
        if one.is_link_local:
            return "a link-local address"
        if one.is_unspecified or (isinstance(one, IPv4Address) and one.packed[0] == 0):
            return "the unspecified address"
        if one.is_multicast:
            return "a multicast address"
        if isinstance(one, IPv4Address) and one.packed[0] >= 240:
            return "a broadcast or reserved address"
    return None


def _meanings(address: Address) -> Iterator[Address]:
    """The address itself, and the IPv4 address inside it: several IPv6 ranges are IPv4 in other clothes."""
    if isinstance(address, IPv4Address):
        yield address
        return
    yield IPv6Address(int(address))  # without the scope id, which would make it unequal to every known address
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:  # the relay, and the client behind it
        yield from address.teredo
    elif address in _LOCAL_NAT64:
        yield from _in_local_nat64(int(address))
    elif address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):  # 0 and 1 are :: and ::1
        yield IPv4Address(int(address) & _LOW_32)


def _in_local_nat64(number: int) -> Iterator[IPv4Address]:
    """Each place where the IPv4 address may lie, as only the operator of the NAT64 knows the length of its prefix.

    RFC 6052 2.2: after 48, 56, 64 or 96 bits, around the eight bits from 64 on, which are always zero. What begins
    with zero is no address anybody has, but the sign of another length.
    """
    joined = (number >> 64 << 56) | (number & ((1 << 56) - 1))  # without those eight bits
    for found in (joined >> 40, joined >> 32, joined >> 24, number):
        if found >> 24 & 0xFF:
            yield IPv4Address(found & _LOW_32)


def check_literal(host: str) -> None:
    """Refuse at the door what is wrong with a host already: a refused IP address, or one in a disguise.

    A name passes: what it resolves to is checked when it is connected to. Digits and dots count whatever their form,
    circled and full-width ones too: resolvers read them as plain ones (UTS 46).

    Raises:
        Invalid: with a message about ``configuration.url``.
    """
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    try:
        reason = refusal(host)
    except ValueError:
        if _is_odd_ipv4(host):
            raise Invalid(
                f"configuration.url: write the IPv4 address {host!r} as four decimal numbers.",
                field="configuration.url",
            ) from None
        return
    if reason is not None:
        raise Invalid(f"configuration.url: {host} is {reason}; agents cannot live there.", field="configuration.url")


def _is_odd_ipv4(host: str) -> bool:
    """Whether the C library takes *host* for an IPv4 address, as it does ``0x7f.1`` and ``2130706433``."""
    try:
        socket.inet_aton(host.rstrip("."))
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class HostRules:
    """The hosts that ``HTTP_RUNNER_ALLOW`` narrows to; none listed allows all."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> HostRules:
        """Rules from ``crm.example.com``, ``*.agents.internal`` (any subdomain, not the domain itself), ``10.0.0.7``.

        Raises:
            Invalid: naming ``HTTP_RUNNER_ALLOW`` and the entry that is not a host name.
        """
        plain = tuple(_plain(name.strip()) for name in names)
        for name in plain:
            if not _HOST_RULE.fullmatch(name):
                raise Invalid(
                    f"HTTP_RUNNER_ALLOW: {name!r} is not a host name; list names like crm.example.com or "
                    "*.example.com, separated by commas, without scheme, port or path.",
                    field="HTTP_RUNNER_ALLOW",
                )
        return cls(plain)

    def allow(self, host: str) -> bool:
        host = _plain(host)
        return not self.names or any(
            host.endswith(name[1:]) if name.startswith("*.") else host == name for name in self.names
        )


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, and refuses a name when any of its addresses is refused."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._system.resolve(host, port, family)
        for result in results:
            _ensure_allowed(result["host"], known_as=host)
        return results

    async def close(self) -> None:
        await self._system.close()


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket to connect to the address in *info* (as of ``getaddrinfo``), made only if that one is allowed.

    The last check before ``connect()``: whatever led here, a literal or a resolver, this is the address in use.
    """
    family, kind, protocol, _, address = info
    _ensure_allowed(address[0])
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # not every system has all three
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _ensure_allowed(address: str, *, known_as: str | None = None) -> None:
    reason = refusal(address)
    if reason is not None:
        leads = f"{known_as} resolves to {address}, " if known_as else f"{address} is "
        raise AddressRefused(f"{leads}{reason}: the HTTP runner does not connect there")
