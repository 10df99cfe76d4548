"""The shared store: MongoDB, which several servers may use at the same time.

Nothing here needs a transaction, so a single server will do as well as a replica set. A write is acknowledged when a
majority has it in its journal. Every call is bounded in time.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, DESCENDING, ReadPreference, ReturnDocument
from pymongo.errors import ConfigurationError, DuplicateKeyError, InvalidName, InvalidURI, PyMongoError

from store.base import Edit
from store.codec import (
    NEVER,
    Document,
    agent_document,
    agent_record,
    end_document,
    history_record,
    lease_document,
    log_document,
    log_record,
    moment,
    progress_document,
    session_record,
)
from store.errors import Conflict, Invalid, LeaseLost, NotFound, StoreUnavailable
from store.mongo_change import AgentChange
from store.mongo_driver import DURABLE, answered, found, gist, timeouts, updated
from store.mongo_schema import (
    AGENTS,
    CLAIMABLE,
    DOOMED,
    HISTORY,
    INDEXES,
    LIFE,
    LOGS,
    NEWEST_AGENTS,
    NEWEST_FIRST,
    OLDEST_FIRST,
    SOONEST_AGENTS,
    agents_filter,
    history_filter,
)
from store.records import (
    Agent,
    AgentFilter,
    AgentOrder,
    Change,
    Counts,
    Gap,
    Lease,
    LogEntry,
    Outcome,
    Page,
    Progress,
    Session,
    SessionEnd,
    SessionFilter,
    milliseconds,
    new_id,
)

SWEEP_SIZE = 50
"""Entries of a deleted agent's history that are removed at a time."""
RUNNING = {"isGap": False, "outcome": Outcome.RUNNING.value}
BY_ID = [("_id", ASCENDING)]
ONLY_ID = {"_id": 1}


