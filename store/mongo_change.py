"""``change_agent`` on MongoDB: history first, the agent last, without transactions (a single server has none).

The agent's document carries a ``version`` that every write of it raises; replacing the document under the version that
the edit saw is what makes a change happen. Whatever was written to the history before that is kept when the edit,
run again after somebody else was faster, still asks for it, and taken back when it does not. A gap is not taken back:
whoever was faster may have found it there and counted on it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias, TypeVar

from pymongo.errors import DuplicateKeyError, PyMongoError

from store.base import Edit
from store.codec import (
    Document,
    agent_document,
    agent_record,
    as_kept,
    end_document,
    gap_document,
    lengthened,
    session_document,
    session_record,
)
from store.errors import Conflict, LeaseLost, NotFound, StoreUnavailable
from store.mongo_driver import Collection, updated
from store.records import Agent, Change, Gap, Outcome, Session, SessionEnd

ATTEMPTS = 200
"""How often an edit is run again because somebody else was faster; each time somebody was, so work gets done."""
LONGEST_PAUSE_S = 0.05

Part = TypeVar("Part", Session, SessionEnd)
Undo: TypeAlias = Callable[[], Awaitable[object]]


class AgentChange:
    """One call of ``change_agent``: what it has written so far, and how to take it back."""

    def __init__(self, agents: Collection, history: Collection, agent_id: str, edit: Edit) -> None:
        self._agents = agents
        self._history = history
        self._agent_id = agent_id
        self._edit = edit
        self._born = ""
        self._kept: Change | None = None
        """The change whose history is written, as it is written."""
        self._undo: list[Undo] = []

    async def apply(self) -> Change:
        """See ``Store.change_agent``."""
        for attempt in range(ATTEMPTS):
            try:
                document, change = await self._edited()
                kept = await self._write_history(change, agent_record(document))
            except PyMongoError:  # nothing more can be written; what is left over is told by Store.change_agent
                raise
            except BaseException:
                await self._take_back()
                raise
            if await self._write_agent(document, change):
                return replace(change, start=kept.start, end=kept.end)
            # Two that collide again and again must not do so in step.
            await asyncio.sleep(random.uniform(0, min(0.001 * 2**attempt, LONGEST_PAUSE_S)))  # noqa: S311
        await self._take_back()
        raise StoreUnavailable("The agent is being changed too often by others; try again")

    async def _edited(self) -> tuple[Document, Change]:
        document = await self._agents.find_one({"_id": self._agent_id})
        if document is None:
            await self._remove_orphans()
            raise NotFound("Agent not found")
        self._born = document["born"]
        return document, as_kept(self._edit(agent_record(document)))

    async def _write_agent(self, document: Document, change: Change) -> bool:
        """Put the agent in its place, unless it was changed since *document* was read."""
        if change == Change(agent_record(document)):
            return True
        version = document["version"]
        result = await self._agents.replace_one(
            {"_id": self._agent_id, "version": version},
            agent_document(change.agent) | {"version": version + 1, "born": document["born"]},
        )
        return result.matched_count == 1

    # History

    async def _write_history(self, change: Change, agent: Agent) -> Change:
        """Write what *change* adds to the history, unless it is written; return it as it is written."""
        if self._kept is not None and not _is_same_run(self._kept, change):
            await self._take_back()
        kept = self._kept
        if kept is None:
            end = change.end and await self._end(change.end, agent)
            if change.start is not None:
                await self._start(change.start)
            kept = Change(change.agent, change.start, end)
        if kept.gaps != change.gaps:  # after what may refuse
            for gap in change.gaps:
                await self._add_gap(gap)
        self._kept = replace(kept, gaps=change.gaps)
        return self._kept

    async def _take_back(self) -> None:
        self._kept = None
        while self._undo:
            await self._undo.pop()()

    async def _start(self, session: Session) -> None:
        try:
            await self._history.insert_one(session_document(session) | {"born": self._born})
        except DuplicateKeyError as error:
            raise Conflict(f"Attempt {session.attempt} of this occurrence has its session already") from error
        never_started = {"_id": session.id, "isGap": False, "outcome": Outcome.RUNNING.value}
        self._undo.append(lambda: self._history.delete_one(never_started))

    async def _end(self, end: SessionEnd, agent: Agent) -> SessionEnd:
        before = await updated(
            self._history,
            {"_id": end.session_id, "isGap": False, "outcome": Outcome.RUNNING.value},
            {"$set": end_document(end)},
        )
        if before is None:
            return await self._own_earlier_end(end, agent)
        self._undo.append(lambda: self._reopen(end, before))
        return end

    async def _own_earlier_end(self, end: SessionEnd, agent: Agent) -> SessionEnd:
        """The end that this caller wrote when it last tried and did not come as far as the agent."""
        document = await self._history.find_one({"_id": end.session_id, "isGap": False, "outcome": end.outcome.value})
        if document is None or agent.session_id != end.session_id:
            raise LeaseLost("The session is not running any more")
        kept = session_record(document)
        assert kept.completed_at is not None
        return replace(
            end,
            completed_at=kept.completed_at,
            output_summary=kept.output_summary,
            error_message=kept.error_message,
            metrics=kept.metrics,
        )

    async def _reopen(self, end: SessionEnd, before: Document) -> None:
        """Take an end back, unless the agent has gone on without this session: then it stays ended."""
        if await self._agents.find_one({"_id": self._agent_id, "sessionId": end.session_id}, {"_id": 1}):
            ours = end_document(end)
            await self._history.update_one(
                {"_id": end.session_id, "outcome": ours["outcome"], "endedAt": ours["endedAt"]},
                {"$set": {key: before[key] for key in ours}},
            )

    async def _add_gap(self, gap: Gap) -> None:
        piece = gap_document(gap)
        for _ in range(ATTEMPTS):
            kept = await self._history.find_one({"_id": gap.id})
            if kept is None:
                if await self._insert_gap(piece):
                    return
            elif not kept["isGap"] or kept["agentId"] != gap.agent_id:
                raise Conflict(f"The id {gap.id!r} is taken by another entry of the history")
            elif await self._replace_gap(kept, lengthened(kept, piece)):
                return
        raise StoreUnavailable("The history of the agent is being changed too often by others; try again")

    async def _insert_gap(self, gap: Document) -> bool:
        try:
            await self._history.insert_one(gap | {"born": self._born})
        except DuplicateKeyError:
            return False
        return True

    async def _replace_gap(self, old: Document, new: Document) -> bool:
        """Write *new* in the place of *old*, unless somebody has lengthened that meanwhile."""
        if old == new:
            return True
        as_it_is = {"_id": old["_id"], "count": old["count"], "endedAt": old["endedAt"]}
        longer = {key: new[key] for key in ("count", "endedAt", "tail")}
        return (await self._history.update_one(as_it_is, {"$set": longer})).matched_count == 1

    async def _remove_orphans(self) -> None:
        """The agent was deleted while gaps were on their way: whoever did that may not have seen them."""
        if self._born:
            await self._history.delete_many({"agentId": self._agent_id, "born": self._born, "isGap": True})


def _is_same_run(kept: Change, wanted: Change) -> bool:
    """Whether *wanted* starts and ends what is kept. An edit run again may have read its clock again: no matter."""
    return _is_same(kept.start, wanted.start, but="started_at") and _is_same(kept.end, wanted.end, but="completed_at")


def _is_same(kept: Part | None, wanted: Part | None, *, but: str) -> bool:
    if kept is None or wanted is None:
        return kept is wanted
    return replace(wanted, **{but: getattr(kept, but)}) == kept
