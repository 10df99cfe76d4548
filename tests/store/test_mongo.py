"""The shared store's life: several servers, a database that goes away, deletions and changes cut short."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from store.errors import Conflict, Invalid, NotFound, StoreUnavailable
from store.mongo import MongoStore
from store.mongo_driver import found, timeouts
from store.open import open_store
from store.records import Agent, AgentFilter, Change, Lease, Progress, SessionFilter, new_id
from store.sqlite import SqliteStore
from tests.support.mongo import MongoServer
from tests.support.records import MINUTE, NOW, SECOND, a_log, a_session, an_agent, an_end, released, started
from tests.support.tools import ROOT

pytestmark = pytest.mark.mongo


@asynccontextmanager
async def opened(uri: str, name: str) -> AsyncIterator[MongoStore]:
    store = await MongoStore.open(uri, name)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(mongo_uri: str, mongo_db: str) -> AsyncIterator[MongoStore]:
    async with opened(mongo_uri, mongo_db) as store:
        yield store


@pytest.fixture
async def another(mongo_uri: str, mongo_db: str, store: MongoStore) -> AsyncIterator[MongoStore]:
    """The store of another server on the same database."""
    async with opened(mongo_uri, mongo_db) as another:
        yield another


def with_quick_answers(uri: str) -> str:
    """*uri*, so that a database that is away is noticed soon, and one that is back (looked for twice a second) too."""
    return f"{uri}{'&' if '?' in uri else '?'}serverSelectionTimeoutMS=1500"


# Opening


async def test_the_backend_follows_from_the_configuration(mongo_uri: str, mongo_db: str, tmp_path: Path) -> None:
    async with open_store(mongodb_uri=mongo_uri, mongodb_db=mongo_db, data_dir=tmp_path / "unused") as shared:
        assert isinstance(shared, MongoStore)
        assert shared.is_shared
    async with open_store(mongodb_uri=None, mongodb_db=mongo_db, data_dir=tmp_path) as embedded:
        assert isinstance(embedded, SqliteStore)

    assert not (tmp_path / "unused").exists()


async def test_opening_again_keeps_data_leases_and_life(mongo_uri: str, mongo_db: str, store: MongoStore) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    [claimed] = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)
    await store.beat(NOW, lapse=MINUTE)

    async with opened(mongo_uri, mongo_db) as again:
        assert await again.get_agent("a") == claimed
        assert await again.expired(NOW, limit=10) == []
        assert await again.beat(NOW + SECOND, lapse=MINUTE) == NOW


async def test_a_database_that_is_away_is_told_at_once_and_without_the_password(unused_tcp_port: int) -> None:
    uri = f"mongodb://user:secret@127.0.0.1:{unused_tcp_port}/?serverSelectionTimeoutMS=100"

    with pytest.raises(StoreUnavailable, match=r"^MongoDB cannot be used") as failure:
        await MongoStore.open(uri, "neonhub")

    assert f"127.0.0.1:{unused_tcp_port}" in str(failure.value)
    assert "secret" not in str(failure.value)
    assert isinstance(failure.value.__cause__, PyMongoError)


@pytest.mark.parametrize("uri", ["localhost", "mongodb://", "mongodb://host:port", "mongodb://a/?authSource="])
async def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(Invalid, match=r"^MONGODB_URI is not usable: "):
        await MongoStore.open(uri, "neonhub")


@pytest.mark.parametrize("name", ["a b", "a.b", "a/b", "a\\b", "$a", 'a"b'])
async def test_a_name_that_no_database_can_have_is_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(Invalid, match=r"^MONGODB_DB: .* cannot be used; it accepts "):
        await MongoStore.open("mongodb://127.0.0.1:1", name)


def test_time_outs_of_the_uri_go_before_ours() -> None:
    assert timeouts("mongodb://host") == {
        "serverSelectionTimeoutMS": 3_000,
        "connectTimeoutMS": 3_000,
        "socketTimeoutMS": 10_000,
    }
    assert timeouts("mongodb://host/?sockettimeoutms=5&connectTimeoutMS=7") == {"serverSelectionTimeoutMS": 3_000}


async def test_closing_twice_is_closing_once(mongo_uri: str, mongo_db: str) -> None:
    store = await MongoStore.open(mongo_uri, mongo_db)

    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.ping()


# A database that goes away


def every_call(store: MongoStore) -> dict[str, Callable[[], Awaitable[object]]]:
    agent, session = an_agent("a"), a_session("a")
    return {
        "ping": store.ping,
        "add_agent": lambda: store.add_agent(agent),
        "get_agent": lambda: store.get_agent("a"),
        "list_agents": lambda: store.list_agents(AgentFilter(), limit=1),
        "agent_ids": lambda: store.agent_ids(after="", limit=1),
        "delete_agent": lambda: store.delete_agent("a"),
        "change_agent": lambda: store.change_agent("a", Change),
        "counts": store.counts,
        "claim_due": lambda: store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1),
        "overlapping": lambda: store.overlapping(NOW, limit=1),
        "expired": lambda: store.expired(NOW, limit=1),
        "next_due": store.next_due,
        "renew": lambda: store.renew(["lease"], until=NOW),
        "stops_requested": lambda: store.stops_requested("server-1"),
        "beat": lambda: store.beat(NOW, lapse=MINUTE),
        "get_session": lambda: store.get_session("a", session.id),
        "list_sessions": lambda: store.list_sessions(SessionFilter(), limit=1),
        "open_sessions": lambda: store.open_sessions(limit=1),
        "add_journal": lambda: store.add_journal(session.id, Progress(1), []),
        "list_logs": lambda: store.list_logs(session.id, limit=1),
        "end_session": lambda: store.end_session(an_end(session.id)),
        "purge_sessions": lambda: store.purge_sessions("a", before=NOW, keep=1, limit=1),
    }


async def test_while_the_database_is_away_every_call_says_so_and_afterwards_all_is_as_before(
    mongo_server: MongoServer,
) -> None:
    async with opened(with_quick_answers(mongo_server.uri), "neonhub") as store:
        await store.add_agent(an_agent("a"))
        calls = every_call(store)
        public = {name for name in dir(MongoStore) if not name.startswith("_")}
        assert calls.keys() == public - {"open", "close", "is_shared"}, "a method is not tried here"

        mongo_server.kill()
        results = await asyncio.gather(*(call() for call in calls.values()), return_exceptions=True)
        assert [name for name, result in zip(calls, results, strict=True) if type(result) is not StoreUnavailable] == []

        mongo_server.start()
        assert await store.get_agent("a") == an_agent("a")
        assert await store.change_agent("a", Change) == Change(an_agent("a"))


async def test_what_was_claimed_before_the_database_went_away_is_given_to_the_caller(store: MongoStore) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))
    await store.add_agent(an_agent("b", next_run_at=NOW))
    claim_one = store._claim_one

    async def claim_one_then_fail(now: datetime, lease: Lease) -> Agent | None:
        if (await store.counts()).running:
            raise PyMongoError("away")
        return await claim_one(now, lease)

    store._claim_one = claim_one_then_fail  # type: ignore[method-assign]

    assert [agent.id for agent in await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=2)] == ["a"]
    with pytest.raises(StoreUnavailable):
        await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)


async def test_a_record_that_is_too_large_is_refused_in_plain_words(store: MongoStore) -> None:
    with pytest.raises(Invalid, match="larger than MongoDB can keep"):
        await store.add_agent(an_agent("a", description="x" * 20_000_000))


# Several servers


CLAIMER = """
import asyncio, sys
from store.mongo import MongoStore
from tests.support.records import MINUTE, NOW

