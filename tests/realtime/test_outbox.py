"""The backlog of one socket: order, collapsing, its size and its age."""

from __future__ import annotations

from server.realtime.frames import Frame
from server.realtime.outbox import Outbox


def texts(frames: list[Frame]) -> list[str]:
    return [frame.encode() for frame in frames]


def test_frames_leave_in_the_order_they_came_in_portions_of_about_the_size_asked_for() -> None:
    outbox = Outbox()
    for n in range(5):
        outbox.put(Frame(f"4{n}" + "x" * 8), 0.0, collapse=False)

    assert [text[:2] for text in texts(outbox.take(20, 0.0))] == ["40", "41"]
    assert [text[:2] for text in texts(outbox.take(1000, 0.0))] == ["42", "43", "44"]
    assert (len(outbox), outbox.cost) == (0, 0)


def test_a_newer_frame_of_the_same_key_goes_to_the_end_and_the_older_one_goes() -> None:
    outbox = Outbox()
    outbox.put(Frame("4old", collapse="progress:a"), 0.0, collapse=True)
    outbox.put(Frame("4between"), 0.0, collapse=True)
    outbox.put(Frame("4other", collapse="progress:b"), 0.0, collapse=True)

    outbox.put(Frame("4new", collapse="progress:a"), 0.0, collapse=True)

    assert outbox.cost == sum(len(Frame(text).wire) for text in ("4between", "4other", "4new"))
    assert texts(outbox.take(1000, 0.0)) == ["4between", "4other", "4new"]


def test_nothing_collapses_while_the_socket_keeps_up() -> None:
    outbox = Outbox()
    for n in range(3):
        outbox.put(Frame(f"4{n}", collapse="progress:a"), 0.0, collapse=False)

    assert texts(outbox.take(1000, 0.0)) == ["40", "41", "42"]


def test_a_replay_is_not_collapsed_costs_nothing_and_keeps_what_follows_young() -> None:
    outbox = Outbox()
    outbox.put_replay(Frame("4missed", collapse="progress:a"), 0.0)
    outbox.put(Frame("4live", collapse="progress:a"), 1.0, collapse=True)

    assert outbox.cost == len(Frame("4live").wire)
    assert texts(outbox.take(1, 10.0)) == ["4missed"]
    assert outbox.age(11.0) == 1.0
    assert texts(outbox.take(1, 11.0)) == ["4live"]


def test_the_age_is_that_of_the_oldest_frame() -> None:
    outbox = Outbox()
    assert outbox.age(5.0) == 0.0

    outbox.put(Frame("4a"), 10.0, collapse=False)
    outbox.put(Frame("4b"), 12.0, collapse=False)

    assert outbox.age(15.0) == 5.0


def test_a_replay_counts_as_under_way_until_its_last_frame_is_taken() -> None:
    outbox = Outbox()
    outbox.put_replay(Frame("4missed"), 0.0)
    outbox.put_replay(Frame("4missed too"), 0.0)
    outbox.put(Frame("4live"), 0.0, collapse=False)

    before = outbox.replaying
    outbox.take(1, 0.0)
    between = outbox.replaying
    outbox.take(1, 0.0)

    assert (before, between, outbox.replaying) == (True, True, False)
