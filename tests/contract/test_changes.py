"""``change_agent``: read, edit and write as one step, history included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from store.base import Store
from store.errors import Conflict, LeaseLost, NotFound
from store.records import Agent, AgentStatus, Change, Gap, Lease, Outcome, Session, SessionEnd, SessionFilter, new_id
from tests.support.records import MINUTE, NOW, SECOND, a_gap, a_session, an_agent, an_end, released, started


async def leased(store: Store, agent_id: str = "a") -> Agent:
    agent = an_agent(agent_id, lease=Lease("server-1", new_id(), NOW + MINUTE))
    await store.add_agent(agent)
    return agent


async def running(store: Store, agent_id: str = "a") -> Session:
    """The running session of a new agent."""
    await leased(store, agent_id)
    session = a_session(agent_id)
    await store.change_agent(agent_id, lambda agent: started(agent, session))
    return session


async def history(store: Store, agent_id: str = "a") -> list[Session | Gap]:
    return (await store.list_sessions(SessionFilter(agent_id=agent_id, gaps=True), limit=100)).items


def end_of(session: Session, **given: object) -> Callable[[Agent], Change]:
    return lambda agent: Change(released(agent), end=an_end(session.id, **given))


# The agent


async def test_an_edit_sees_the_agent_as_it_is_and_what_it_returns_is_kept(store: Store) -> None:
    before = an_agent("a", retry_count=1)
    await store.add_agent(before)
    seen: list[Agent] = []

    def edit(agent: Agent) -> Change:
        seen.append(agent)
        return Change(replace(agent, retry_count=agent.retry_count + 1, status=AgentStatus.ERROR))

    change = await store.change_agent("a", edit)

    assert seen == [before]
    assert change == Change(replace(before, retry_count=2, status=AgentStatus.ERROR))
    assert await store.get_agent("a") == change.agent


async def test_what_comes_back_is_what_was_kept(store: Store) -> None:
    await leased(store)
    odd = timedelta(microseconds=999)
    session = a_session("a", started_at=NOW + odd)

    started_change = await store.change_agent(
        "a", lambda agent: replace(started(agent, session), gaps=(a_gap("a", last_at=NOW + odd),))
    )
    ended = await store.change_agent("a", end_of(session, completed_at=NOW + MINUTE + odd))

    assert started_change.start == replace(session, started_at=NOW)
    assert started_change.gaps[0].last_at == NOW
    assert ended.end is not None
    assert ended.end.completed_at == NOW + MINUTE


async def test_an_edit_that_changes_nothing_is_fine(store: Store) -> None:
    agent = an_agent("a")
    await store.add_agent(agent)

    assert await store.change_agent("a", Change) == Change(agent)


async def test_an_unknown_agent_is_not_found_and_not_edited(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^Agent not found$"):
        await store.change_agent("nobody", lambda _: pytest.fail("was called"))


async def test_what_an_edit_raises_reaches_the_caller_and_nothing_is_written(store: Store) -> None:
    agent = an_agent("a")
    await store.add_agent(agent)

    def refuse(_: Agent) -> Change:
        raise Conflict("not in this state")

    with pytest.raises(Conflict, match="not in this state"):
        await store.change_agent("a", refuse)

    assert await store.get_agent("a") == agent


async def test_of_many_edits_at_once_none_is_lost(store: Store) -> None:
    await store.add_agent(an_agent("a"))

    def count(agent: Agent) -> Change:
        return Change(replace(agent, retry_count=agent.retry_count + 1))

    changes = await asyncio.gather(*(store.change_agent("a", count) for _ in range(20)))

    assert (await store.get_agent("a")).retry_count == 20
    assert sorted(change.agent.retry_count for change in changes) == list(range(1, 21))


async def test_edits_claims_and_renewals_at_once_lose_nothing(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    lease = Lease("server-1", "lease", NOW + MINUTE)

    def count(agent: Agent) -> Change:
        return Change(replace(agent, retry_count=agent.retry_count + 1, lease=agent.lease or lease))

    def rename(agent: Agent) -> Change:
        return Change(replace(agent, name=agent.name + "."))

    _, claims, *_ = await asyncio.gather(
        store.change_agent("a", rename),
        store.claim_due(NOW, owner="server-2", lease=MINUTE, limit=1),
        *(store.change_agent("a", count) for _ in range(4)),
        *(store.renew(["lease"], until=NOW + 2 * MINUTE) for _ in range(4)),
        store.change_agent("a", rename),
    )

    agent = await store.get_agent("a")
    assert (agent.retry_count, agent.name, agent.lease is not None) == (4, "Agent a..", True)
    assert agent.lease
    assert agent.lease.owner == ("server-2" if claims else "server-1")


# Sessions


async def test_a_start_is_kept_as_a_running_session_of_the_agent(store: Store) -> None:
    session = await running(store)

    assert (await store.get_agent("a")).session_id == session.id
    assert await store.get_session("a", session.id) == session


async def test_an_attempt_of_an_occurrence_has_one_session_at_most(store: Store) -> None:
    first = await running(store)
    before = await store.get_agent("a")
    second = a_session("a", occurrence=first.occurrence)

    with pytest.raises(Conflict):
        await store.change_agent("a", lambda agent: replace(started(agent, second), gaps=(a_gap("a"),)))

    assert await store.get_agent("a") == before
    assert await history(store) == [first]


async def test_another_attempt_or_agent_has_its_own_session(store: Store) -> None:
    first = await running(store)
    await leased(store, "b")
    retry = a_session("a", occurrence=first.occurrence, attempt=2)
    elsewhere = a_session("b", occurrence=first.occurrence)

    await store.change_agent("a", lambda agent: started(agent, retry))
    await store.change_agent("b", lambda agent: started(agent, elsewhere))

    assert len(await history(store, "a")) == 2
    assert await history(store, "b") == [elsewhere]


async def test_a_session_id_is_used_once(store: Store) -> None:
    first = await running(store)
    await leased(store, "b")

    with pytest.raises(Conflict):
        await store.change_agent("b", lambda agent: started(agent, a_session("b", id=first.id)))

    assert await history(store, "b") == []
    assert (await store.get_agent("b")).session_id is None


async def test_an_end_closes_the_session(store: Store) -> None:
    session = await running(store)
    end = an_end(
        session.id, outcome=Outcome.FAILED, output_summary="half", error_message="it broke", metrics={"tokens": 5}
    )

    change = await store.change_agent("a", lambda agent: Change(released(agent), end=end))

    assert change.end == end
    kept = await store.get_session("a", session.id)
    assert kept == replace(
        session,
        outcome=Outcome.FAILED,
        completed_at=NOW + MINUTE,
        output_summary="half",
        error_message="it broke",
        metrics={"tokens": 5},
    )
    assert (kept.success, kept.duration_ms) == (False, 60_000)


async def test_a_session_ends_once(store: Store) -> None:
    session = await running(store)
    await store.change_agent("a", end_of(session))
    before = await store.get_agent("a")

    with pytest.raises(LeaseLost):
        await store.change_agent(
            "a", lambda agent: Change(replace(agent, name="changed"), end=an_end(session.id, outcome=Outcome.FAILED))
        )

    assert (await store.get_session("a", session.id)).outcome is Outcome.COMPLETED
    assert await store.get_agent("a") == before


async def test_the_end_of_an_unknown_session_is_refused(store: Store) -> None:
    await leased(store)

    with pytest.raises(LeaseLost):
        await store.change_agent("a", lambda agent: Change(agent, end=SessionEnd("?", Outcome.COMPLETED, NOW)))


async def test_of_many_ends_at_once_one_is_written(store: Store) -> None:
    session = await running(store)

    def end(agent: Agent) -> Change:
        if agent.session_id is None:
            raise LeaseLost("not ours any more")
        return end_of(session)(agent)

    results = await asyncio.gather(*(store.change_agent("a", end) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(result, Change) for result in results) == 1
    assert sum(isinstance(result, LeaseLost) for result in results) == 4
    assert (await store.get_session("a", session.id)).outcome is Outcome.COMPLETED


async def test_of_many_starts_of_an_attempt_at_once_one_is_written(store: Store) -> None:
    await leased(store)
    sessions = [a_session("a", occurrence="the same") for _ in range(5)]

    results = await asyncio.gather(
        *(store.change_agent("a", lambda agent, session=session: started(agent, session)) for session in sessions),  # type: ignore[misc]
        return_exceptions=True,
    )

    assert sum(isinstance(result, Conflict) for result in results) == 4
    [kept] = await history(store)
    assert kept.id == (await store.get_agent("a")).session_id


async def test_an_end_and_the_next_start_go_together(store: Store) -> None:
    first = await running(store)
    second = a_session("a", started_at=NOW + MINUTE)

    await store.change_agent("a", lambda agent: replace(started(agent, second), end=an_end(first.id)))

    assert [entry.outcome for entry in await history(store)] == [Outcome.RUNNING, Outcome.COMPLETED]


async def test_a_session_can_be_ended_without_its_agent(store: Store) -> None:
    session = await running(store)

    await store.end_session(an_end(session.id, outcome=Outcome.INTERRUPTED))

    assert (await store.get_session("a", session.id)).outcome is Outcome.INTERRUPTED
    with pytest.raises(LeaseLost):
        await store.end_session(an_end(session.id))
    with pytest.raises(LeaseLost):
        await store.end_session(an_end("unheard of"))


# Gaps


async def test_gaps_are_kept_beside_the_agent(store: Store) -> None:
    await store.add_agent(an_agent("a"))
    missed = a_gap("a", count=3, last_at=NOW + MINUTE)
    skipped = a_gap("a", outcome=Outcome.SKIPPED, first_at=NOW + 2 * MINUTE, last_at=NOW + 2 * MINUTE, reason="busy")

    await store.change_agent("a", lambda agent: Change(agent, gaps=(missed, skipped)))

    assert await history(store) == [skipped, missed]


async def test_pieces_of_one_gap_add_up_in_one_row(store: Store) -> None:
    await store.add_agent(an_agent("a"))
    first = a_gap("a", id="gap", count=2, last_at=NOW + SECOND)
    second = a_gap("a", id="gap", count=3, first_at=NOW + 2 * SECOND, last_at=NOW + 4 * SECOND)

    await store.change_agent("a", lambda agent: Change(agent, gaps=(first,)))
    await store.change_agent("a", lambda agent: Change(agent, gaps=(second,)))

    assert await history(store) == [replace(first, count=5, last_at=NOW + 4 * SECOND)]


async def test_pieces_of_one_gap_in_one_change_add_up_too(store: Store) -> None:
    await store.add_agent(an_agent("a"))
    pieces = tuple(a_gap("a", id="gap", first_at=NOW + n * SECOND, last_at=NOW + n * SECOND) for n in range(3))

    await store.change_agent("a", lambda agent: Change(agent, gaps=pieces))

    assert await history(store) == [replace(pieces[0], count=3, last_at=NOW + 2 * SECOND)]


async def test_a_piece_that_is_written_again_counts_once(store: Store) -> None:
    await store.add_agent(an_agent("a"))
    first = a_gap("a", id="gap", count=2, last_at=NOW + SECOND)
    second = a_gap("a", id="gap", count=1, first_at=NOW + MINUTE, last_at=NOW + MINUTE)
    longer = replace(second, count=4, last_at=NOW + 2 * MINUTE)

    for pieces in ((first, second), (first, second), (longer,)):
        await store.change_agent("a", lambda agent, pieces=pieces: Change(agent, gaps=pieces))  # type: ignore[misc]

    assert await history(store) == [replace(first, count=6, last_at=NOW + 2 * MINUTE)]


async def test_a_gap_with_the_id_of_a_session_or_of_anothers_gap_is_a_conflict(store: Store) -> None:
    session = await running(store)
    await store.add_agent(an_agent("b"))
    gap = a_gap("b")
    await store.change_agent("b", lambda agent: Change(agent, gaps=(gap,)))

    for taken in (session.id, gap.id):
        clash = a_gap("a", id=taken)
        with pytest.raises(Conflict):
            await store.change_agent(
                "a",
                lambda agent, clash=clash: Change(replace(agent, name="changed"), gaps=(clash,)),  # type: ignore[misc]
            )

    assert await history(store, "a") == [session]
    assert await history(store, "b") == [gap]


async def test_many_changes_with_gaps_of_their_own_at_once_lose_none(store: Store) -> None:
    await store.add_agent(an_agent("a"))

    def skip(agent: Agent) -> Change:
        moment = NOW + agent.retry_count * SECOND
        piece = a_gap("a", id="gap", first_at=moment, last_at=moment)
        return Change(replace(agent, retry_count=agent.retry_count + 1), gaps=(piece,))

    await asyncio.gather(*(store.change_agent("a", skip) for _ in range(10)))

    [gap] = await history(store)
    assert isinstance(gap, Gap)
    assert (gap.count, gap.first_at, gap.last_at) == (10, NOW, NOW + 9 * SECOND)