async def main(uri, name, owner):
    store = await MongoStore.open(uri, name)
    print("ready", flush=True)
    sys.stdin.readline()
    while claimed := await store.claim_due(NOW, owner=owner, lease=MINUTE, limit=3):
        for agent in claimed:
            print(agent.id, flush=True)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_of_several_servers_exactly_one_claims_each_agent(
    store: MongoStore, mongo_uri: str, mongo_db: str
) -> None:
    ids = [f"a{number:02}" for number in range(40)]
    for agent_id in ids:
        await store.add_agent(an_agent(agent_id, next_run_at=NOW))
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, mongo_uri, mongo_db, f"server-{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for server in servers:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"

    for server in servers:
        assert server.stdin
        server.stdin.write("go\n")
        server.stdin.flush()
    won = {f"server-{number}": server.communicate(timeout=60)[0].split() for number, server in enumerate(servers)}

    assert Counter(agent_id for claimed in won.values() for agent_id in claimed) == Counter(ids)
    for owner, claimed in won.items():
        for agent_id in claimed:
            lease = (await store.get_agent(agent_id)).lease
            assert lease
            assert lease.owner == owner


async def test_edits_of_several_servers_lose_nothing(store: MongoStore, another: MongoStore) -> None:
    await store.add_agent(an_agent("a"))

    def count(agent: Agent) -> Change:
        return Change(replace(agent, retry_count=agent.retry_count + 1))

    await asyncio.gather(*(server.change_agent("a", count) for server in (store, another) for _ in range(10)))

    assert (await store.get_agent("a")).retry_count == 20


