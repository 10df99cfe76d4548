"""What the embedded store does with agents: statements and operations on a connection, inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from store.codec import (
    EPOCH,
    NEVER,
    agent_document,
    agent_record,
    from_json,
    moment,
    searchable,
    since_epoch,
    to_json,
)
from store.errors import Conflict, NotFound
from store.records import Agent, AgentFilter, AgentOrder, Counts, Lease, Page, Priority, milliseconds, new_id
from store.sqlite_schema import insert_into, update

# fmt: off
COLUMNS = (
    "id", "created_at", "status", "agent_type", "priority", "due_at", "has_schedule", "is_scheduled", "is_paused",
    "is_running", "lease_id", "lease_owner", "lease_until", "stop_requested", "search", "body",
)
# fmt: on

INSERT = insert_into("agents", COLUMNS)
UPDATE = update("agents", COLUMNS)
BY_ID = "SELECT body FROM agents WHERE id = ?"
DELETE = "DELETE FROM agents WHERE id = ?"
IDS_AFTER = "SELECT id FROM agents WHERE id > ? ORDER BY id LIMIT ?"
CLAIMABLE = """
    SELECT body FROM agents WHERE is_running = 0 AND priority = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?
"""
OVERLAPPING = "SELECT body FROM agents WHERE is_running = 1 AND due_at <= ? ORDER BY due_at, id LIMIT ?"
EXPIRED = "SELECT body FROM agents WHERE lease_until <= ? ORDER BY lease_until, id LIMIT ?"
NEXT_DUE = "SELECT min(due_at) FROM agents WHERE is_running = ?"
BY_LEASE = "SELECT body FROM agents WHERE lease_id = ?"
LEASED = "SELECT body FROM agents WHERE lease_until IS NOT NULL"
STOPPING = "SELECT body FROM agents WHERE stop_requested = 1 AND lease_owner = ? ORDER BY id"
COUNTS = """
    SELECT (SELECT count(*) FROM agents WHERE is_scheduled = 1),
           (SELECT count(*) FROM agents INDEXED BY agents_expiry WHERE lease_until IS NOT NULL),
           (SELECT count(*) FROM agents INDEXED BY agents_expiry WHERE lease_until IS NOT NULL AND is_scheduled = 1),
           (SELECT count(*) FROM agents WHERE is_paused = 1 AND has_schedule = 1)
