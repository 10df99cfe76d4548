"""The collections, indexes and filters of the MongoDB store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from store.codec import Document, searchable
from store.records import AgentFilter, Outcome, SessionFilter

AGENTS = "agents"
HISTORY = "sessions"
LOGS = "logs"
LIFE = "life"
"""One document: since when, and when last, a scheduler was alive."""
DOOMED = "doomed"
"""Agents that were deleted and whose history may still have to follow."""

CLAIMABLE = [("isRunning", ASCENDING), ("priority", DESCENDING), ("dueAt", ASCENDING), ("_id", ASCENDING)]
NEWEST_AGENTS = [("createdAt", DESCENDING), ("_id", ASCENDING)]
SOONEST_AGENTS = [("dueAt", ASCENDING), ("_id", ASCENDING)]
NEWEST_FIRST = [("startedAt", DESCENDING), ("_id", ASCENDING)]
OLDEST_FIRST = [("startedAt", ASCENDING), ("_id", ASCENDING)]

_RUNNING = {"isRunning": True}

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    AGENTS: (
        # Claims go by the first, one seek for each priority; the loop's sleep and the overlap policy by the second.
        IndexModel(CLAIMABLE, name="claimable"),
        IndexModel([("isRunning", ASCENDING), *SOONEST_AGENTS], name="due"),
        IndexModel([("lease.id", ASCENDING)], name="lease", partialFilterExpression=_RUNNING),
        IndexModel([("lease.until", ASCENDING), ("_id", ASCENDING)], name="expiry", partialFilterExpression=_RUNNING),
        IndexModel([("lease.owner", ASCENDING)], name="owner", partialFilterExpression=_RUNNING),
        IndexModel(NEWEST_AGENTS, name="newest"),
        IndexModel([("status", ASCENDING), *NEWEST_AGENTS], name="status"),
        IndexModel([("agentType", ASCENDING), *NEWEST_AGENTS], name="type"),
        IndexModel([("isScheduled", ASCENDING), *SOONEST_AGENTS], name="soonest"),
        IndexModel([("isPaused", ASCENDING), *SOONEST_AGENTS], name="paused"),
    ),
    HISTORY: (
        # Whatever crashes or races, an attempt of an occurrence has one session.
        IndexModel(
            [("agentId", ASCENDING), ("occurrence", ASCENDING), ("attempt", ASCENDING)],
            name="attempt",
            unique=True,
            partialFilterExpression={"isGap": False},
        ),
        # All that a filter of a listing asks, so that counting it reads no session.
        IndexModel([("agentId", ASCENDING), *NEWEST_FIRST, ("isGap", 1), ("outcome", 1)], name="of_agent"),
        IndexModel([*NEWEST_FIRST, ("isGap", ASCENDING), ("outcome", ASCENDING)], name="newest"),
        IndexModel(OLDEST_FIRST, name="running", partialFilterExpression={"outcome": "running"}),
    ),
    LOGS: (IndexModel([("sessionId", ASCENDING), ("number", ASCENDING)], name="of_session", unique=True),),
}


def agents_filter(wanted: AgentFilter) -> Document:
    exact = {
        "status": wanted.status and wanted.status.value,
        "agentType": wanted.agent_type,
        "isScheduled": wanted.scheduled,
        "isPaused": wanted.paused,
        "isRunning": wanted.running,
    }
    matching: Document = {key: value for key, value in exact.items() if value is not None}
    if wanted.text:
        # A pattern cannot hold a NUL as it is (BSON ends a pattern with one).
        matching["search"] = {"$regex": re.escape(searchable(wanted.text)).replace("\0", r"\x00")}
    return matching


def history_filter(wanted: SessionFilter) -> Document:
    every: list[dict[str, Any]] = []
    if wanted.agent_id is not None:
        every.append({"agentId": wanted.agent_id})
    if not wanted.gaps or wanted.success is not None:
        every.append({"isGap": False})
    if wanted.success is not None:
        done, running = Outcome.COMPLETED.value, Outcome.RUNNING.value
        every.append({"outcome": done if wanted.success else {"$nin": [done, running]}})
    if wanted.outcomes is not None:
        every.append({"outcome": {"$in": sorted(outcome.value for outcome in wanted.outcomes)}})
    for comparison, bound in (("$gte", wanted.since), ("$lte", wanted.until)):
        if bound is not None:
            every.append({"startedAt": {comparison: bound}})
    return {"$and": every} if every else {}