async def test_several_servers_live_one_life(store: MongoStore, another: MongoStore) -> None:
    begun = await asyncio.gather(*(server.beat(NOW, lapse=MINUTE) for server in (store, another) for _ in range(3)))
    await store.beat(NOW + MINUTE, lapse=MINUTE)

    assert set(begun) == {NOW}
    assert await another.beat(NOW + 2 * MINUTE, lapse=MINUTE) == NOW


async def test_a_change_runs_to_its_end_though_its_caller_is_gone(store: MongoStore) -> None:
    await store.add_agent(an_agent("a", lease=Lease("server-1", "lease", NOW)))
    session = a_session("a")
    changing = asyncio.create_task(store.change_agent("a", lambda agent: started(agent, session)))
    await asyncio.sleep(0)  # it has begun

    changing.cancel()
    await asyncio.wait([changing])
    await store.change_agent("a", Change)  # takes its turn after the one before

    assert changing.cancelled()
    assert (await store.get_agent("a")).session_id == session.id
    assert await store.get_session("a", session.id) == session


async def test_closing_waits_for_a_change_on_its_way(mongo_uri: str, mongo_db: str, store: MongoStore) -> None:
    await store.add_agent(an_agent("a"))
    other = await MongoStore.open(mongo_uri, mongo_db)
    changing = asyncio.create_task(other.change_agent("a", lambda agent: Change(replace(agent, name="changed"))))
    await asyncio.sleep(0)  # it has begun

    await other.close()
    await changing

    assert (await store.get_agent("a")).name == "changed"


# Deletion


async def with_a_history(store: MongoStore) -> str:
    """An agent ``a`` with an ended session and a log; returns the session's id."""
    session = a_session("a")
    await store.add_agent(an_agent("a", lease=Lease("server-1", new_id(), NOW)))
    await store.change_agent("a", lambda agent: started(agent, session))
    await store.add_journal(session.id, None, [a_log("a line")])
    await store.change_agent("a", lambda agent: Change(released(agent), end=an_end(session.id)))
    return session.id


async def die(_: object) -> None:
    raise SystemError("killed")


async def deleted_half_way(store: MongoStore) -> str:
    """Delete ``a`` as far as a process comes that dies once the agent is gone; returns its session's id."""
    session_id = await with_a_history(store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_sweep_doomed", die)
        with pytest.raises(SystemError):
            await store.delete_agent("a")
    with pytest.raises(NotFound):
        await store.get_agent("a")
    assert (await store.list_sessions(SessionFilter(), limit=10)).total == 1
    return session_id


async def test_a_deletion_that_was_cut_short_is_finished_by_the_next_server_that_starts(
    store: MongoStore, mongo_uri: str, mongo_db: str
) -> None:
    session_id = await deleted_half_way(store)

    async with opened(mongo_uri, mongo_db):
        assert (await store.list_sessions(SessionFilter(), limit=10)).total == 0
        assert await store.list_logs(session_id, limit=10) == []


async def test_a_deletion_that_was_cut_short_is_finished_when_the_id_is_used_again(store: MongoStore) -> None:
    await deleted_half_way(store)

    await store.add_agent(an_agent("a"))

    assert (await store.list_sessions(SessionFilter(agent_id="a"), limit=10)).total == 0


async def test_finishing_a_deletion_late_spares_the_agent_that_has_the_id_now(
    store: MongoStore, mongo_uri: str, mongo_db: str
) -> None:
    await with_a_history(store)
    [agent] = await found(store._agents, {"_id": "a"})
    await store.delete_agent("a")
    kept = await with_a_history(store)
    await store._doomed.insert_one({"_id": agent["born"], "agentId": "a"})  # noted by a server that is behind the times

    async with opened(mongo_uri, mongo_db) as late:
        assert (await late.get_session("a", kept)).id == kept
        assert await late.list_logs(kept, limit=10) == [a_log("a line")]
        assert await late._doomed.count_documents({}) == 0


async def test_a_refused_deletion_leaves_no_note(store: MongoStore) -> None:
    await store.add_agent(an_agent("a", lease=Lease("server-1", new_id(), NOW)))

    with pytest.raises(Conflict):
        await store.delete_agent("a")

    assert await store._doomed.count_documents({}) == 0