"""
ORDERS = {AgentOrder.NEWEST: "created_at DESC, id", AgentOrder.SOONEST: "due_at, id"}
DOOM = "INSERT INTO doomed (agent_id) VALUES (?)"

_NEVER = since_epoch(NEVER)


# One agent


def add(connection: sqlite3.Connection, agent: Agent) -> None:
    try:
        connection.execute(INSERT, _row(agent))
    except sqlite3.IntegrityError as error:
        raise Conflict(f"An agent with the id {agent.id!r} exists already") from error


def get(connection: sqlite3.Connection, agent_id: str) -> Agent:
    found = _agents(connection, BY_ID, agent_id)
    if not found:
        raise NotFound("Agent not found")
    return found[0]


def write(connection: sqlite3.Connection, agent: Agent) -> Agent:
    """Keep *agent* in the place of the one with its id; return it."""
    connection.execute(UPDATE, _row(agent))
    return agent


def doom(connection: sqlite3.Connection, agent_id: str) -> None:
    """Remove an agent, and note that its history is to follow."""
    if get(connection, agent_id).is_running:
        raise Conflict("The agent is running; stop it first")
    connection.execute(DELETE, (agent_id,))
    connection.execute(DOOM, (agent_id,))


# Finding work


def claim(connection: sqlite3.Connection, now: datetime, *, owner: str, lease: timedelta, limit: int) -> list[Agent]:
    """One range seek for each priority: the cost is that of the agents claimed, however many are due."""
    claimed: list[Agent] = []
    until = milliseconds(now + lease)
    for priority in sorted(Priority, reverse=True):
        if len(claimed) >= limit:
            break
        due = _agents(connection, CLAIMABLE, priority.value, since_epoch(now), limit - len(claimed))
        claimed += [write(connection, replace(agent, lease=Lease(owner, new_id(), until))) for agent in due]
    return claimed


def overlapping(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Agent]:
    return _agents(connection, OVERLAPPING, since_epoch(now), limit)


def expired(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Agent]:
    return _agents(connection, EXPIRED, since_epoch(now), limit)


def next_due(connection: sqlite3.Connection) -> tuple[datetime | None, datetime | None]:
    idle, running = (connection.execute(NEXT_DUE, (is_running,)).fetchone()[0] for is_running in (0, 1))
    return _due(idle), _due(running)


def renew(connection: sqlite3.Connection, lease_ids: Sequence[str], until: datetime) -> dict[str, Agent]:
    renewed: dict[str, Agent] = {}
    for lease_id in lease_ids:
        for agent in _agents(connection, BY_LEASE, lease_id):
            renewed[lease_id] = _with_lease_until(connection, agent, until)
    return renewed


def void_leases(connection: sqlite3.Connection) -> None:
    """Let every lease run out long ago: for the first moment after opening, when nobody can hold one."""
    for agent in _agents(connection, LEASED):
        _with_lease_until(connection, agent, EPOCH)


def stopping(connection: sqlite3.Connection, owner: str) -> list[Agent]:
    return _agents(connection, STOPPING, owner)


# Many agents


def page(
    connection: sqlite3.Connection, wanted: AgentFilter, *, limit: int, offset: int, order: AgentOrder
) -> Page[Agent]:
    where, values = _where(wanted)
    (total,) = connection.execute(f"SELECT count(*) FROM agents {where}", values).fetchone()  # noqa: S608 - ours
    listing = f"SELECT body FROM agents {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?"  # noqa: S608 - ours
    return Page(items=_agents(connection, listing, *values, limit, offset), total=total)


def ids_after(connection: sqlite3.Connection, after: str, limit: int) -> list[str]:
    return [agent_id for (agent_id,) in connection.execute(IDS_AFTER, (after, limit))]


def counts(connection: sqlite3.Connection) -> Counts:
    return Counts(*connection.execute(COUNTS).fetchone())


def _where(wanted: AgentFilter) -> tuple[str, list[Any]]:
    exact = {
        "status": wanted.status,
        "agent_type": wanted.agent_type,
        "is_scheduled": wanted.scheduled,
        "is_paused": wanted.paused,
        "is_running": wanted.running,
    }
    terms = [f"{column} = ?" for column, value in exact.items() if value is not None]
    values: list[Any] = [value for value in exact.values() if value is not None]
    if wanted.text:
        terms.append("instr(search, ?) > 0")
        values.append(searchable(wanted.text))
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values


def _agents(connection: sqlite3.Connection, statement: str, *values: Any) -> list[Agent]:
    rows: Iterable[tuple[str]] = connection.execute(statement, values)
    return [agent_record(from_json(body)) for (body,) in rows]


def _row(agent: Agent) -> dict[str, Any]:
    document = agent_document(agent)
    return {
        "id": agent.id,
        "created_at": since_epoch(document["createdAt"]),
        "status": document["status"],
        "agent_type": agent.agent_type,
        "priority": document["priority"],
        "due_at": since_epoch(document["dueAt"]),
        "has_schedule": agent.schedule is not None,
        "is_scheduled": agent.is_scheduled,
        "is_paused": agent.is_paused,
        "is_running": agent.is_running,
        "lease_id": agent.lease and agent.lease.id,
        "lease_owner": agent.lease and document["lease"]["owner"],
        "lease_until": agent.lease and since_epoch(document["lease"]["until"]),
        "stop_requested": agent.stop_requested is not None,
        "search": document["search"],
        "body": to_json(document),
    }


def _with_lease_until(connection: sqlite3.Connection, agent: Agent, until: datetime) -> Agent:
    assert agent.lease is not None
    return write(connection, replace(agent, lease=replace(agent.lease, until=milliseconds(until))))


def _due(value: int | None) -> datetime | None:
    return None if value is None or value == _NEVER else moment(value)
