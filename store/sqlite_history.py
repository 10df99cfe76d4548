"""What the embedded store does with sessions, gaps and logs: operations on a connection, inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from store.codec import (
    Document,
    end_document,
    from_json,
    gap_document,
    history_record,
    lengthened,
    log_document,
    log_record,
    progress_document,
    session_document,
    session_record,
    since_epoch,
    to_json,
)
from store.errors import Conflict, LeaseLost, NotFound
from store.records import Gap, LogEntry, Outcome, Page, Progress, Session, SessionEnd, SessionFilter, milliseconds
from store.sqlite_schema import insert_into, update

# fmt: off
COLUMNS = (
    "id", "is_gap", "agent_id", "occurrence", "attempt", "outcome", "started_at", "ended_at", "progress", "body",
)
# fmt: on

INSERT = insert_into("sessions", COLUMNS)
UPDATE = update("sessions", COLUMNS)
BY_ID = "SELECT body, progress FROM sessions WHERE id = ?"
RUNNING = "SELECT body, progress FROM sessions WHERE outcome = 'running' ORDER BY started_at, id LIMIT ?"
NOTE_PROGRESS = "UPDATE sessions SET progress = coalesce(?, progress) WHERE id = ? AND outcome = 'running'"
ADD_LOG = "INSERT INTO logs (session_id, timestamp, level, message) VALUES (:sessionId, :timestamp, :level, :message)"
LAST_LOGS = "SELECT timestamp, level, message FROM logs WHERE session_id = ? ORDER BY id DESC LIMIT ?"
BEYOND_NEWEST = """
    SELECT id FROM (
        SELECT id, outcome FROM sessions WHERE agent_id = ? ORDER BY started_at DESC, id LIMIT -1 OFFSET ?
    ) WHERE outcome <> 'running' LIMIT ?
"""
ENDED_BEFORE = """
    SELECT id FROM sessions WHERE agent_id = ? AND started_at < ? AND ended_at < ?
    ORDER BY started_at, id DESC LIMIT ?