class MongoStore:
    """``Store`` on MongoDB: see ``store/base.py`` for what each method promises."""

    is_shared = True

    def __init__(self, client: AsyncIOMotorClient[Document], database: str) -> None:
        """Not for callers: a store is made by ``open``, which also makes the indexes."""
        self._client = client
        # From the primary, whatever the URI says: a read sees every write that was acknowledged.
        self._database = client.get_database(database, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY)
        self._agents = self._database[AGENTS]
        self._history = self._database[HISTORY]
        self._logs = self._database[LOGS]
        self._life = self._database[LIFE]
        self._doomed = self._database[DOOMED]
        self._queues: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._changes: set[asyncio.Task[Change]] = set()

    @classmethod
    async def open(cls, uri: str, database: str) -> MongoStore:
        """Connect to *uri* and make the indexes that are missing.

        Raises:
            StoreUnavailable: no server answered within a few seconds, or it refused us.
            Invalid: *uri* is not a MongoDB URI, or *database* no name of a database.
        """
        if not uri.startswith(("mongodb://", "mongodb+srv://")):  # the driver would take any word for a host
            raise Invalid("MONGODB_URI is not usable: it must begin with mongodb:// or mongodb+srv://")
        try:
            client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(uri, tz_aware=True, **timeouts(uri))
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise Invalid(f"MONGODB_URI is not usable: {error}") from error
        try:
            store = cls(client, database)
        except InvalidName as error:
            client.close()
            raise Invalid(
                f"MONGODB_DB: {database!r} cannot be used; it accepts the name of a MongoDB database, without spaces "
                'and none of / \\ . " $'
            ) from error
        try:
            await store._bring_up()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        while self._changes:
            await asyncio.wait(self._changes)
        self._client.close()

    @answered
    async def ping(self) -> None:
        await self._client.admin.command("ping")

    # Agents

    @answered
    async def add_agent(self, agent: Agent) -> None:
        try:
            await self._agents.insert_one(agent_document(agent) | {"version": 1, "born": new_id()})
        except DuplicateKeyError as error:
            raise Conflict(f"An agent with the id {agent.id!r} exists already") from error
        # After the insert: whoever deleted an earlier agent of this id noted it before that one was gone.
        await self._sweep_doomed({"agentId": agent.id})

    @answered
    async def get_agent(self, agent_id: str) -> Agent:
        document = await self._agents.find_one({"_id": agent_id})
        if document is None:
            raise NotFound("Agent not found")
        return agent_record(document)

    @answered
    async def list_agents(
        self, wanted: AgentFilter, *, limit: int, offset: int = 0, order: AgentOrder = AgentOrder.NEWEST
    ) -> Page[Agent]:
        matching = agents_filter(wanted)
        by = NEWEST_AGENTS if order is AgentOrder.NEWEST else SOONEST_AGENTS
        total, documents = await asyncio.gather(
            self._agents.count_documents(matching), found(self._agents, matching, sort=by, skip=offset, limit=limit)
        )
        return Page(items=[agent_record(document) for document in documents], total=total)

    @answered
    async def agent_ids(self, *, after: str, limit: int) -> list[str]:
        beyond = {"_id": {"$gt": after}}
        return [agent["_id"] for agent in await found(self._agents, beyond, ONLY_ID, sort=BY_ID, limit=limit)]

    @answered
    async def delete_agent(self, agent_id: str) -> None:
        document = await self._agents.find_one({"_id": agent_id}, {"born": 1})
        if document is None:
            raise NotFound("Agent not found")
        born = document["born"]
        # Noted first: should we die here or in the sweep, the note brings the rest of it about.
        await self._doomed.replace_one({"_id": born}, {"agentId": agent_id}, upsert=True)
        deleted = await self._agents.delete_one({"_id": agent_id, "born": born, "isRunning": False})
        if not deleted.deleted_count:
            await self._doomed.delete_one({"_id": born})
            raise Conflict("The agent is running; stop it first")
        await self._sweep_doomed({"_id": born})

    @answered
    async def change_agent(self, agent_id: str, edit: Edit) -> Change:
        # A task of its own: a caller that is cancelled leaves no history behind that lacks the agent's side.
        task = asyncio.create_task(self._change(agent_id, edit), name=f"change of agent {agent_id}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its caller may be gone
        return await asyncio.shield(task)

    @answered
    async def counts(self) -> Counts:
        scheduled, running, both, paused = await asyncio.gather(
            self._agents.count_documents({"isScheduled": True}),
            self._agents.count_documents({"isRunning": True}),
            self._agents.count_documents({"isRunning": True, "isScheduled": True}),
            self._agents.count_documents({"isPaused": True, "schedule": {"$ne": None}}),
        )
        return Counts(scheduled=scheduled, running=running, scheduled_running=both, paused=paused)

    # Finding work

    @answered
    async def claim_due(self, now: datetime, *, owner: str, lease: timedelta, limit: int) -> list[Agent]:
        claimed: list[Agent] = []
        until = milliseconds(now + lease)
        try:
            while len(claimed) < limit:
                agent = await self._claim_one(now, Lease(owner, new_id(), until))
                if agent is None:
                    break
                claimed.append(agent)
        except PyMongoError:
            if not claimed:
                raise
        return claimed  # those that we have are ours, whatever became of the next one

    async def _claim_one(self, now: datetime, lease: Lease) -> Agent | None:
        document = await updated(
            self._agents,
            {"isRunning": False, "dueAt": {"$lte": now}},
            # Claimed and not yet started it is not due (see Agent.due_at).
            {"$set": {"lease": lease_document(lease), "isRunning": True, "dueAt": NEVER}, "$inc": {"version": 1}},
            sort=CLAIMABLE[1:],
            hint=CLAIMABLE,
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else agent_record(document)

    @answered
    async def overlapping(self, now: datetime, *, limit: int) -> list[Agent]:
        return await self._found({"isRunning": True, "dueAt": {"$lte": now}}, sort=SOONEST_AGENTS, limit=limit)

    @answered
    async def expired(self, now: datetime, *, limit: int) -> list[Agent]:
        by_expiry = [("lease.until", 1), ("_id", 1)]
        return await self._found({"isRunning": True, "lease.until": {"$lte": now}}, sort=by_expiry, limit=limit)

    @answered
    async def next_due(self) -> tuple[datetime | None, datetime | None]:
        idle, running = await asyncio.gather(self._next_due(is_running=False), self._next_due(is_running=True))
        return idle, running

    async def _next_due(self, *, is_running: bool) -> datetime | None:
        due = {"isRunning": is_running, "dueAt": {"$lt": NEVER}}
        document = await self._agents.find_one(due, {"dueAt": 1}, sort=SOONEST_AGENTS)
        return None if document is None else moment(document["dueAt"])

    @answered
    async def renew(self, lease_ids: Sequence[str], *, until: datetime) -> dict[str, Agent]:
        if not lease_ids:
            return {}
        ours = {"isRunning": True, "lease.id": {"$in": list(lease_ids)}}
        await self._agents.update_many(ours, {"$set": {"lease.until": milliseconds(until)}, "$inc": {"version": 1}})
        return {agent.lease.id: agent for agent in await self._found(ours) if agent.lease}

    @answered
    async def stops_requested(self, owner: str) -> list[Agent]:
        asked = {"isRunning": True, "lease.owner": owner, "stopRequested": {"$ne": None}}
        return await self._found(asked, sort=BY_ID)

    @answered
    async def beat(self, now: datetime, *, lapse: timedelta) -> datetime:
        now = milliseconds(now)
        while True:
            life = await updated(
                self._life, {"_id": "scheduler", "last": {"$gte": now - lapse}}, {"$max": {"last": now}}
            )
            if life is not None:
                return moment(life["since"])
            lapsed = {"_id": "scheduler", "last": {"$lt": now - lapse}}
            try:
                await self._life.update_one(lapsed, {"$set": {"since": now, "last": now}}, upsert=True)
            except DuplicateKeyError:  # another server began the new life just now: it is ours too
                continue
            return now

    # Sessions

    @answered
    async def get_session(self, agent_id: str, session_id: str) -> Session:
        document = await self._history.find_one({"_id": session_id, "agentId": agent_id, "isGap": False})
        if document is None:
            raise NotFound("Session not found")
        return session_record(document)

    @answered
    async def list_sessions(self, wanted: SessionFilter, *, limit: int, offset: int = 0) -> Page[Session | Gap]:
        matching = history_filter(wanted)
        listing = found(self._history, matching, sort=NEWEST_FIRST, skip=offset, limit=limit)
        total, documents = await asyncio.gather(self._history.count_documents(matching), listing)
        return Page(items=[history_record(document) for document in documents], total=total)

    @answered
    async def open_sessions(self, *, limit: int) -> list[Session]:
        documents = await found(self._history, RUNNING, sort=OLDEST_FIRST, limit=limit)
        return [session_record(document) for document in documents]

    @answered
    async def add_journal(self, session_id: str, progress: Progress | None, logs: Sequence[LogEntry]) -> None:
        noted: Document = {"$inc": {"logCount": len(logs)}}
        if progress is not None:
            noted["$set"] = {"progress": progress_document(progress)}
        session = await updated(
            self._history, {"_id": session_id, **RUNNING}, noted, return_document=ReturnDocument.AFTER
        )
        if session is None:
            raise LeaseLost("The session is not running any more")
        first = session["logCount"] - len(logs)
        entries = [log_document(session_id, entry) | {"number": first + n} for n, entry in enumerate(logs)]
        if entries:
            await self._logs.insert_many(entries)

    @answered
    async def list_logs(self, session_id: str, *, limit: int) -> list[LogEntry]:
        last = await found(self._logs, {"sessionId": session_id}, sort=[("number", DESCENDING)], limit=limit)
        return [log_record(document) for document in reversed(last)]

    @answered
    async def end_session(self, end: SessionEnd) -> None:
        result = await self._history.update_one({"_id": end.session_id, **RUNNING}, {"$set": end_document(end)})
        if not result.matched_count:
            raise LeaseLost("The session is not running any more")

    @answered
    async def purge_sessions(self, agent_id: str, *, before: datetime, keep: int, limit: int) -> int:
        mine: Document = {"agentId": agent_id, "outcome": {"$ne": Outcome.RUNNING.value}}
        ids = await self._ids(mine | {"startedAt": {"$lt": before}, "endedAt": {"$lt": before}}, limit=limit)
        for first in await found(self._history, {"agentId": agent_id}, sort=NEWEST_FIRST, skip=keep, limit=1):
            older = {"$lt": first["startedAt"]}, {"$gte": first["_id"]}
            beyond = [{"startedAt": older[0]}, {"startedAt": first["startedAt"], "_id": older[1]}]
            ids += await self._ids(mine | {"$or": beyond}, limit=limit)
        doomed = list(dict.fromkeys(ids))[:limit]
        await self._remove(doomed)
        return len(doomed)

    # Helpers

    async def _bring_up(self) -> None:
        try:
            await self._client.admin.command("ping")
            for collection, indexes in INDEXES.items():
                await self._database[collection].create_indexes(list(indexes))
            await self._sweep_doomed({})
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB cannot be used ({type(error).__name__}): {gist(error)}") from error

    async def _change(self, agent_id: str, edit: Edit) -> Change:
        # Edits of one process line up here instead of colliding in the database.
        queue = self._queues.setdefault(agent_id, asyncio.Lock())
        async with queue:
            return await AgentChange(self._agents, self._history, agent_id, edit).apply()

    async def _found(self, matching: Document, **how: Any) -> list[Agent]:
        return [agent_record(document) for document in await found(self._agents, matching, **how)]

    async def _ids(self, matching: Document, **how: Any) -> list[str]:
        return [document["_id"] for document in await found(self._history, matching, ONLY_ID, **how)]

    async def _sweep_doomed(self, which: Document) -> None:
        """Remove the history of deleted agents: by their ``born``, as their id may have been given again."""
        for note in await found(self._doomed, which):
            if await self._agents.find_one({"_id": note["agentId"], "born": note["_id"]}, {"_id": 1}):
                continue  # it was not deleted after all, or not yet
            while ids := await self._ids({"agentId": note["agentId"], "born": note["_id"]}, limit=SWEEP_SIZE):
                await self._remove(ids)
            await self._doomed.delete_one({"_id": note["_id"]})

    async def _remove(self, ids: list[str]) -> None:
        """Remove history: the logs first, as nothing would lead to them without their session."""
        if ids:
            await self._logs.delete_many({"sessionId": {"$in": ids}})
            await self._history.delete_many({"_id": {"$in": ids}})
