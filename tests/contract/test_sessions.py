"""The history: sessions and gaps listed, journals kept, old entries removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from store.base import Store
from store.errors import LeaseLost, NotFound
from store.records import Change, LogEntry, Outcome, Progress, Session, SessionFilter
from tests.support.records import MINUTE, NOW, SECOND, a_gap, a_log, a_session, an_agent, an_end


async def a_history(store: Store, agent_id: str, *entries: tuple[str, datetime, Outcome]) -> None:
    """An agent with sessions and gaps: the id of each, its first moment, and how it stands. Each took a second."""
    await store.add_agent(an_agent(agent_id))
    for entry_id, moment, outcome in entries:
        if outcome in (Outcome.MISSED, Outcome.SKIPPED):
            gap = a_gap(agent_id, id=entry_id, outcome=outcome, first_at=moment, last_at=moment + SECOND)
            change = Change(an_agent(agent_id), gaps=(gap,))
        else:
            change = Change(an_agent(agent_id), start=a_session(agent_id, id=entry_id, started_at=moment))
        await store.change_agent(agent_id, lambda _, change=change: change)  # type: ignore[misc]
        if change.start and outcome is not Outcome.RUNNING:
            await store.end_session(an_end(entry_id, outcome=outcome, completed_at=moment + SECOND))


async def listed(store: Store, wanted: SessionFilter) -> list[str]:
    page = await store.list_sessions(wanted, limit=100)
    assert page.total == len(page.items)
    return [entry.id for entry in page.items]


async def running(store: Store) -> Session:
    await a_history(store, "a", ("session", NOW, Outcome.RUNNING))
    return await store.get_session("a", "session")


# Reading


async def test_a_session_is_found_with_its_agent_only(store: Store) -> None:
    session = await running(store)
    await a_history(store, "b", ("gap", NOW, Outcome.MISSED))

    assert await store.get_session("a", "session") == session
    for agent_id, session_id in (("b", "session"), ("b", "gap"), ("a", "unheard of")):
        with pytest.raises(NotFound, match=r"^Session not found$"):
            await store.get_session(agent_id, session_id)


async def test_history_is_listed_newest_first_and_equal_moments_by_id(store: Store) -> None:
    await a_history(
        store,
        "a",
        ("b", NOW, Outcome.COMPLETED),
        ("c", NOW + SECOND, Outcome.RUNNING),
        ("a", NOW, Outcome.FAILED),
        ("gap", NOW + SECOND / 2, Outcome.MISSED),
    )

    assert await listed(store, SessionFilter(agent_id="a")) == ["c", "a", "b"]
    assert await listed(store, SessionFilter(agent_id="a", gaps=True)) == ["c", "gap", "a", "b"]


async def test_a_page_of_history_holds_its_window_and_the_total_of_all(store: Store) -> None:
    outcomes = (Outcome.COMPLETED, Outcome.MISSED, Outcome.COMPLETED, Outcome.FAILED, Outcome.MISSED)
    await a_history(store, "a", *((f"s{n}", NOW - n * MINUTE, outcome) for n, outcome in enumerate(outcomes)))

    page = await store.list_sessions(SessionFilter(agent_id="a"), limit=1, offset=1)
    with_gaps = await store.list_sessions(SessionFilter(agent_id="a", gaps=True), limit=2, offset=3)
    beyond = await store.list_sessions(SessionFilter(agent_id="a"), limit=2, offset=3)

    assert ([entry.id for entry in page.items], page.total) == (["s2"], 3)
    assert ([entry.id for entry in with_gaps.items], with_gaps.total) == (["s3", "s4"], 5)
    assert (beyond.items, beyond.total) == ([], 3)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SessionFilter(), ["other", "running", "stopped", "failed", "done"]),
        (SessionFilter(gaps=True), ["other", "running", "stopped", "skipped", "failed", "missed", "done"]),
        (SessionFilter(agent_id="b"), ["other"]),
        (SessionFilter(agent_id="nobody"), []),
        (SessionFilter(success=True), ["other", "done"]),
        (SessionFilter(success=False), ["stopped", "failed"]),
        (SessionFilter(success=False, gaps=True), ["stopped", "failed"]),
        (SessionFilter(outcomes=frozenset({Outcome.FAILED, Outcome.STOPPED})), ["stopped", "failed"]),
        (SessionFilter(outcomes=frozenset({Outcome.MISSED})), []),
        (SessionFilter(outcomes=frozenset({Outcome.MISSED}), gaps=True), ["missed"]),
        (SessionFilter(outcomes=frozenset({Outcome.RUNNING, Outcome.COMPLETED}), agent_id="a"), ["running", "done"]),
        (SessionFilter(outcomes=frozenset()), []),
        (SessionFilter(since=NOW + 4 * SECOND), ["other", "running", "stopped"]),
        (SessionFilter(until=NOW + 2 * SECOND, gaps=True), ["failed", "missed", "done"]),
        (SessionFilter(since=NOW + 2 * SECOND, until=NOW + 4 * SECOND, agent_id="a"), ["stopped", "failed"]),
        (SessionFilter(success=True, outcomes=frozenset({Outcome.FAILED})), []),
    ],
)
async def test_a_listing_holds_the_entries_that_match_all_of_a_filter(
    store: Store, wanted: SessionFilter, expected: list[str]
) -> None:
    await a_history(
        store,
        "a",
        ("done", NOW, Outcome.COMPLETED),
        ("missed", NOW + 1 * SECOND, Outcome.MISSED),
        ("failed", NOW + 2 * SECOND, Outcome.FAILED),
        ("skipped", NOW + 3 * SECOND, Outcome.SKIPPED),
        ("stopped", NOW + 4 * SECOND, Outcome.STOPPED),
        ("running", NOW + 5 * SECOND, Outcome.RUNNING),
    )
    await a_history(store, "b", ("other", NOW + 6 * SECOND, Outcome.COMPLETED))

    assert await listed(store, wanted) == expected


async def test_open_sessions_come_oldest_first(store: Store) -> None:
    await a_history(
        store, "a", ("new", NOW, Outcome.RUNNING), ("old", NOW - MINUTE, Outcome.RUNNING), ("done", NOW, Outcome.FAILED)
    )

    assert [session.id for session in await store.open_sessions(limit=10)] == ["old", "new"]
    assert [session.id for session in await store.open_sessions(limit=1)] == ["old"]


# Journal


async def test_the_newest_progress_is_kept(store: Store) -> None:
    session = await running(store)

    await store.add_journal("session", Progress(10, "begun"), [])
    await store.add_journal("session", Progress(62.5, "half", step=1, of=2), [])
    await store.add_journal("session", None, [a_log("a line")])

    kept = Progress(62.5, "half", step=1, of=2)
    assert await store.get_session("a", "session") == replace(session, progress=kept)
    assert [entry.progress for entry in await store.open_sessions(limit=1)] == [kept]


async def test_progress_survives_the_end(store: Store) -> None:
    await running(store)
    await store.add_journal("session", Progress(99), [])

    await store.end_session(an_end("session"))

    assert (await store.get_session("a", "session")).progress == Progress(99)


async def test_logs_come_back_in_the_order_they_were_made(store: Store) -> None:
    await running(store)
    entries = [a_log(f"line {n}", level=level) for n, level in enumerate(("debug", "info", "warning", "error"))]

    await store.add_journal("session", None, entries[:3])
    await store.add_journal("session", Progress(1), entries[3:])

    assert await store.list_logs("session", limit=100) == entries


async def test_a_listing_of_logs_holds_the_last_ones(store: Store) -> None:
    await running(store)
    await store.add_journal("session", None, [a_log(f"line {n}") for n in range(5)])

    assert [entry.message for entry in await store.list_logs("session", limit=2)] == ["line 3", "line 4"]


async def test_a_log_keeps_its_time_in_milliseconds_and_any_text(store: Store) -> None:
    await running(store)
    moment = NOW.replace(microsecond=5_999)

    await store.add_journal("session", None, [LogEntry(moment, "info", "\U0001f680 nul \0 and \ud800 half")])

    [entry] = await store.list_logs("session", limit=1)
    assert entry == LogEntry(NOW.replace(microsecond=5_000), "info", "\U0001f680 nul \0 and ? half")


async def test_a_session_that_has_ended_takes_no_journal(store: Store) -> None:
    await running(store)
    await store.end_session(an_end("session"))

    for session_id in ("session", "unheard of"):
        with pytest.raises(LeaseLost):
            await store.add_journal(session_id, Progress(50), [a_log("too late")])

    assert (await store.get_session("a", "session")).progress is None
    assert await store.list_logs("session", limit=10) == []


async def test_an_unknown_session_has_no_logs(store: Store) -> None:
    assert await store.list_logs("unheard of", limit=10) == []


# Retention


async def test_what_ended_before_a_moment_is_removed_with_its_logs(store: Store) -> None:
    await a_history(store, "a", ("old", NOW, Outcome.RUNNING), ("new", NOW + MINUTE, Outcome.COMPLETED))
    await store.add_journal("old", None, [a_log("a line")])
    await store.end_session(an_end("old", completed_at=NOW + SECOND))

    removed = await store.purge_sessions("a", before=NOW + 2 * SECOND, keep=100, limit=10)

    assert removed == 1
    assert await listed(store, SessionFilter(gaps=True)) == ["new"]
    assert await store.list_logs("old", limit=10) == []


async def test_it_is_the_end_that_counts_not_the_start(store: Store) -> None:
    await a_history(store, "a", ("long", NOW, Outcome.COMPLETED), ("gap", NOW, Outcome.MISSED))

    assert await store.purge_sessions("a", before=NOW + SECOND, keep=100, limit=10) == 0
    assert await store.purge_sessions("a", before=NOW + 2 * SECOND, keep=100, limit=10) == 2


async def test_what_lies_beyond_the_newest_is_removed(store: Store) -> None:
    entries = [(f"s{n}", NOW - n * MINUTE, Outcome.COMPLETED) for n in range(4)]
    await a_history(store, "a", *entries, ("gap", NOW - SECOND, Outcome.MISSED))

    removed = await store.purge_sessions("a", before=NOW - 10 * MINUTE, keep=3, limit=10)

    assert removed == 2
    assert await listed(store, SessionFilter(gaps=True)) == ["s0", "gap", "s1"]


async def test_a_running_session_is_never_removed(store: Store) -> None:
    await a_history(store, "a", ("old", NOW - MINUTE, Outcome.RUNNING), ("new", NOW, Outcome.COMPLETED))

    assert await store.purge_sessions("a", before=NOW + MINUTE, keep=0, limit=10) == 1
    assert await listed(store, SessionFilter()) == ["old"]


async def test_history_is_removed_in_batches_until_it_is_done(store: Store) -> None:
    await a_history(store, "a", *((f"s{n}", NOW - n * MINUTE, Outcome.COMPLETED) for n in range(5)))

    batches = [await store.purge_sessions("a", before=NOW - 2 * MINUTE, keep=1, limit=2) for _ in range(3)]

    assert batches == [2, 2, 0]
    assert await listed(store, SessionFilter()) == ["s0"]


async def test_the_history_of_others_stays(store: Store) -> None:
    await a_history(store, "a", ("mine", NOW, Outcome.COMPLETED))
    await a_history(store, "b", ("theirs", NOW, Outcome.COMPLETED))

    await store.purge_sessions("a", before=NOW + MINUTE, keep=0, limit=10)

    assert await listed(store, SessionFilter()) == ["theirs"]