"""
OF_AGENT = "SELECT id FROM sessions WHERE agent_id = ? LIMIT ?"
DELETE_LOGS = "DELETE FROM logs WHERE session_id = ?"
DELETE = "DELETE FROM sessions WHERE id = ?"
DOOMED = "SELECT agent_id FROM doomed"
SPARE = "DELETE FROM doomed WHERE agent_id = ?"

SWEEP_SIZE = 200
"""Sessions of a deleted agent that go in one transaction."""


# Sessions


def start(connection: sqlite3.Connection, session: Session) -> None:
    try:
        connection.execute(INSERT, _row(session_document(session)))
    except sqlite3.IntegrityError as error:
        raise Conflict(f"Attempt {session.attempt} of this occurrence has its session already") from error


def end(connection: sqlite3.Connection, ended: SessionEnd) -> None:
    document = _document(connection, ended.session_id)
    if document is None or document["outcome"] != Outcome.RUNNING:
        raise LeaseLost("The session is not running any more")
    connection.execute(UPDATE, _row(document | end_document(ended)))


def get(connection: sqlite3.Connection, agent_id: str, session_id: str) -> Session:
    document = _document(connection, session_id)
    if document is None or document["isGap"] or document["agentId"] != agent_id:
        raise NotFound("Session not found")
    return session_record(document)


def running(connection: sqlite3.Connection, limit: int) -> list[Session]:
    return [session_record(document) for document in _documents(connection, RUNNING, limit)]


def add_journal(
    connection: sqlite3.Connection, session_id: str, progress: Progress | None, logs: Sequence[LogEntry]
) -> None:
    latest = progress and to_json(progress_document(progress))
    if connection.execute(NOTE_PROGRESS, (latest, session_id)).rowcount == 0:
        raise LeaseLost("The session is not running any more")
    if logs:
        entries = (log_document(session_id, entry) for entry in logs)
        connection.executemany(ADD_LOG, [entry | {"timestamp": since_epoch(entry["timestamp"])} for entry in entries])


def last_logs(connection: sqlite3.Connection, session_id: str, limit: int) -> list[LogEntry]:
    rows = connection.execute(LAST_LOGS, (session_id, limit)).fetchall()
    return [log_record({"timestamp": at, "level": level, "message": message}) for at, level, message in rows[::-1]]


# Gaps


def add_gap(connection: sqlite3.Connection, gap: Gap) -> None:
    """Keep a gap, or lengthen the one that has its id."""
    document = gap_document(gap)
    kept = _document(connection, gap.id)
    if kept is None:
        connection.execute(INSERT, _row(document))
        return
    if not kept["isGap"] or kept["agentId"] != gap.agent_id:
        raise Conflict(f"The id {gap.id!r} is taken by another entry of the history")
    connection.execute(UPDATE, _row(lengthened(kept, document)))


# Listing


def page(connection: sqlite3.Connection, wanted: SessionFilter, *, limit: int, offset: int) -> Page[Session | Gap]:
    where, values = _where(wanted)
    (total,) = connection.execute(f"SELECT count(*) FROM sessions {where}", values).fetchone()  # noqa: S608 - ours
    listing = f"SELECT body, progress FROM sessions {where} ORDER BY started_at DESC, id LIMIT ? OFFSET ?"  # noqa: S608
    documents = _documents(connection, listing, *values, limit, offset)
    return Page(items=[history_record(document) for document in documents], total=total)


def _where(wanted: SessionFilter) -> tuple[str, list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    if wanted.agent_id is not None:
        terms.append("agent_id = ?")
        values.append(wanted.agent_id)
    if not wanted.gaps or wanted.success is not None:
        terms.append("is_gap = 0")
    if wanted.success is not None:
        terms.append("outcome = 'completed'" if wanted.success else "outcome NOT IN ('completed', 'running')")
    if wanted.outcomes is not None:
        terms.append(f"outcome IN ({', '.join('?' * len(wanted.outcomes))})")
        values += sorted(wanted.outcomes)
    for comparison, bound in ((">=", wanted.since), ("<=", wanted.until)):
        if bound is not None:
            terms.append(f"started_at {comparison} ?")
            values.append(since_epoch(bound))
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values


# Removal


def purge(connection: sqlite3.Connection, agent_id: str, *, before: datetime, keep: int, limit: int) -> int:
    ids = purgeable(connection, agent_id, before=before, keep=keep, limit=limit)
    _remove(connection, ids)
    return len(ids)


def purgeable(connection: sqlite3.Connection, agent_id: str, *, before: datetime, keep: int, limit: int) -> list[str]:
    """What ``purge`` would remove, found in the index alone."""
    bound = since_epoch(milliseconds(before))  # of both: what started later cannot have ended before
    old = _ids(connection, ENDED_BEFORE, agent_id, bound, bound, limit)
    beyond = _ids(connection, BEYOND_NEWEST, agent_id, keep, limit)
    return list(dict.fromkeys(old + beyond))[:limit]


def doomed(connection: sqlite3.Connection) -> list[str]:
    """The deleted agents that still have a history."""
    return _ids(connection, DOOMED)


def sweep(connection: sqlite3.Connection, agent_id: str) -> bool:
    """Remove a part of a deleted agent's history; True when nothing of it is left."""
    if agent_id not in doomed(connection):
        return True
    ids = _ids(connection, OF_AGENT, agent_id, SWEEP_SIZE)
    _remove(connection, ids)
    if len(ids) < SWEEP_SIZE:
        connection.execute(SPARE, (agent_id,))
    return len(ids) < SWEEP_SIZE


def _remove(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    rows = [(session_id,) for session_id in ids]
    connection.executemany(DELETE_LOGS, rows)
    connection.executemany(DELETE, rows)


def _ids(connection: sqlite3.Connection, statement: str, *values: Any) -> list[str]:
    return [session_id for (session_id,) in connection.execute(statement, values)]


# Rows


def _documents(connection: sqlite3.Connection, statement: str, *values: Any) -> list[Document]:
    """Progress lies in a column of its own: it changes often, and the rest of a running session does not."""
    rows: Iterable[tuple[str, str | None]] = connection.execute(statement, values)
    return [from_json(body) | {"progress": progress and from_json(progress)} for body, progress in rows]


def _document(connection: sqlite3.Connection, session_id: str) -> Document | None:
    found = _documents(connection, BY_ID, session_id)
    return found[0] if found else None


def _row(document: Document) -> dict[str, Any]:
    """The row of a session or a gap; its times are datetimes, or milliseconds when it was read from a row."""
    progress = document.get("progress")
    return {
        "id": document["_id"],
        "is_gap": document["isGap"],
        "agent_id": document["agentId"],
        "occurrence": document.get("occurrence"),
        "attempt": document.get("attempt"),
        "outcome": document["outcome"],
        "started_at": _since_epoch(document["startedAt"]),
        "ended_at": _since_epoch(document["endedAt"]),
        "progress": progress and to_json(progress),
        "body": to_json({key: value for key, value in document.items() if key != "progress"}),
    }


def _since_epoch(value: datetime | int | None) -> int | None:
    return since_epoch(value) if isinstance(value, datetime) else value
