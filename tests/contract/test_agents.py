"""Agents: kept, read, listed, counted, deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.base import Store
from store.errors import Conflict, NotFound
from store.records import (
    Agent,
    AgentFilter,
    AgentOrder,
    AgentStatus,
    Change,
    Counts,
    Lease,
    SessionFilter,
    milliseconds,
    new_id,
)
from tests.support.records import (
    MINUTE,
    NOW,
    SECOND,
    a_gap,
    a_log,
    a_pending,
    a_schedule,
    a_session,
    an_agent,
    released,
    started,
)


async def listed(store: Store, wanted: AgentFilter, order: AgentOrder = AgentOrder.NEWEST) -> list[str]:
    page = await store.list_agents(wanted, limit=100, order=order)
    assert page.total == len(page.items)
    return [agent.id for agent in page.items]


def leased(agent_id: str, **given: object) -> Agent:
    return an_agent(agent_id, lease=Lease("server-1", new_id(), NOW + MINUTE), **given)


async def test_the_store_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_an_agent_comes_back_as_it_was_added(store: Store) -> None:
    agent = an_agent(
        description="Ünïcödé \U0001f680 'quoted' \"text\"\nand lines",
        configuration={"a.b": 1, "$ref": {"$id": [None, True, 1.5, 2**70]}, "": "", "nested": {"x": []}},
        project_id="project",
        manager_id="manager",
        next_run_at=NOW,
        last_run_at=NOW - MINUTE,
        pending=a_pending(context={"$set": "me"}, session_id=new_id(), missed=3),
        lease=Lease("server-1", new_id(), NOW + MINUTE),
        stop_requested="because",
        retry_count=2,
        last_error="it broke",
    )

    await store.add_agent(agent)

    assert await store.get_agent(agent.id) == agent


async def test_times_are_kept_in_whole_milliseconds(store: Store) -> None:
    agent = an_agent(created_at=NOW.replace(microsecond=123_999))

    await store.add_agent(agent)

    kept = await store.get_agent(agent.id)
    assert kept.created_at == milliseconds(agent.created_at)
    assert kept.created_at.microsecond == 123_000


async def test_text_that_no_database_can_hold_is_kept_with_question_marks(store: Store) -> None:
    await store.add_agent(an_agent("a", name="half of \ud83d a rocket", configuration={"key": "\ud83d"}))

    kept = await store.get_agent("a")

    assert kept.name == "half of ? a rocket"
    assert kept.configuration == {"key": "\ud83d"}


async def test_a_taken_id_is_a_conflict(store: Store) -> None:
    await store.add_agent(an_agent("a", name="first"))

    with pytest.raises(Conflict):
        await store.add_agent(an_agent("a", name="second"))

    assert (await store.get_agent("a")).name == "first"


async def test_ids_that_differ_in_case_are_different(store: Store) -> None:
    await store.add_agent(an_agent("agent"))
    await store.add_agent(an_agent("AGENT"))

    assert (await store.get_agent("AGENT")).id == "AGENT"


async def test_an_unknown_agent_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^Agent not found$"):
        await store.get_agent("nobody")


# Listing


async def test_agents_are_listed_newest_first_and_equal_ones_by_id(store: Store) -> None:
    for agent_id, age in (("b", 1), ("c", 0), ("a", 1), ("d", 2)):
        await store.add_agent(an_agent(agent_id, created_at=NOW - age * MINUTE))

    assert await listed(store, AgentFilter()) == ["c", "a", "b", "d"]


async def test_agents_are_listed_soonest_due_first_and_those_never_due_last(store: Store) -> None:
    await store.add_agent(an_agent("never"))
    await store.add_agent(an_agent("late", next_run_at=NOW + MINUTE))
    await store.add_agent(an_agent("soon", next_run_at=NOW + SECOND))
    await store.add_agent(an_agent("paused", next_run_at=NOW, is_paused=True))
    await store.add_agent(an_agent("at once", next_run_at=NOW + MINUTE, pending=a_pending()))

    soonest = await listed(store, AgentFilter(), AgentOrder.SOONEST)

    assert soonest == ["at once", "soon", "late", "never", "paused"]


async def test_a_page_holds_its_window_and_the_total_of_all(store: Store) -> None:
    for number in range(5):
        await store.add_agent(an_agent(f"a{number}", created_at=NOW - number * MINUTE))

    page = await store.list_agents(AgentFilter(), limit=2, offset=3)
    beyond = await store.list_agents(AgentFilter(), limit=2, offset=5)

    assert ([agent.id for agent in page.items], page.total) == (["a3", "a4"], 5)
    assert (beyond.items, beyond.total) == ([], 5)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AgentFilter(status=AgentStatus.ERROR), ["failed"]),
        (AgentFilter(agent_type="OTHER"), ["other"]),
        (AgentFilter(scheduled=True), ["paused", "running", "scheduled"]),
        (AgentFilter(scheduled=False), ["disabled", "failed", "other"]),
        (AgentFilter(paused=True), ["paused"]),
        (AgentFilter(paused=False, scheduled=True), ["running", "scheduled"]),
        (AgentFilter(running=True), ["running"]),
        (AgentFilter(running=False, scheduled=True), ["paused", "scheduled"]),
        (AgentFilter(status=AgentStatus.IDLE, agent_type="OTHER", text="agent"), ["other"]),
        (AgentFilter(status=AgentStatus.ERROR, agent_type="OTHER"), []),
    ],
)
async def test_a_listing_holds_the_agents_that_match_all_of_a_filter(
    store: Store, wanted: AgentFilter, expected: list[str]
) -> None:
    await store.add_agent(an_agent("failed", status=AgentStatus.ERROR))
    await store.add_agent(an_agent("other", agent_type="OTHER"))
    await store.add_agent(an_agent("scheduled", next_run_at=NOW))
    await store.add_agent(an_agent("disabled", schedule=a_schedule(enabled=False)))
    await store.add_agent(an_agent("paused", next_run_at=NOW, is_paused=True))
    await store.add_agent(leased("running", next_run_at=NOW))

    assert await listed(store, wanted) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("report", ["by-description", "by-name", "report-1"]),
        ("REPORT", ["by-description", "by-name", "report-1"]),
        ("straße", ["street"]),
        ("STRASSE", ["street"]),
        ("100%", ["percent"]),
        ("a_b", []),
        (".*", []),
        ("nul\0", []),
        ("", ["by-description", "by-name", "percent", "report-1", "street"]),
    ],
)
async def test_text_is_looked_for_to_the_letter_in_id_name_and_description(
    store: Store, text: str, expected: list[str]
) -> None:
    await store.add_agent(an_agent("report-1", name="One"))
    await store.add_agent(an_agent("by-name", name="Weekly Report"))
    await store.add_agent(an_agent("by-description", description="Writes a report."))
    await store.add_agent(an_agent("percent", name="100% axb"))
    await store.add_agent(an_agent("street", name="Die Straße"))

    assert await listed(store, AgentFilter(text=text)) == expected


async def test_all_ids_can_be_walked_in_order(store: Store) -> None:
    for agent_id in ("c", "a", "B", "d"):
        await store.add_agent(an_agent(agent_id))

    first = await store.agent_ids(after="", limit=3)
    second = await store.agent_ids(after=first[-1], limit=3)

    assert (first, second) == (["B", "a", "c"], ["d"])


# Counting


async def test_an_empty_store_counts_nothing(store: Store) -> None:
    assert await store.counts() == Counts(scheduled=0, running=0, scheduled_running=0, paused=0)


async def test_agents_are_counted_by_where_they_stand(store: Store) -> None:
    await store.add_agent(an_agent("plain"))
    await store.add_agent(an_agent("scheduled", next_run_at=NOW))
    await store.add_agent(an_agent("disabled", schedule=a_schedule(enabled=False)))
    await store.add_agent(an_agent("paused", next_run_at=NOW, is_paused=True))
    await store.add_agent(an_agent("paused and disabled", schedule=a_schedule(enabled=False), is_paused=True))
    await store.add_agent(an_agent("paused without a schedule", is_paused=True))
    await store.add_agent(leased("running by hand"))
    await store.add_agent(leased("running", next_run_at=NOW))

    assert await store.counts() == Counts(scheduled=3, running=2, scheduled_running=1, paused=2)


async def test_counts_follow_every_change(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))

    await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)
    assert (await store.counts()).running == 1

    await store.change_agent("a", lambda agent: Change(replace(agent, lease=None, schedule=None, next_run_at=None)))
    assert await store.counts() == Counts(scheduled=0, running=0, scheduled_running=0, paused=0)


# Deletion


async def with_a_history(store: Store, agent_id: str) -> str:
    """An idle agent with a gap and an open session with a log; returns the session's id."""
    await store.add_agent(leased(agent_id))
    session = a_session(agent_id)
    await store.change_agent(agent_id, lambda agent: started(agent, session))
    await store.add_journal(session.id, None, [a_log("a line")])
    await store.change_agent(agent_id, lambda agent: Change(released(agent), gaps=(a_gap(agent_id),)))
    return session.id


