"""The recovery log: positions, what a client missed, and what is forgotten."""

from __future__ import annotations

import pytest

from server.realtime.eventlog import EventLog
from server.realtime.frames import Frame


def filled(log: EventLog, count: int, *, at: float = 0.0, room: str | None = None) -> EventLog:
    for _ in range(count):
        log.append(at, "/", None if room is None else [room], (), Frame(f"4{log.next_offset()}"))
    return log


def missed(log: EventLog, position: int, *, rooms: tuple[str, ...] = (), sid: str = "me") -> list[str] | None:
    frames = log.since(position, "/", rooms, sid)
    return None if frames is None else [frame.encode() for frame in frames]


def test_an_offset_leads_back_to_its_position() -> None:
    log = filled(EventLog(60), 20)
    offset = log.next_offset()
    filled(log, 1)

    assert log.position(offset) == 21 == log.head


@pytest.mark.parametrize(
    "offset",
    [None, 7, "", "x", "-", "-1", "hello-2", "{own}-", "{own}-zz", "{own}--1", "{own}-99", "{own}-" + "f" * 99],
)
def test_anything_else_leads_nowhere(offset: object) -> None:
    log = filled(EventLog(60), 3)
    own = log.next_offset().partition("-")[0]

    assert log.position(offset.format(own=own) if isinstance(offset, str) else offset) == 0


def test_a_client_missed_what_went_to_its_rooms_or_to_everybody_after_its_position() -> None:
    log = EventLog(60)
    for n, (namespace, rooms, skip) in enumerate(
        [
            ("/", ["a"], ()),
            ("/", ["b"], ()),
            ("/", None, ()),
            ("/", None, ["me"]),
            ("/other", None, ()),
            ("/", ["x", "a"], ()),
        ]
    ):
        log.append(0.0, namespace, rooms, skip, Frame(f"4{n}"))

    assert missed(log, 0, rooms=("a",)) == ["40", "42", "45"]
    assert missed(log, 1, rooms=("a", "b")) == ["41", "42", "45"]
    assert missed(log, 6) == []


def test_what_is_too_old_is_forgotten_and_said_to_be() -> None:
    log = filled(filled(EventLog(60), 2, at=0.0), 2, at=30.0)

    log.evict(61.0)

    assert len(log) == 2
    assert missed(log, 1) is None
    assert len(missed(log, 2) or []) == 2


def test_the_log_keeps_to_its_number_of_events_and_of_bytes() -> None:
    assert len(filled(EventLog(60, max_events=5), 20)) == 5

    log = filled(EventLog(60, max_bytes=2000), 200)
    assert log.bytes <= 2000
    assert 0 < len(log) < 10
    assert missed(log, log.head - len(log)) is not None
    assert missed(log, log.head - len(log) - 1) is None
