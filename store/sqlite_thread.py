"""A database connection on a thread of its own, to which coroutines hand operations.

The writer's thread takes all that has come up to now into one transaction: one ``fsync`` acknowledges the whole
batch, and no two transactions of ours ever wait for each other's lock. A reader's thread runs one operation at a
time, on a snapshot.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from store.errors import StoreUnavailable

logger = logging.getLogger(__name__)

LARGEST_BATCH = 256
"""Operations in one transaction: bounds how long the first of them waits for its acknowledgement."""

T = TypeVar("T")
Operation: TypeAlias = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    done: asyncio.Future[Any]


@dataclass(slots=True)
class _Outcome:
    """How one job ended: with a result, or with an error."""

    result: Any = None
    error: BaseException | None = None


class ConnectionThread:
    """Runs operations in the order they were handed over. What an operation raises reaches its caller.

    A caller that is cancelled while its operation waits takes it back; one that runs already is seen through.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, name: str) -> None:
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, operation: Operation[T]) -> T:
        """The operation's result, once it is durable if it wrote. ``StoreUnavailable`` when the disk refused."""
        if self._closing:
            raise StoreUnavailable("The store is closed")
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(operation, done))
        return await done

    async def close(self) -> None:
        """Run what was handed over, then close the connection. May be called twice, and by several at once."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.shield(self._ended)

    # On the thread

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        closing = False
        while not closing:
            jobs, closing = self._next_jobs()
            outcomes: Sequence[_Outcome]
            try:
                connection = connection or self._connect()
                outcomes = self._perform(connection, jobs)
            except BaseException as error:  # noqa: BLE001 - this thread must answer whatever happens: callers wait
                outcomes = [_Outcome(error=_translated(error))] * len(jobs)
                _discard(connection)  # in whatever state it is; the next operation gets a new one
                connection = None
            self._tell(partial(_settle, jobs, outcomes))
        _discard(connection)
        self._tell(partial(self._ended.set_result, None))

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """What is to be done next, and whether it is the last; waits until there is something."""
        job = self._queue.get()
        jobs: list[_Job] = []
        while job is not None:
            if not job.done.cancelled():
                jobs.append(job)
            if len(jobs) == self._batch_size:
                return jobs, False
            if self._queue.empty():  # nobody else takes from it
                return jobs, False
            job = self._queue.get()
        return jobs, True

    _batch_size = 1

    def _perform(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> Sequence[_Outcome]:
        raise NotImplementedError

    def _tell(self, news: Callable[[], Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(news)
        except RuntimeError:  # the loop was closed: nobody waits any more
            logger.debug("an event loop was closed before its store")


class Writer(ConnectionThread):
    """All writes that have come go into one transaction; each is acknowledged after the commit, none before."""

    _batch_size = LARGEST_BATCH

    def _perform(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> Sequence[_Outcome]:
        if not jobs:
            return []
        connection.execute("BEGIN IMMEDIATE")
        if len(jobs) == 1:
            return [_to_the_end(connection, jobs[0].operation)]
        outcomes = [_in_savepoint(connection, job.operation) for job in jobs]
        connection.execute("COMMIT")
        return outcomes


class Reader(ConnectionThread):
    """Each operation sees one state of the database: the last that was acknowledged before it began."""

    def _perform(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> Sequence[_Outcome]:
        outcomes = []
        for job in jobs:
            connection.execute("BEGIN")
            outcomes.append(_attempt(connection, job.operation))
            connection.execute("ROLLBACK")
        return outcomes


def _to_the_end(connection: sqlite3.Connection, operation: Operation[Any]) -> _Outcome:
    """Run one that has the transaction to itself, which needs no savepoint, and end the transaction."""
    outcome = _attempt(connection, operation)
    if outcome.error is None:
        connection.execute("COMMIT")
    elif connection.in_transaction:
        connection.execute("ROLLBACK")
    else:  # a full disk made SQLite roll it back already
        raise outcome.error
    return outcome


def _in_savepoint(connection: sqlite3.Connection, operation: Operation[Any]) -> _Outcome:
    """Run one of a batch: an operation that raises takes back what it did, and nothing else."""
    connection.execute("SAVEPOINT operation")
    outcome = _attempt(connection, operation)
    if outcome.error is not None:
        if not connection.in_transaction:  # a full disk made SQLite roll all of it back: the batch fails as one
            raise outcome.error
        connection.execute("ROLLBACK TO operation")
    connection.execute("RELEASE operation")
    return outcome


def _attempt(connection: sqlite3.Connection, operation: Operation[Any]) -> _Outcome:
    try:
        return _Outcome(result=operation(connection))
    except BaseException as error:  # noqa: BLE001 - it is the caller's
        return _Outcome(error=_translated(error))


def _translated(error: BaseException) -> BaseException:
    """The error as callers may see it: no driver's error, and none that a future refuses."""
    translated: BaseException
    if isinstance(error, sqlite3.Error) and _is_busy(error):
        translated = StoreUnavailable("The database file is held by another program, a backup perhaps; try again")
    elif isinstance(error, sqlite3.Error | OSError):
        translated = StoreUnavailable(f"The database could not be read or written: {error}")
    elif isinstance(error, StopIteration):
        translated = RuntimeError("an operation raised StopIteration")
    else:
        return error
    translated.__cause__ = error
    return translated


def _is_busy(error: sqlite3.Error) -> bool:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the code without its extension
    return primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _discard(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()  # takes back what was not committed
        except sqlite3.Error:
            logger.exception("a connection to the database could not be closed")


def _settle(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.done.done():  # its caller was cancelled
            continue
        if outcome.error is not None:
            job.done.set_exception(outcome.error)
        else:
            job.done.set_result(outcome.result)
