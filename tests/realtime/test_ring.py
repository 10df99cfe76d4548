"""io_uring: each socket gets the bytes once, in order, and what one does not take is told of that one alone."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.realtime import ring as rings
from server.realtime.ring import ENTRIES, ROOM, Ring, open_ring
from tests.support.received import received

pytestmark = pytest.mark.io_uring


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring()
    yield ring
    ring.close()


class Lines:
    """Pairs of connected sockets: what is sent to ``ours[n]`` comes to ``theirs[n]``."""

    def __init__(self, count: int, stack: ExitStack) -> None:
        self.ours: list[socket.socket] = []
        self.theirs: list[socket.socket] = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            self.ours.append(stack.enter_context(ours))
            self.theirs.append(stack.enter_context(theirs))

    @property
    def descriptors(self) -> list[int]:
        return [ours.fileno() for ours in self.ours]

    def came(self, number: int) -> bytes:
        """All that has come to one of them."""
        return received(self.theirs[number])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(sent=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 300)), min_size=1, max_size=60))
def test_all_of_a_batch_get_the_same_bytes_wherever_in_the_ring_it_lies(
    ring: Ring, sent: list[tuple[int, int]]
) -> None:
    with ExitStack() as stack:
        lines = Lines(7, stack)
        expected = [b""] * 7
        for number, (count, size) in enumerate(sent):
            data = bytes([number % 256]) * size

            assert ring.send(ring.prepare(lines.descriptors[:count]), data) == {}

            expected[:count] = [before + data for before in expected[:count]]
        assert [lines.came(number) for number in range(7)] == expected


def test_a_ring_goes_round_many_times(ring: Ring, stack: ExitStack) -> None:
    lines = Lines(ENTRIES - 1, stack)
    batch = ring.prepare(lines.descriptors)

    for number in range(20):
        data = b"%d" % number
        assert ring.send(batch, data) == {}
        assert {lines.came(at) for at in range(ENTRIES - 1)} == {data}


def test_what_one_does_not_take_is_told_of_it_alone(ring: Ring, stack: ExitStack) -> None:
    lines = Lines(6, stack)
    lines.theirs[1].close()
    batch = ring.prepare([*lines.descriptors, 1 << 20])
    data = b"x" * ROOM

    results = ring.send(batch, data)

    assert results == {1: -errno.EPIPE, 6: -errno.EBADF}
    assert [len(lines.came(number)) for number in (0, 2, 3, 4, 5)] == [ROOM] * 5


def test_a_full_socket_takes_a_part_then_nothing_and_nothing_is_left_under_way(ring: Ring, stack: ExitStack) -> None:
    lines = Lines(2, stack)
    batch = ring.prepare([lines.ours[0].fileno()])
    data = os.urandom(ROOM)
    taken = b""
    while not (results := ring.send(batch, data)):
        taken += data
    taken += data[: results[0]] if results[0] > 0 else b""
    while (results := ring.send(batch, data)).get(0, 0) != -errno.EAGAIN:
        taken += data[: results[0]]

    assert lines.came(0) == taken
    assert lines.came(0) == b""
    assert ring.send(ring.prepare(lines.descriptors), b"after") == {}
    assert [lines.came(0), lines.came(1)] == [b"after", b"after"]


def test_a_ring_that_fails_says_so_and_what_was_not_sent(ring: Ring, stack: ExitStack) -> None:
    lines = Lines(3, stack)
    ring.send(ring.prepare(lines.descriptors), b"before")
    batch = ring.prepare(lines.descriptors)
    with Path(os.devnull).open() as other:
        os.dup2(other.fileno(), ring._ring)

    assert ring.send(batch, b"lost") == {0: 0, 1: 0, 2: 0}
    assert isinstance(ring.broken, OSError)
    assert [lines.came(number) for number in range(3)] == [b"before"] * 3


def test_a_call_that_is_interrupted_or_begins_only_some_is_made_again(
    ring: Ring, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(8, stack)
    enter, calls = ring._enter, []

    def at_most_three(number: int, descriptor: int, left: int, *others: object) -> int:
        calls.append(left)
        if len(calls) % 2:
            ctypes.set_errno(errno.EINTR)
            return -1
        begun: int = enter(number, descriptor, min(left, 3), *others)
        return begun

    monkeypatch.setattr(ring, "_enter", at_most_three)

    assert ring.send(ring.prepare(lines.descriptors), b"once") == {}
    assert [lines.came(number) for number in range(8)] == [b"once"] * 8
    assert calls == [8, 8, 5, 5, 2, 2]


def test_of_a_call_that_fails_in_the_middle_the_rest_is_named(
    ring: Ring, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(5, stack)
    enter = ring._enter

    def two_then_none(number: int, descriptor: int, left: int, *others: object) -> int:
        begun: int = enter(number, descriptor, 2, *others) if left == 5 else 0
        return begun

    monkeypatch.setattr(ring, "_enter", two_then_none)

    assert ring.send(ring.prepare(lines.descriptors), b"once") == {2: 0, 3: 0, 4: 0}
    assert [lines.came(number) for number in range(5)] == [b"once"] * 2 + [b""] * 3
    assert str(ring.broken) == "[Errno 5] it begins no request"


def test_closing_a_ring_gives_back_its_descriptors_and_may_be_done_twice() -> None:
    before = open_files()
    for _ in range(3):
        ring = Ring()
        ring.close()
        ring.close()
    Ring()  # nothing refers to it

    assert open_files() == before


def open_files() -> set[str]:
    return {file.name for file in Path("/proc/self/fd").iterdir()}


def test_where_the_kernel_refuses_there_is_none_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        assert open_ring() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "without io_uring: [Errno 24] Too many open files" in caplog.text


def test_a_kernel_that_cannot_send_is_found_out_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Linux 5.4 has rings and no such request; what it answers to one it does not know is EINVAL."""
    caplog.set_level("INFO")
    monkeypatch.setattr(rings, "_SEND", 255)
    before = open_files()

    assert open_ring() is None
    assert "Invalid argument" in caplog.text
    assert open_files() == before


def test_a_kernel_that_lets_us_make_a_ring_and_not_use_it_is_found_out_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(rings, "_ENTER", 1_000_000)

    assert open_ring() is None
    assert [record.message for record in caplog.records] == [
        f"broadcasts are written socket by socket, without io_uring: [Errno 38] {os.strerror(38)}"
    ]


def test_on_other_systems_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert open_ring() is None
