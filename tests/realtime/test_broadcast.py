"""A broadcast writes to whom it can and names the others, with io_uring as without."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from server.realtime.broadcast import Audience, write_to_all
from server.realtime.ring import Ring
from server.realtime.wire import Changes
from tests.support.received import received


class Member:
    """Who is written to, and what was left to it of a write that its socket did not take as a whole."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.kept = b""

    def keep(self, data: bytes, written: int) -> None:
        self.kept += data[written:]


@pytest.fixture(params=["one by one", pytest.param("io_uring", marks=pytest.mark.io_uring)])
def ring(request: pytest.FixtureRequest) -> Iterator[Ring | None]:
    if request.param == "io_uring":
        ring = Ring()
        yield ring
        ring.close()
    else:
        yield None


class Crowd:
    """Nine members, all connected."""

    def __init__(self, stack: ExitStack) -> None:
        self.changes = Changes()
        pairs = [socket.socketpair() for _ in range(9)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end).setblocking(False)
        self.theirs = [theirs for _, theirs in pairs]
        self.members = [Member(ours.fileno()) for ours, _ in pairs]
        self.audience = Audience(self.members, self.changes)

    def came(self) -> list[bytes]:
        """What has come to each since the last time."""
        return [received(theirs) for theirs in self.theirs]


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with ExitStack() as stack:
        yield Crowd(stack)


def test_all_get_it_however_often(crowd: Crowd, ring: Ring | None) -> None:
    for data in (b"first", b"second, longer", b"3"):
        assert write_to_all(crowd.audience, 0, len(crowd.audience), data, ring) == []
        assert crowd.came() == [data] * len(crowd.members)


def test_a_part_is_written_to_that_part(crowd: Crowd, ring: Ring | None) -> None:
    for data in (b"first", b"second"):
        write_to_all(crowd.audience, 3, 6, data, ring)

        assert crowd.came() == [data if 3 <= number < 6 else b"" for number in range(len(crowd.members))]


def test_who_has_no_descriptor_any_more_is_named_and_gets_nothing(crowd: Crowd, ring: Ring | None) -> None:
    for data in (b"first", b"second"):
        write_to_all(crowd.audience, 0, len(crowd.audience), data, ring)
    crowd.came()
    crowd.members[2].descriptor = -1
    crowd.changes.count += 1

    for data in (b"third", b"fourth"):
        others = write_to_all(crowd.audience, 0, len(crowd.audience), data, ring)

        assert others == [crowd.members[2]]
        assert crowd.came() == [b"" if number == 2 else data for number in range(len(crowd.members))]


def test_who_left_is_named_and_the_others_get_theirs(crowd: Crowd, ring: Ring | None) -> None:
    crowd.theirs[1].close()
    del crowd.theirs[1]

    for data in (b"first", b"second"):
        assert write_to_all(crowd.audience, 0, len(crowd.audience), data, ring) == [crowd.members[1]]
        assert crowd.came() == [data] * len(crowd.theirs)


def test_what_a_socket_does_not_take_is_left_to_its_member_then_it_is_named(crowd: Crowd, ring: Ring | None) -> None:
    data = bytes(range(256)) * 128
    sent = 0
    others: list[Member] = []
    while len(others) < len(crowd.members):
        named = write_to_all(crowd.audience, 0, len(crowd.audience), data, ring)
        others += [member for member in named if member not in others]
        sent += not named and not crowd.members[0].kept

    came = crowd.came()
    for member, got in zip(crowd.members, came, strict=True):
        assert len(got) >= sent * len(data)
        assert got == (data * (len(got) // len(data) + 1))[: len(got)]
        if member.kept:
            assert data.endswith(member.kept)
            assert (len(got) + len(member.kept)) % len(data) == 0
