"""``change_agent`` without transactions: somebody else is faster, or the process dies in the middle."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from store.base import Edit
from store.errors import Conflict, LeaseLost, NotFound
from store.mongo import MongoStore
from store.mongo_change import AgentChange
from store.mongo_schema import AGENTS
from store.records import Agent, Change, Gap, Lease, Outcome, Session, SessionFilter
from tests.support.records import MINUTE, NOW, SECOND, a_gap, a_session, an_agent, an_end, released, started

pytestmark = pytest.mark.mongo


@pytest.fixture
async def store(mongo_uri: str, mongo_db: str) -> AsyncIterator[MongoStore]:
    store = await MongoStore.open(mongo_uri, mongo_db)
    yield store
    await store.close()


@pytest.fixture
async def session(store: MongoStore) -> Session:
    """The running session of an agent ``a``, which has a gap of two occurrences besides."""
    session = a_session("a", started_at=NOW - MINUTE)
    await store.add_agent(an_agent("a", lease=Lease("server-1", session.lease_id, NOW + MINUTE)))
    await store.change_agent("a", lambda agent: replace(started(agent, session), gaps=(GAP,)))
    return session


GAP = a_gap("a", id="gap", count=2, first_at=NOW - 3 * MINUTE, last_at=NOW - 2 * MINUTE)
MORE = replace(GAP, count=1, first_at=NOW - SECOND, last_at=NOW - SECOND)
OTHER = a_gap("a", id="another gap")


def overtaken(store: MongoStore, edits: list[Edit], **others: object) -> Edit:
    """An edit that is each of *edits* in turn; after all but the last another server is faster and sets *others*."""
    left = deque(edits)
    agents = store._client.delegate[store._database.name][AGENTS]

    def edit(agent: Agent) -> Change:
        change = left.popleft()(agent)
        if left:
            agents.update_one({"_id": agent.id}, {"$set": {"name": "overtaken", **others}, "$inc": {"version": 1}})
        return change

    return edit


def refuse(agent: Agent) -> Change:
    raise LeaseLost("not ours any more")


async def history(store: MongoStore) -> list[Session | Gap]:
    return (await store.list_sessions(SessionFilter(gaps=True), limit=100)).items


async def half_a_change(store: MongoStore, edit: Edit) -> AgentChange:
    """A change as far as a process comes that dies, or is held up, when the history is written."""
    change = AgentChange(store._agents, store._history, "a", edit)
    document, wanted = await change._edited()
    await change._write_history(wanted, await store.get_agent(document["_id"]))
    return change


# Somebody else is faster


async def test_an_edit_is_run_again_on_what_the_other_left(store: MongoStore) -> None:
    await store.add_agent(an_agent("a"))

    def pause(agent: Agent) -> Change:
        return Change(replace(agent, is_paused=True))

    change = await store.change_agent("a", overtaken(store, [pause, pause, pause]))

    assert change.agent == await store.get_agent("a") == an_agent("a", name="overtaken", is_paused=True)


async def test_history_that_is_still_wanted_is_written_once(store: MongoStore, session: Session) -> None:
    following = a_session("a")
    clock = itertools.count()

    def go_on(agent: Agent) -> Change:
        now = NOW + next(clock) * SECOND  # an edit may read its clock again
        end = an_end(session.id, completed_at=now)
        return Change(agent, start=replace(following, started_at=now), end=end, gaps=(MORE, OTHER))

    change = await store.change_agent("a", overtaken(store, [go_on, go_on]))

    assert change.start == following
    assert change.end == an_end(session.id, completed_at=NOW)
    assert {entry.id: entry for entry in await history(store)} == {
        OTHER.id: OTHER,
        following.id: following,
        session.id: replace(session, outcome=Outcome.COMPLETED, completed_at=NOW),
        GAP.id: replace(GAP, count=3, last_at=MORE.last_at),
    }


async def test_sessions_are_taken_back_when_the_edit_refuses_the_second_time(
    store: MongoStore, session: Session
) -> None:
    def go_on(agent: Agent) -> Change:
        return Change(agent, start=a_session("a"), end=an_end(session.id))

    before = await history(store)

    with pytest.raises(LeaseLost, match="not ours"):
        await store.change_agent("a", overtaken(store, [go_on, refuse]))

    assert await history(store) == before
    assert (await store.get_agent("a")).session_id == session.id


async def test_a_gap_that_two_servers_see_counts_once(store: MongoStore, session: Session) -> None:
    def skip(agent: Agent) -> Change:
        seen = agent.retry_count > 0
        return Change(agent) if seen else Change(replace(agent, retry_count=1), gaps=(MORE,))

    slower = await half_a_change(store, skip)
    await store.change_agent("a", skip)  # finds the gap written, and counts on it
    await slower.apply()

    assert (await history(store))[1] == replace(GAP, count=3, last_at=MORE.last_at)


async def test_a_gap_that_two_servers_see_grow_counts_once(store: MongoStore, session: Session) -> None:
    longer = replace(MORE, count=2, last_at=NOW)
    beyond = replace(MORE, count=1, first_at=NOW, last_at=NOW)

    slower = await half_a_change(store, lambda agent: Change(agent, gaps=(longer,)))
    await store.change_agent("a", lambda agent: Change(agent, gaps=(MORE,)))
    assert (await history(store))[1] == replace(GAP, count=3, last_at=MORE.last_at)

    await slower._write_history(Change(await store.get_agent("a"), gaps=(beyond,)), await store.get_agent("a"))
    await store.change_agent("a", lambda agent: Change(agent, gaps=(beyond,)))
    assert (await history(store))[1] == replace(GAP, count=4, last_at=NOW)


async def test_gaps_of_an_agent_that_is_gone_go_too(store: MongoStore) -> None:
    await store.add_agent(an_agent("a"))
    agents = store._client.delegate[store._database.name][AGENTS]

    def note_a_gap(agent: Agent) -> Change:
        agents.delete_one({"_id": "a"})
        return Change(replace(agent, name="changed"), gaps=(GAP,))

    with pytest.raises(NotFound):
        await store.change_agent("a", note_a_gap)

    assert await history(store) == []


async def test_history_that_is_wanted_otherwise_is_written_anew(store: MongoStore, session: Session) -> None:
    first, second = a_session("a"), a_session("a", missed=1)

    await store.change_agent(
        "a",
        overtaken(
            store,
            [
                lambda agent: replace(started(agent, first), end=an_end(session.id)),
                lambda agent: replace(started(agent, second), end=an_end(session.id, outcome=Outcome.FAILED)),
            ],
        ),
    )

    ended = replace(session, outcome=Outcome.FAILED, completed_at=NOW + MINUTE)
    assert await history(store) == [second, ended, GAP]


async def test_an_end_that_is_not_wanted_any_more_is_taken_back(store: MongoStore, session: Session) -> None:
    before = await history(store)

    await store.change_agent("a", overtaken(store, [lambda agent: Change(agent, end=an_end(session.id)), Change]))

    assert await history(store) == before


async def test_an_end_stays_when_the_agent_has_gone_on_without_the_session(store: MongoStore, session: Session) -> None:
    def end(agent: Agent) -> Change:
        return Change(released(agent), end=an_end(session.id))

    with pytest.raises(LeaseLost):
        await store.change_agent("a", overtaken(store, [end, refuse], sessionId=None))

    assert (await store.get_session("a", session.id)).outcome is Outcome.COMPLETED


async def test_a_refused_history_takes_its_own_first_part_back(store: MongoStore, session: Session) -> None:
    again = a_session("a", occurrence=session.occurrence)
    before = await history(store)

    with pytest.raises(Conflict):
        await store.change_agent(
            "a", lambda agent: Change(agent, start=again, end=an_end(session.id), gaps=(MORE, OTHER))
        )

    assert await history(store) == before


# The process dies in the middle


async def test_an_end_that_did_not_reach_the_agent_can_be_written_again(store: MongoStore, session: Session) -> None:
    def end(agent: Agent) -> Change:
        return Change(released(agent), end=an_end(session.id, output_summary="first"))

    def end_later(agent: Agent) -> Change:
        return Change(released(agent), end=an_end(session.id, completed_at=NOW + 2 * MINUTE, output_summary="again"))

    await half_a_change(store, end)
    assert (await store.get_agent("a")).is_running

    change = await store.change_agent("a", end_later)

    assert change.end == an_end(session.id, output_summary="first")
    assert not (await store.get_agent("a")).is_running
    with pytest.raises(LeaseLost):
        await store.change_agent("a", end_later)


async def test_an_end_of_another_kind_is_refused_then(store: MongoStore, session: Session) -> None:
    await half_a_change(store, lambda agent: Change(released(agent), end=an_end(session.id)))

    with pytest.raises(LeaseLost):
        await store.change_agent(
            "a", lambda agent: Change(released(agent), end=an_end(session.id, outcome=Outcome.INTERRUPTED))
        )

    assert (await store.get_session("a", session.id)).outcome is Outcome.COMPLETED


async def test_a_gap_that_did_not_reach_the_agent_counts_once_when_written_again(
    store: MongoStore, session: Session
) -> None:
    longer = replace(MORE, count=4, last_at=NOW)
    await half_a_change(store, lambda agent: Change(agent, gaps=(MORE, OTHER)))

    await store.change_agent("a", lambda agent: Change(agent, gaps=(longer, OTHER)))

    gaps = {entry.id: entry for entry in await history(store)}
    assert gaps["gap"] == replace(GAP, count=6, last_at=NOW)
    assert gaps[OTHER.id] == OTHER


async def test_a_start_that_did_not_reach_the_agent_is_an_open_session_under_a_lease(store: MongoStore) -> None:
    session = a_session("a")
    await store.add_agent(an_agent("a", lease=Lease("server-1", session.lease_id, NOW + MINUTE)))

    await half_a_change(store, lambda agent: started(agent, session))

    agent = await store.get_agent("a")
    assert agent.lease
    assert (agent.lease.id, agent.session_id) == (session.lease_id, None)
    assert await store.open_sessions(limit=10) == [session]
