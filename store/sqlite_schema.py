"""The tables of the embedded store, their version, and the way from each older version to the present.

The version is kept in the file (``PRAGMA user_version``). A migration, once released, is never edited: a change of
the tables is a new entry at the end of ``MIGRATIONS``. The record itself is the ``body`` (JSON, see
``store/codec.py``); the other columns are what the indexes are made of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from store.errors import Conflict

BUSY_TIMEOUT_S = 30.0
"""Our connections never wait for each other; a backup tool that holds the file may make them wait so long."""

PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # a commit returns when the log is on the disk
    "journal_size_limit = 67108864",
    "cache_size = -16384",
    "temp_store = MEMORY",
)

_TABLES = (
    """
    CREATE TABLE agents (
        id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        agent_type TEXT NOT NULL,
        priority INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        has_schedule INTEGER NOT NULL,
        is_scheduled INTEGER NOT NULL,
        is_paused INTEGER NOT NULL,
        is_running INTEGER NOT NULL,
        lease_id TEXT,
        lease_owner TEXT,
        lease_until INTEGER,
        stop_requested INTEGER NOT NULL,
        search TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
    # Claims go by the first, one seek for each priority; the loop's sleep and the overlap policy by the second.
    "CREATE INDEX agents_claimable ON agents (is_running, priority, due_at, id)",
    "CREATE INDEX agents_due ON agents (is_running, due_at, id)",
    "CREATE INDEX agents_lease ON agents (lease_id) WHERE lease_id IS NOT NULL",
    "CREATE INDEX agents_expiry ON agents (lease_until, id) WHERE lease_until IS NOT NULL",
    "CREATE INDEX agents_stopping ON agents (lease_owner) WHERE stop_requested = 1 AND lease_owner IS NOT NULL",
    # Listings: all that a filter asks is in the index, so that counting a filtered list reads no record.
    """
    CREATE INDEX agents_newest ON agents
        (created_at DESC, id, status, agent_type, is_scheduled, is_paused, is_running)
    """,
    "CREATE INDEX agents_soonest ON agents (is_scheduled, due_at, id, is_paused, is_running)",
    "CREATE INDEX agents_paused ON agents (has_schedule) WHERE is_paused = 1",
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        is_gap INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        occurrence TEXT,
        attempt INTEGER,
        outcome TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        progress TEXT,
        body TEXT NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX sessions_attempt ON sessions (agent_id, occurrence, attempt) WHERE is_gap = 0",
    "CREATE INDEX sessions_of_agent ON sessions (agent_id, started_at DESC, id, is_gap, outcome, ended_at)",
    "CREATE INDEX sessions_running ON sessions (started_at, id) WHERE outcome = 'running'",
    """
    CREATE TABLE logs (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        level TEXT NOT NULL,
        message TEXT NOT NULL
    )
    """,
    "CREATE INDEX logs_of_session ON logs (session_id)",
    # Agents that were deleted and whose history is still being removed, batch by batch.
    "CREATE TABLE doomed (agent_id TEXT PRIMARY KEY)",
)

_HISTORY_OF_ALL = (
    # The history of all agents together, newest first.
    "CREATE INDEX sessions_newest ON sessions (started_at DESC, id, is_gap, outcome)",
)

MIGRATIONS: Sequence[Sequence[str]] = (_TABLES, _HISTORY_OF_ALL)
"""``MIGRATIONS[n]`` leads from version n to n + 1; an empty file is version 0."""

VERSION = len(MIGRATIONS)


def connect(path: str) -> sqlite3.Connection:
    """Open the database file for one thread, in autocommit: transactions are begun and ended in plain sight."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the present version, within the caller's transaction: all of the way, or nothing.

    ``Conflict`` when the file was made by a newer version of the server.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise Conflict(
            f"The database was made by a newer version of this server (its schema is {found}, the newest known here "
            f"is {VERSION}); start that version, or another DATA_DIR"
        )
    for statements in MIGRATIONS[found:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def insert_into(table: str, columns: Sequence[str]) -> str:
    """The statement that adds a row, given as a dict."""
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"  # noqa: S608 - ours


def update(table: str, columns: Sequence[str]) -> str:
    """The statement that writes all of a row, given as a dict; the first column is the key."""
    key, *others = columns
    return f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in others)} WHERE {key} = :{key}"  # noqa: S608
