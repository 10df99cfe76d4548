"""The embedded store's life: one process, durable writes, restarts, disks that fail, backups."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest

from store import sqlite_agents, sqlite_history, sqlite_schema
from store.errors import Conflict, NotFound, StoreUnavailable
from store.records import Agent, AgentFilter, Change, Lease, SessionFilter
from store.sqlite import DATABASE, LOCK, SqliteStore
from store.sqlite_thread import ConnectionThread, Writer
from tests.support.records import MINUTE, NOW, SECOND, a_gap, a_log, a_session, an_agent, released, started
from tests.support.tools import ROOT


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(data_dir)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path) as store:
        yield store


@asynccontextmanager
async def occupied(thread: ConnectionThread) -> AsyncIterator[asyncio.Task[None]]:
    """Keep a thread of the store busy; the task is of the call that does."""
    busy, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait()

    task = asyncio.create_task(thread.call(hold))
    await asyncio.to_thread(busy.wait)
    try:
        yield task
    finally:
        go_on.set()
        await asyncio.wait([task])


# One process


async def test_it_belongs_to_one_process(store: SqliteStore) -> None:
    assert not store.is_shared


async def test_a_second_server_on_the_same_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path) as first:
        with pytest.raises(Conflict, match=r"^DATA_DIR .* is used by another server \(process \d+\); stop that one"):
            await SqliteStore.open(tmp_path)
        await first.ping()

    async with opened(tmp_path) as second:
        await second.ping()


HOLDER = """
import asyncio, sys
from pathlib import Path
from store.sqlite import SqliteStore
from tests.support.records import an_agent

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        await store.add_agent(an_agent(f"a{number:03}"))
        print(f"a{number:03}", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_killed_server_leaves_the_folder_free_and_all_that_it_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "1000000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        acknowledged = [holder.stdout.readline().strip() for _ in range(20)]
        refused = asyncio.run(_refusal(tmp_path))
        holder.kill()
        acknowledged += [line.strip() for line in holder.stdout if line.endswith("\n")]

    kept = asyncio.run(_ids(tmp_path))

    assert f"(process {holder.pid})" in refused
    assert len(acknowledged) >= 20
    assert set(acknowledged) <= set(kept)


async def _refusal(data_dir: Path) -> str:
    with pytest.raises(Conflict) as refusal:
        await SqliteStore.open(data_dir)
    return str(refusal.value)


async def _ids(data_dir: Path) -> list[str]:
    async with opened(data_dir) as store:
        return await store.agent_ids(after="", limit=1_000_000)


# Opening and closing


async def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "new" / "data") as store:
        await store.ping()

    assert sorted(path.name for path in (tmp_path / "new" / "data").iterdir()) == [DATABASE, LOCK]


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)

    await asyncio.gather(store.close(), store.close())
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ping()


async def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    adding = [asyncio.create_task(store.add_agent(an_agent(f"a{number}"))) for number in range(20)]
    await asyncio.sleep(0)  # each has handed its write over

    await store.close()
    await asyncio.gather(*adding)

    async with opened(tmp_path) as store:
        assert len(await store.agent_ids(after="", limit=100)) == 20


async def test_a_file_that_is_no_database_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("These are not the bytes you are looking for. " * 100)
    with pytest.raises(StoreUnavailable, match=rf"{DATABASE}: .*not a database"):
        await SqliteStore.open(tmp_path)

    (tmp_path / DATABASE).unlink()
    async with opened(tmp_path) as store:
        await store.ping()


async def test_a_folder_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(StoreUnavailable, match=r"^DATA_DIR .*data cannot be used"):
        await SqliteStore.open(tmp_path / "data")


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    agent, session = an_agent("a", lease=Lease("server-1", "lease", NOW + MINUTE)), a_session("a")
    async with opened(tmp_path) as store:
        await store.add_agent(agent)
        await store.change_agent("a", lambda agent: started(agent, session))
        await store.add_journal(session.id, None, [a_log("a line")])

    async with opened(tmp_path) as store:
        assert await store.get_session("a", session.id) == session
        assert await store.list_logs(session.id, limit=10) == [a_log("a line")]


