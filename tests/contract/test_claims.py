"""Finding work: what is due, who gets it, for how long, and who looks when nobody does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from store.base import Store
from store.records import Agent, Change, Lease, Priority, new_id
from tests.support.records import MINUTE, NOW, SECOND, a_pending, a_schedule, a_session, an_agent, released, started


async def claimed(store: Store, *, limit: int = 100, owner: str = "server-1") -> list[str]:
    return [agent.id for agent in await store.claim_due(NOW, owner=owner, lease=MINUTE, limit=limit)]


async def running(store: Store, agent_id: str, **given: object) -> Agent:
    """An agent whose session has started under a lease of server-1."""
    await store.add_agent(an_agent(agent_id, lease=Lease("server-1", new_id(), NOW + MINUTE), **given))
    return (await store.change_agent(agent_id, lambda agent: started(agent, a_session(agent_id)))).agent


# Claims


async def test_highest_priority_is_claimed_first_then_the_longest_due(store: Store) -> None:
    await store.add_agent(an_agent("normal, new", next_run_at=NOW))
    await store.add_agent(an_agent("low, old", next_run_at=NOW - MINUTE, priority=Priority.LOW))
    await store.add_agent(an_agent("critical", next_run_at=NOW, priority=Priority.CRITICAL))
    await store.add_agent(an_agent("normal, old", next_run_at=NOW - SECOND))
    await store.add_agent(an_agent("high", next_run_at=NOW, priority=Priority.HIGH))

    assert await claimed(store) == ["critical", "high", "normal, old", "normal, new", "low, old"]


async def test_a_claim_takes_no_more_than_its_limit(store: Store) -> None:
    for number in range(4):
        await store.add_agent(an_agent(f"a{number}", next_run_at=NOW - (4 - number) * SECOND))

    assert await claimed(store, limit=3) == ["a0", "a1", "a2"]
    assert await claimed(store, limit=3) == ["a3"]
    assert await claimed(store, limit=3) == []


async def test_a_limit_of_nothing_claims_nothing(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))

    assert await claimed(store, limit=0) == []
    assert not (await store.get_agent("a")).is_running


async def test_only_what_is_due_is_claimed(store: Store) -> None:
    await store.add_agent(an_agent("due to the millisecond", next_run_at=NOW))
    await store.add_agent(an_agent("not yet", next_run_at=NOW + timedelta(milliseconds=1)))
    await store.add_agent(an_agent("never"))
    await store.add_agent(an_agent("paused", next_run_at=NOW, is_paused=True))
    await store.add_agent(an_agent("disabled", next_run_at=NOW, schedule=a_schedule(enabled=False)))
    await store.add_agent(an_agent("by hand", pending=a_pending()))
    await store.add_agent(an_agent("backing off", next_run_at=NOW + MINUTE, pending=a_pending(due_at=NOW + SECOND)))

    assert sorted(await claimed(store)) == ["by hand", "due to the millisecond"]


async def test_a_claim_gives_a_lease_and_changes_nothing_else(store: Store) -> None:
    before = an_agent("a", next_run_at=NOW, pending=a_pending(), retry_count=2, last_error="it broke")
    await store.add_agent(before)

    [agent] = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)

    assert agent.lease is not None
    assert (agent.lease.owner, agent.lease.until) == ("server-1", NOW + MINUTE)
    assert replace(agent, lease=None) == before
    assert await store.get_agent("a") == agent


async def test_every_claim_has_a_lease_id_of_its_own(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await store.add_agent(an_agent("b", next_run_at=NOW))
    first = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=2)
    await store.change_agent("a", lambda agent: Change(replace(agent, lease=None)))
    second = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=2)

    assert len({agent.lease.id for agent in first + second if agent.lease}) == 3


async def test_of_many_callers_exactly_one_gets_each_agent(store: Store) -> None:
    for number in range(12):
        await store.add_agent(an_agent(f"a{number:02}", next_run_at=NOW))

    won = await asyncio.gather(*(claimed(store, limit=3, owner=f"server-{number}") for number in range(8)))

    assert sorted(agent_id for agents in won for agent_id in agents) == [f"a{number:02}" for number in range(12)]


async def test_an_agent_stays_claimed_until_its_lease_is_given_back(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await claimed(store)

    assert await store.claim_due(NOW + 2 * MINUTE, owner="server-2", lease=MINUTE, limit=1) == []

    await store.change_agent("a", lambda agent: Change(released(agent)))
    assert await claimed(store) == ["a"]


# Overlaps and the next moment


async def test_a_running_agent_whose_next_occurrence_has_come_is_overlapping(store: Store) -> None:
    await running(store, "later", next_run_at=NOW)
    await running(store, "earlier", next_run_at=NOW - SECOND)
    await running(store, "not yet", next_run_at=NOW + SECOND)
    await running(store, "by hand", pending=a_pending())
    await store.add_agent(an_agent("idle", next_run_at=NOW))

    assert [agent.id for agent in await store.overlapping(NOW, limit=10)] == ["earlier", "later"]
    assert [agent.id for agent in await store.overlapping(NOW, limit=1)] == ["earlier"]


async def test_an_agent_between_claim_and_start_is_not_overlapping(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await claimed(store)

    assert await store.overlapping(NOW, limit=10) == []
    assert await store.next_due() == (None, None)


async def test_in_an_empty_store_nothing_is_due_next(store: Store) -> None:
    assert await store.next_due() == (None, None)


async def test_the_next_moment_is_told_for_idle_and_running_agents_apart(store: Store) -> None:
    await store.add_agent(an_agent("never"))
    await store.add_agent(an_agent("paused", next_run_at=NOW, is_paused=True))
    await store.add_agent(an_agent("later", next_run_at=NOW + MINUTE))
    await store.add_agent(an_agent("soon", next_run_at=NOW + MINUTE, pending=a_pending(due_at=NOW + SECOND)))
    assert await store.next_due() == (NOW + SECOND, None)

    await running(store, "busy", next_run_at=NOW + 2 * SECOND)
    assert await store.next_due() == (NOW + SECOND, NOW + 2 * SECOND)


async def test_the_next_moment_follows_a_change(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW + MINUTE))

    await store.change_agent("a", lambda agent: Change(replace(agent, next_run_at=NOW)))
    assert await store.next_due() == (NOW, None)

    await store.change_agent("a", lambda agent: Change(replace(agent, is_paused=True)))
    assert await store.next_due() == (None, None)


# Leases


async def test_an_agent_comes_up_when_its_lease_has_run_out(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await claimed(store)

    assert await store.expired(NOW + MINUTE - SECOND, limit=10) == []
    assert [agent.id for agent in await store.expired(NOW + MINUTE, limit=10)] == ["a"]


async def test_the_lease_that_ran_out_longest_ago_comes_first(store: Store) -> None:
    for agent_id, age in (("a", 1), ("b", 3), ("c", 2)):
        await store.add_agent(an_agent(agent_id, lease=Lease("dead", new_id(), NOW - age * MINUTE)))

    assert [agent.id for agent in await store.expired(NOW, limit=2)] == ["b", "c"]


async def test_a_lease_is_extended_as_long_as_it_exists(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await store.add_agent(an_agent("b", next_run_at=NOW))
    leases = {
        agent.id: agent.lease.id
        for agent in await store.claim_due(NOW, owner="s", lease=MINUTE, limit=2)
        if agent.lease
    }
    await store.change_agent("b", lambda agent: Change(released(agent, next_run_at=None)))

    renewed = await store.renew([*leases.values(), "unheard of"], until=NOW + 2 * MINUTE)

    assert list(renewed) == [leases["a"]]
    assert renewed[leases["a"]] == await store.get_agent("a")
    assert await store.expired(NOW + 2 * MINUTE - SECOND, limit=10) == []
    assert len(await store.expired(NOW + 2 * MINUTE, limit=10)) == 1


async def test_a_lease_that_passed_to_another_is_lost(store: Store) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    [agent] = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)
    assert agent.lease
    await store.change_agent("a", lambda agent: Change(released(agent)))
    assert await claimed(store, owner="server-2") == ["a"]

    assert await store.renew([agent.lease.id], until=NOW + 2 * MINUTE) == {}


async def test_renewing_nothing_is_no_work(store: Store) -> None:
    assert await store.renew([], until=NOW) == {}


# Stops


async def test_an_owner_sees_which_of_its_agents_shall_stop(store: Store) -> None:
    await running(store, "mine")
    await running(store, "mine, and nobody asked")
    await store.add_agent(an_agent("another's", lease=Lease("server-2", new_id(), NOW), stop_requested="stop"))
    await store.change_agent("mine", lambda agent: Change(replace(agent, stop_requested="Stop, please")))

    [stopping] = await store.stops_requested("server-1")

    assert (stopping.id, stopping.stop_requested) == ("mine", "Stop, please")


async def test_a_stop_is_over_with_its_run(store: Store) -> None:
    await running(store, "a")
    await store.change_agent("a", lambda agent: Change(replace(agent, stop_requested="stop")))
    await store.change_agent("a", lambda agent: Change(released(agent)))

    assert await store.stops_requested("server-1") == []
