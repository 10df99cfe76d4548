"""Every socket gets what was sent to it once, in order, and in one write a turn, however broadcasts and answers mix."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.realtime import turn as turns
from server.realtime.broadcast import Audience, write_to_all
from server.realtime.frames import Frame
from server.realtime.turn import Crowd, Turn
from tests.support.received import received


class Line:
    """A link as the turn sees it, with what was written; one that is ``behind`` keeps all it gets in its backlog."""

    def __init__(self, turn: Turn, sid: str) -> None:
        self.sid = sid
        self.descriptor = -1
        self.behind = False
        self.broken = False
        self.writes: list[bytes] = []
        self.backlog: list[bytes] = []
        self.cuts: list[str] = []
        self._turn = turn
        self._made: list[Frame] = []

    def send(self, frame: Frame) -> None:
        if self._turn.pending:
            self._turn.settle()
        self.queue(frame)

    def queue(self, frame: Frame) -> None:
        if self.behind:
            self.backlog.append(frame.wire)
            return
        if not self._made:
            self._turn.add(self)
        self._made.append(frame)

    def write(self, data: bytes) -> bool:
        if self.broken:
            raise OSError("no such line")
        if self.behind:
            return False
        self.writes.append(data)
        return True

    def keep(self, data: bytes, written: int) -> None:
        raise AssertionError("nothing is written directly to a line without a descriptor")

    def flush(self) -> None:
        made, self._made = self._made, []
        self.write(b"".join(frame.wire for frame in made))

    def cut(self, why: str) -> None:
        self.cuts.append(why)

    @property
    def received(self) -> bytes:
        return b"".join([*self.writes, *self.backlog])


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """One that writes to three sockets at a time, so that a few are already many."""
    monkeypatch.setattr(turns, "WRITES_AT_ONCE", 3)
    return Turn()


def lines(turn: Turn, count: int) -> list[Line]:
    return [Line(turn, str(number)) for number in range(count)]


def audience(turn: Turn, members: Sequence[Line]) -> Crowd:
    return Audience(members, turn.changes)


def frame(number: int) -> Frame:
    return Frame(f"42[{number}]")


def wire(*numbers: int) -> bytes:
    return b"".join(frame(number).wire for number in numbers)


async def passes(turns_of_the_loop: int = 1) -> None:
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)


SENT = st.lists(st.one_of(st.sampled_from(["all", "some", "turn"]), st.integers(0, 7)), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=SENT, behind=st.sets(st.integers(0, 7)))
def test_each_socket_gets_all_of_its_own_in_order(turn: Turn, sent: list[str | int], behind: set[int]) -> None:
    async def scenario() -> None:
        everybody = lines(turn, 8)
        all_of_them, some = audience(turn, everybody), audience(turn, everybody[2:6])
        for number in behind:
            everybody[number].behind = True
        expected: list[list[int]] = [[] for _ in everybody]

        for number, to in enumerate(sent):
            if isinstance(to, int):
                everybody[to].send(frame(number))
                expected[to].append(number)
            elif to == "turn":
                await passes()
            else:
                crowd = all_of_them if to == "all" else some
                turn.send_to_all(crowd, frame(number))
                for line in crowd.members:
                    expected[int(line.sid)].append(number)
        await passes(10)

        assert [line.received for line in everybody] == [wire(*numbers) for numbers in expected]

    asyncio.run(scenario())


async def test_events_to_the_same_sockets_leave_in_one_write_each(turn: Turn) -> None:
    crowd = lines(turn, 2)
    everybody = audience(turn, crowd)

    for number in range(5):
        turn.send_to_all(everybody, frame(number))
    await passes()

    assert [line.writes for line in crowd] == [[wire(0, 1, 2, 3, 4)]] * 2


async def test_events_to_different_sockets_and_answers_leave_in_one_write_each(turn: Turn) -> None:
    crowd = lines(turn, 3)

    turn.send_to_all(audience(turn, crowd), frame(0))
    crowd[0].send(frame(1))
    turn.send_to_all(audience(turn, crowd[:2]), frame(2))
    await passes()

    assert [line.writes for line in crowd] == [[wire(0, 1, 2)], [wire(0, 2)], [wire(0)]]


async def test_the_loop_turns_between_two_parts_of_a_large_broadcast(turn: Turn) -> None:
    crowd = lines(turn, 7)

    turn.send_to_all(audience(turn, crowd), frame(0))
    await passes()

    assert [len(line.writes) for line in crowd] == [1, 1, 1, 0, 0, 0, 0]
    await passes(2)
    assert [line.writes for line in crowd] == [[wire(0)]] * 7


async def test_what_is_sent_in_the_middle_of_a_large_broadcast_comes_after_it(turn: Turn) -> None:
    crowd = lines(turn, 7)
    everybody = audience(turn, crowd)

    turn.send_to_all(everybody, frame(0))
    await passes()
    crowd[6].send(frame(1))
    turn.send_to_all(everybody, frame(2))
    await passes(5)

    assert [line.received for line in crowd] == [wire(0, 2)] * 6 + [wire(0, 1, 2)]


async def test_a_broken_socket_is_cut_and_the_others_get_their_events(
    turn: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = lines(turn, 3)
    crowd[0].broken = True

    turn.send_to_all(audience(turn, crowd), frame(0))
    await passes()
    turn.send_to_all(audience(turn, crowd[1:]), frame(1))
    crowd[0].send(frame(1))
    await passes()

    assert [line.received for line in crowd] == [b"", wire(0, 1), wire(0, 1)]
    assert crowd[0].cuts == ["write error"] * 2
    assert "writing to 0 failed" in caplog.text


async def test_one_write_of_many_events_has_a_bound(turn: Turn) -> None:
    crowd = lines(turn, 2)
    everybody = audience(turn, crowd)
    large = Frame("4" + "x" * (turns.WRITE_BYTES // 2))

    for _ in range(3):
        turn.send_to_all(everybody, large)
    await passes()

    assert [line.received for line in crowd] == [large.wire * 3] * 2


async def test_descriptors_are_read_again_when_one_has_changed() -> None:
    """A line that was free and is not any more gets nothing past what waits for it."""
    turn = Turn()
    line = Line(turn, "0")
    crowd = audience(turn, [line])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line.descriptor = ours.fileno()
        turn.changes.count += 1
        turn.send_to_all(crowd, frame(0))
        await passes()

        line.descriptor = -1
        turn.changes.count += 1
        turn.send_to_all(crowd, frame(1))
        await passes()

        assert theirs.recv(100) == wire(0)
        assert line.writes == [wire(1)]


async def test_what_a_socket_does_not_take_is_left_to_its_line() -> None:
    turn = Turn()
    kept: list[bytes] = []
    line = Line(turn, "0")
    line.keep = lambda data, written: kept.append(data[written:])  # type: ignore[method-assign]
    large = Frame("4" + "x" * 10_000_000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        line.descriptor = ours.fileno()
        turn.send_to_all(audience(turn, [line]), large)
        await passes()

        theirs.setblocking(False)
        taken = received(theirs)
        assert taken + kept[0] == large.wire
        assert taken
        assert kept[0]


async def test_when_writing_itself_fails_those_it_was_for_are_cut_and_the_rest_get_it(
    turn: Turn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = lines(turn, 7)
    write, calls = write_to_all, []

    def fails_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise MemoryError
        return write(*arguments)

    monkeypatch.setattr(turns, "write_to_all", fails_once)

    turn.send_to_all(audience(turn, crowd), frame(0))
    await passes(5)

    assert [line.cuts for line in crowd] == [["write error"]] * 3 + [[]] * 4
    assert [line.received for line in crowd[3:]] == [wire(0)] * 4
    assert "a broadcast failed" in caplog.text


@pytest.mark.io_uring
async def test_a_ring_that_breaks_costs_nobody_an_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turn = Turn(io_uring=True)
    crowd = lines(turn, 4)
    everybody = audience(turn, crowd)
    pairs = [socket.socketpair() for _ in crowd]
    try:
        for line, (ours, theirs) in zip(crowd, pairs, strict=True):
            ours.setblocking(False)
            theirs.setblocking(False)
            line.descriptor = ours.fileno()
        turn.changes.count += 1
        turn.send_to_all(everybody, frame(0))
        await passes(2)
        ring = turn._ring
        assert ring is not None
        monkeypatch.setattr(ring, "_enter", lambda *_arguments: 0)
        for number in (1, 2):
            turn.send_to_all(everybody, frame(number))
            await passes(2)

        came = [theirs.recv(1000) for _, theirs in pairs]
        assert came == [wire(0, 2)] * 4
        assert [line.writes for line in crowd] == [[wire(1)]] * 4
        assert "io_uring failed and is not used any more: [Errno 5]" in caplog.text
    finally:
        turn.close()
        for pair in pairs:
            for end in pair:
                end.close()
