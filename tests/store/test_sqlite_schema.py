"""The embedded store's tables: every older version finds its way to the present, and every query its index."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from store import sqlite_agents, sqlite_history
from store.errors import Conflict
from store.records import Gap, Outcome, Priority, Progress, Session, SessionFilter
from store.sqlite import DATABASE, SqliteStore
from store.sqlite_schema import VERSION, connect, migrate
from tests.support.records import NOW, a_log, a_schedule

OLD = sorted(Path(__file__).parent.glob("schema_v*.sql"))


@pytest.fixture
async def migrated(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store on a file that version 1 left behind."""
    from_dump(tmp_path / DATABASE, Path(__file__).with_name("schema_v1.sql"))
    store = await SqliteStore.open(tmp_path)
    yield store
    await store.close()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """The present tables, empty."""
    with closing(connect(":memory:")) as connection:
        migrate(connection)
        yield connection


def from_dump(path: Path, dump: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())


def layout(path: Path | str) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


# Migration


def test_every_older_version_has_its_dump() -> None:
    assert [dump.stem for dump in OLD] == [f"schema_v{version}" for version in range(1, VERSION)]


@pytest.mark.parametrize("dump", OLD, ids=lambda dump: dump.stem)
async def test_an_older_file_becomes_what_a_new_one_is(dump: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    from_dump(tmp_path / "old" / DATABASE, dump)

    for folder in ("old", "new", "old"):  # the second time there is nothing left to migrate
        await (await SqliteStore.open(tmp_path / folder)).close()

    assert layout(tmp_path / "old" / DATABASE) == layout(tmp_path / "new" / DATABASE)
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_a_migration_keeps_every_record(migrated: SqliteStore) -> None:
    agent = await migrated.get_agent("report")
    running = await migrated.get_session("report", "session-2")
    entries = await migrated.list_sessions(SessionFilter(agent_id="report", gaps=True), limit=10)

    assert (agent.name, agent.priority, agent.next_run_at) == ("Weekly report", Priority.HIGH, NOW)
    assert agent.schedule == a_schedule(timezone="Europe/Berlin")
    assert agent.configuration == {"url": "http://localhost:9/x"}
    assert (running.context, running.progress) == ({"a": 1}, Progress(40, "half", 1, 2))
    assert [entry.id for entry in entries.items] == ["session-2", "gap-1", "session-1"]
    assert isinstance(entries.items[1], Gap)
    assert isinstance(entries.items[2], Session)
    assert entries.items[2].outcome is Outcome.COMPLETED
    assert await migrated.list_logs("session-2", limit=10) == [a_log("a line")]
    assert await migrated.agent_ids(after="", limit=10) == ["plain", "report"]


async def test_a_migrated_store_works_on(migrated: SqliteStore) -> None:
    [expired] = await migrated.expired(NOW, limit=10)
    assert expired.id == "report"

    gone = await migrated.purge_sessions("report", before=NOW - timedelta(minutes=1), keep=100, limit=10)
    assert gone == 2


async def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("CREATE TABLE from_the_future (id)")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(Conflict, match=rf"newer version of this server \(its schema is {VERSION + 1}"):
        await SqliteStore.open(tmp_path)

    assert [name for name, _ in layout(tmp_path / DATABASE)] == ["from_the_future"]


# Queries


def plan(connection: sqlite3.Connection, statement: str, *values: object) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
    return [row[3] for row in rows if not row[3].startswith("SCALAR")]


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        (sqlite_agents.CLAIMABLE, (2, 0, 5), "agents_claimable (is_running=? AND priority=? AND due_at<?)"),
        (sqlite_agents.OVERLAPPING, (0, 5), "agents_due (is_running=? AND due_at<?)"),
        (sqlite_agents.NEXT_DUE, (0,), "COVERING INDEX agents_due (is_running=?)"),
        (sqlite_agents.EXPIRED, (0, 5), "agents_expiry (lease_until<?)"),
        (sqlite_agents.BY_LEASE, ("lease",), "agents_lease (lease_id=?)"),
        (sqlite_agents.LEASED, (), "agents_expiry (lease_until>?)"),
        (sqlite_agents.STOPPING, ("server",), "agents_stopping (lease_owner=?)"),
        (sqlite_agents.IDS_AFTER, ("", 5), "COVERING INDEX sqlite_autoindex_agents_1 (id>?)"),
        (sqlite_history.LAST_LOGS, ("session", 5), "logs_of_session (session_id=?)"),
        (sqlite_history.DELETE_LOGS, ("session",), "logs_of_session (session_id=?)"),
        (sqlite_history.OF_AGENT, ("a", 5), "COVERING INDEX sessions_of_agent (agent_id=?)"),
        (sqlite_history.ENDED_BEFORE, ("a", 0, 0, 5), "COVERING INDEX sessions_of_agent (agent_id=? AND started_at<?)"),
    ],
)
def test_a_query_is_one_seek_in_its_index(
    connection: sqlite3.Connection, statement: str, values: tuple[object, ...], expected: str
) -> None:
    [step, *rest] = plan(connection, statement, *values)

    assert step.startswith("SEARCH")
    assert step.endswith(expected)
    assert not rest or statement is sqlite_agents.STOPPING, "only the few that shall stop are put in order afterwards"


def test_counting_reads_indexes_and_the_few_that_run_or_are_paused(connection: sqlite3.Connection) -> None:
    assert plan(connection, sqlite_agents.COUNTS)[1:] == [
        "SEARCH agents USING COVERING INDEX agents_soonest (is_scheduled=?)",
        "SEARCH agents USING COVERING INDEX agents_expiry (lease_until>?)",
        "SEARCH agents USING INDEX agents_expiry (lease_until>?)",
        "SEARCH agents USING INDEX agents_paused (has_schedule=?)",
    ]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (SessionFilter(agent_id="a"), "sessions_of_agent (agent_id=?)"),
        (SessionFilter(agent_id="a", gaps=True), "sessions_of_agent (agent_id=?)"),
        (SessionFilter(agent_id="a", success=True, since=NOW), "sessions_of_agent (agent_id=? AND started_at>?)"),
        (SessionFilter(), "sessions_newest"),
        (SessionFilter(gaps=True, until=NOW), "sessions_newest (started_at<?)"),
    ],
)
def test_history_is_listed_in_the_order_of_its_index(
    connection: sqlite3.Connection, wanted: SessionFilter, index: str
) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    sqlite_history.page(connection, wanted, limit=20, offset=40)
    connection.set_trace_callback(None)
    count, listing = (plan(connection, statement) for statement in statements)

    assert len(count) == len(listing) == 1, "no sorting"
    assert count[0].endswith(f"COVERING INDEX {index}")
    assert listing[0].endswith(f"INDEX {index}")