async def test_opening_voids_every_lease_of_the_last_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add_agent(an_agent("a", next_run_at=NOW))
        await store.add_agent(an_agent("idle"))
        [claimed] = await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=5)

    async with opened(tmp_path) as store:
        [expired] = await store.expired(NOW - 1000 * MINUTE, limit=5)
        assert expired.lease
        assert claimed.lease
        assert (expired.id, expired.lease.id) == ("a", claimed.lease.id)
        assert await store.claim_due(NOW, owner="server-2", lease=MINUTE, limit=5) == []


async def test_opening_begins_a_new_life(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.beat(NOW, lapse=MINUTE)

    async with opened(tmp_path) as store:
        assert await store.beat(NOW + SECOND, lapse=MINUTE) == NOW + SECOND


# Writing


async def test_a_commit_waits_for_the_disk(store: SqliteStore) -> None:
    modes = await store._writer.call(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    )

    assert modes == ["wal", 2]


async def test_writes_that_come_together_share_a_commit(store: SqliteStore) -> None:
    statements: list[str] = []
    await store._writer.call(lambda connection: connection.set_trace_callback(statements.append))

    await asyncio.gather(*(store.add_agent(an_agent(f"a{number}")) for number in range(100)))

    assert statements.count("COMMIT") <= 3
    assert len(await store.agent_ids(after="", limit=1000)) == 100


async def test_one_refused_write_takes_no_other_with_it(store: SqliteStore) -> None:
    await store.add_agent(an_agent("taken"))

    def fail(agent: Agent) -> Change:
        raise ZeroDivisionError

    results = await asyncio.gather(
        store.add_agent(an_agent("before")),
        store.add_agent(an_agent("taken")),
        store.change_agent("taken", fail),
        store.change_agent(
            "before", lambda agent: Change(agent, gaps=(a_gap("before", id="a"), a_gap("else", id="a")))
        ),
        store.add_agent(an_agent("after")),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [type(None), Conflict, ZeroDivisionError, Conflict, type(None)]
    assert await store.agent_ids(after="", limit=10) == ["after", "before", "taken"]
    assert (await store.list_sessions(SessionFilter(gaps=True), limit=10)).total == 0


async def test_a_caller_that_goes_away_while_it_waits_takes_its_write_back(store: SqliteStore) -> None:
    async with occupied(store._writer):
        given_up = asyncio.create_task(store.add_agent(an_agent("given up")))
        wanted = asyncio.create_task(store.add_agent(an_agent("wanted")))
        await asyncio.sleep(0)  # both have handed their write over
        given_up.cancel()
        await asyncio.wait([given_up])
    await wanted

    assert await store.agent_ids(after="", limit=10) == ["wanted"]


async def test_a_caller_that_goes_away_too_late_harms_nobody(store: SqliteStore) -> None:
    async with occupied(store._writer) as writing:
        writing.cancel()
        await asyncio.wait([writing])
    await store.add_agent(an_agent("a"))

    assert await store.agent_ids(after="", limit=10) == ["a"]


async def test_a_long_listing_delays_neither_a_claim_nor_the_look_for_one(store: SqliteStore) -> None:
    await store.add_agent(an_agent("a", next_run_at=NOW))

    async with occupied(store._lister):
        listing = asyncio.create_task(store.list_agents(AgentFilter(), limit=10))
        assert await store.next_due() == (NOW, None)
        assert len(await store.claim_due(NOW, owner="server-1", lease=MINUTE, limit=1)) == 1
        assert not listing.done()

    assert (await listing).items[0].is_running


async def test_a_look_for_old_sessions_that_finds_none_waits_for_no_writer(store: SqliteStore) -> None:
    await store.add_agent(an_agent("a"))
    await store.change_agent("a", lambda agent: Change(agent, start=a_session("a", started_at=NOW)))

    async with occupied(store._writer), asyncio.timeout(10):
        assert await store.purge_sessions("a", before=NOW + MINUTE, keep=1, limit=10) == 0


def test_a_loop_that_is_closed_first_leaves_no_thread_behind(tmp_path: Path) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait()

    async def abandon() -> Writer:
        writer = Writer(partial(sqlite_schema.connect, str(tmp_path / DATABASE)), name="abandoned")
        writing = asyncio.create_task(writer.call(hold))
        await asyncio.to_thread(busy.wait)
        writing.cancel()
        return writer

    writer = asyncio.run(abandon())
    go_on.set()
    writer._queue.put(None)
    writer._thread.join(10)

    assert not writer._thread.is_alive()


# Trouble


async def test_a_full_disk_refuses_the_write_and_nothing_else(store: SqliteStore) -> None:
    await store.add_agent(an_agent("a"))
    [pages] = await store._writer.call(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    await store._writer.call(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 1}"))

    with pytest.raises(StoreUnavailable, match="full") as failure:
        await store.add_agent(an_agent("b", description="x" * 1_000_000))
    assert isinstance(failure.value.__cause__, sqlite3.Error)
    assert await store.agent_ids(after="", limit=10) == ["a"]

    # There is room again: a limit of this kind goes with its connection, which was given up.
    await store.add_agent(an_agent("b", description="x" * 1_000_000))
    assert await store.agent_ids(after="", limit=10) == ["a", "b"]


async def test_a_write_waits_for_another_program_that_holds_the_file(store: SqliteStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(store.add_agent(an_agent("a")))
        assert await store.agent_ids(after="", limit=10) == []
        assert not adding.done()

        other.execute("COMMIT")
        await adding

    assert await store.agent_ids(after="", limit=10) == ["a"]


async def test_a_file_held_too_long_is_told_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_schema, "BUSY_TIMEOUT_S", 0.01)
    async with opened(tmp_path) as store:
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable) as failure:
                await store.add_agent(an_agent("a"))

        assert "held by another program" in str(failure.value)
        assert "locked" not in str(failure.value)
        await store.add_agent(an_agent("a"))


async def test_a_table_that_is_gone_makes_the_store_unavailable_not_the_server(
    store: SqliteStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("DROP TABLE agents")

    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await store.add_agent(an_agent("a"))


# Deletion


async def with_a_history(store: SqliteStore, sessions: int) -> None:
    await store.add_agent(an_agent("a", lease=Lease("server-1", "lease", NOW)))
    for _ in range(sessions):
        await store.change_agent("a", lambda agent: started(agent, a_session("a")))
    await store.change_agent("a", lambda agent: Change(released(agent)))


async def test_a_long_history_goes_in_pieces(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_history, "SWEEP_SIZE", 3)
    await with_a_history(store, 10)

    await store.delete_agent("a")

    assert (await store.list_sessions(SessionFilter(), limit=10)).total == 0
    assert await store._read(sqlite_history.doomed) == []


async def deleted_half_way(store: SqliteStore) -> None:
    await with_a_history(store, 5)
    await store._write(lambda connection: sqlite_agents.doom(connection, "a"))


async def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await deleted_half_way(store)
        assert (await store.list_sessions(SessionFilter(), limit=10)).total == 5

    async with opened(tmp_path) as store:
        assert (await store.list_sessions(SessionFilter(), limit=10)).total == 0
        with pytest.raises(NotFound):
            await store.get_agent("a")


async def test_a_deletion_that_was_cut_short_is_finished_before_the_id_is_used_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_history, "SWEEP_SIZE", 2)
    await deleted_half_way(store)

    await store.add_agent(an_agent("a"))

    assert (await store.list_sessions(SessionFilter(agent_id="a"), limit=10)).total == 0


# Backup


async def test_a_backup_taken_while_the_server_works_is_a_whole_store(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    await store.add_agent(an_agent("before"))

    with (
        closing(sqlite3.connect(tmp_path / DATABASE)) as source,
        closing(sqlite3.connect(tmp_path / "backup" / DATABASE)) as target,
    ):
        during = [asyncio.create_task(store.add_agent(an_agent(f"a{number}"))) for number in range(50)]
        source.backup(target)
        await asyncio.gather(*during)

    async with opened(tmp_path / "backup") as copy:
        assert "before" in await copy.agent_ids(after="", limit=100)


async def test_after_a_clean_stop_the_file_is_complete_by_itself(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await store.add_agent(an_agent("a"))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / DATABASE).write_bytes((tmp_path / "data" / DATABASE).read_bytes())

    async with opened(tmp_path / "copy") as copy:
        assert await copy.agent_ids(after="", limit=10) == ["a"]