async def test_an_agent_goes_with_its_sessions_gaps_and_logs(store: Store) -> None:
    of_a = await with_a_history(store, "a")
    of_b = await with_a_history(store, "b")

    await store.delete_agent("a")

    with pytest.raises(NotFound):
        await store.get_agent("a")
    with pytest.raises(NotFound):
        await store.get_session("a", of_a)
    assert await store.list_logs(of_a, limit=10) == []
    assert (await store.list_sessions(SessionFilter(gaps=True), limit=10)).total == 2
    assert await store.list_logs(of_b, limit=10) == [a_log("a line")]


async def test_an_agent_that_holds_a_lease_is_not_deleted(store: Store) -> None:
    await store.add_agent(leased("a"))
    await store.change_agent("a", lambda agent: started(agent, a_session("a")))

    with pytest.raises(Conflict):
        await store.delete_agent("a")

    assert (await store.get_agent("a")).is_running
    assert (await store.list_sessions(SessionFilter(agent_id="a"), limit=10)).total == 1


async def test_an_unknown_agent_cannot_be_deleted(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^Agent not found$"):
        await store.delete_agent("nobody")


async def test_an_id_may_be_used_again_and_starts_without_a_history(store: Store) -> None:
    await store.add_agent(an_agent("a"))
    await store.change_agent("a", lambda agent: Change(agent, gaps=(a_gap("a"),)))
    await store.delete_agent("a")

    await store.add_agent(an_agent("a", name="another"))

    assert (await store.get_agent("a")).name == "another"
    assert (await store.list_sessions(SessionFilter(agent_id="a", gaps=True), limit=10)).total == 0
