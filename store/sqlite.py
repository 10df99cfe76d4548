"""The embedded store: one SQLite file in ``DATA_DIR``, which belongs to one process.

One connection writes, on its own thread; the scheduler's quick questions and the listings have a connection and a
thread each, so that a long listing delays neither a claim nor the look for one. A backup may be taken at any time
with SQLite's own means (``sqlite3 data/scheduler.db ".backup copy.db"``); after a clean stop the file is complete.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from store import sqlite_agents as agents
from store import sqlite_history as history
from store.base import Edit
from store.codec import as_kept
from store.errors import Conflict, StoreUnavailable
from store.records import (
    Agent,
    AgentFilter,
    AgentOrder,
    Change,
    Counts,
    Gap,
    LogEntry,
    Page,
    Progress,
    Session,
    SessionEnd,
    SessionFilter,
    milliseconds,
)
from store.sqlite_schema import connect, connect_reader, migrate
from store.sqlite_thread import Operation, Reader, Writer

DATABASE = "scheduler.db"
LOCK = "scheduler.lock"

T = TypeVar("T")


class SqliteStore:
    """``Store`` on SQLite: see ``store/base.py`` for what each method promises."""

    is_shared = False

    def __init__(self, path: Path, lock: DataDirLock) -> None:
        """Not for callers: a store is made by ``open``, which also brings the file up to date."""
        self._lock = lock
        self._writer = Writer(partial(connect, str(path)), name="store writer")
        self._reader = Reader(partial(connect_reader, str(path)), name="store reader")
        self._lister = Reader(partial(connect_reader, str(path)), name="store lister")
        self._alive_since: datetime | None = None
        self._last_beat: datetime | None = None

    @classmethod
    async def open(cls, data_dir: Path) -> SqliteStore:
        """Open the store in *data_dir*, which is made if need be.

        Every lease of the last process is void from then on: ``expired`` returns the agents that held one.

        Raises:
            Conflict: another process uses *data_dir*, or a newer version of this server made the file.
            StoreUnavailable: the folder or the file cannot be used.
        """
        store = cls(data_dir / DATABASE, DataDirLock(data_dir))
        try:
            await store._write(_bring_up_to_date)
            for agent_id in await store._read(history.doomed):
                await store._sweep(agent_id)
        except StoreUnavailable as error:
            await store.close()
            raise StoreUnavailable(f"{data_dir / DATABASE}: {error}") from error
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        for thread in (self._lister, self._reader, self._writer):  # the writer last: it then folds the log in
            await thread.close()
        self._lock.release()

    async def ping(self) -> None:
        await self._read(lambda connection: connection.execute("SELECT 1 FROM agents LIMIT 1").fetchone())

    # Agents

    async def add_agent(self, agent: Agent) -> None:
        while not await self._write(lambda connection: _add_after_sweep(connection, agent)):
            pass

    async def get_agent(self, agent_id: str) -> Agent:
        return await self._read(lambda connection: agents.get(connection, agent_id))

    async def list_agents(
        self, wanted: AgentFilter, *, limit: int, offset: int = 0, order: AgentOrder = AgentOrder.NEWEST
    ) -> Page[Agent]:
        return await self._lister.call(partial(agents.page, wanted=wanted, limit=limit, offset=offset, order=order))

    async def agent_ids(self, *, after: str, limit: int) -> list[str]:
        return await self._read(lambda connection: agents.ids_after(connection, after, limit))

    async def delete_agent(self, agent_id: str) -> None:
        await self._write(lambda connection: agents.doom(connection, agent_id))
        await self._sweep(agent_id)

    async def change_agent(self, agent_id: str, edit: Edit) -> Change:
        return await self._write(lambda connection: _change(connection, agent_id, edit))

    async def counts(self) -> Counts:
        return await self._lister.call(agents.counts)

    # Finding work

    async def claim_due(self, now: datetime, *, owner: str, lease: timedelta, limit: int) -> list[Agent]:
        if limit <= 0:
            return []
        return await self._write(partial(agents.claim, now=now, owner=owner, lease=lease, limit=limit))

    async def overlapping(self, now: datetime, *, limit: int) -> list[Agent]:
        return await self._read(lambda connection: agents.overlapping(connection, now, limit))

    async def expired(self, now: datetime, *, limit: int) -> list[Agent]:
        return await self._read(lambda connection: agents.expired(connection, now, limit))

    async def next_due(self) -> tuple[datetime | None, datetime | None]:
        return await self._read(agents.next_due)

    async def renew(self, lease_ids: Sequence[str], *, until: datetime) -> dict[str, Agent]:
        return await self._write(lambda connection: agents.renew(connection, lease_ids, until))

    async def stops_requested(self, owner: str) -> list[Agent]:
        return await self._read(lambda connection: agents.stopping(connection, owner))

    async def beat(self, now: datetime, *, lapse: timedelta) -> datetime:
        # In memory: this process is the only one, and an embedded store forgets its beats with it.
        now = milliseconds(now)
        if self._alive_since is None or self._last_beat is None or now - self._last_beat > lapse:
            self._alive_since = now
        self._last_beat = max(now, self._last_beat or now)
        return self._alive_since

    # Sessions

    async def get_session(self, agent_id: str, session_id: str) -> Session:
        return await self._read(lambda connection: history.get(connection, agent_id, session_id))

    async def list_sessions(self, wanted: SessionFilter, *, limit: int, offset: int = 0) -> Page[Session | Gap]:
        return await self._lister.call(partial(history.page, wanted=wanted, limit=limit, offset=offset))

    async def open_sessions(self, *, limit: int) -> list[Session]:
        return await self._read(lambda connection: history.running(connection, limit))

    async def add_journal(self, session_id: str, progress: Progress | None, logs: Sequence[LogEntry]) -> None:
        await self._write(lambda connection: history.add_journal(connection, session_id, progress, logs))

    async def list_logs(self, session_id: str, *, limit: int) -> list[LogEntry]:
        return await self._lister.call(lambda connection: history.last_logs(connection, session_id, limit))

    async def end_session(self, end: SessionEnd) -> None:
        await self._write(lambda connection: history.end(connection, end))

    async def purge_sessions(self, agent_id: str, *, before: datetime, keep: int, limit: int) -> int:
        # Most agents have nothing to remove most of the time: looking first keeps the writer for those that have.
        look = partial(history.purgeable, agent_id=agent_id, before=before, keep=keep, limit=1)
        if not await self._lister.call(look):
            return 0
        return await self._write(partial(history.purge, agent_id=agent_id, before=before, keep=keep, limit=limit))

    # Threads

    async def _read(self, operation: Operation[T]) -> T:
        return await self._reader.call(operation)

    async def _write(self, operation: Operation[T]) -> T:
        return await self._writer.call(operation)

    async def _sweep(self, agent_id: str) -> None:
        """Remove what is left of a deleted agent, in pieces between which other writes get their turn."""
        while not await self._write(lambda connection: history.sweep(connection, agent_id)):
            pass


class DataDirLock:
    """The right of one process to use a folder; the operating system takes it back when the process dies."""

    def __init__(self, data_dir: Path) -> None:
        """Take it, or raise ``Conflict`` when another process has it, ``StoreUnavailable`` when the folder is unfit."""
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (data_dir / LOCK).open("a+")
        except OSError as error:
            raise StoreUnavailable(f"DATA_DIR {data_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            self._file.close()
            raise Conflict(
                f"DATA_DIR {data_dir} is used by another server{holder}; stop that one, or start this one with "
                "another DATA_DIR (several servers can share a MongoDB: MONGODB_URI)"
            ) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()

    def _holder(self) -> str:
        self._file.seek(0)
        pid = self._file.read(20).strip()
        return f" (process {pid})" if pid.isdigit() else ""


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    migrate(connection)
    agents.void_leases(connection)


def _add_after_sweep(connection: sqlite3.Connection, agent: Agent) -> bool:
    """Keep a new agent; or go on removing the history of an earlier one with its id, while there is any."""
    if not history.sweep(connection, agent.id):
        return False
    agents.add(connection, agent)
    return True


def _change(connection: sqlite3.Connection, agent_id: str, edit: Edit) -> Change:
    agent = agents.get(connection, agent_id)
    change = edit(agent)
    if change.end is not None:
        history.end(connection, change.end)
    if change.start is not None:
        history.start(connection, change.start)
    for gap in change.gaps:
        history.add_gap(connection, gap)
    if change.agent != agent:
        agents.write(connection, change.agent)
    return as_kept(change)
