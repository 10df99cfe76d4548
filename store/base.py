"""The ``Store`` protocol: what the service may ask of a database. Its docstrings are the contract.

Every backend passes ``tests/contract/`` as it stands. A store reads no clock: ``now`` is handed in. It leaks no
driver exception, cursor, id type or naive datetime. Every method may raise ``StoreUnavailable``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

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
)

Edit: TypeAlias = Callable[[Agent], Change]
"""From an agent as it is now to what shall be written; pure and quick: it may be called more than once, on any thread.

What it raises reaches the caller of ``change_agent``, and nothing is written.
"""


class Store(Protocol):
    """What the service may ask, whichever database answers."""

    @property
    def is_shared(self) -> bool:
        """Whether other servers may use the same database at the same time."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and let go of the database. May be called twice."""
        ...

    async def ping(self) -> None:
        """Return when the database has answered."""
        ...

    # Agents

    async def add_agent(self, agent: Agent) -> None:
        """Keep a new agent. ``Conflict`` when its id is taken."""
        ...

    async def get_agent(self, agent_id: str) -> Agent:
        """The agent as it is now. ``NotFound("Agent not found")``."""
        ...

    async def list_agents(
        self,
        wanted: AgentFilter,
        *,
        limit: int,
        offset: int = 0,
        order: AgentOrder = AgentOrder.NEWEST,
    ) -> Page[Agent]:
        """A page of the agents that match all of *wanted*. Equal places in the order are settled by id."""
        ...

    async def agent_ids(self, *, after: str, limit: int) -> list[str]:
        """Up to *limit* ids greater than *after* (``""``: from the start), ascending: for walking over all agents."""
        ...

    async def delete_agent(self, agent_id: str) -> None:
        """Remove an agent with its sessions, gaps and logs. ``NotFound``; ``Conflict`` while it holds a lease.

        Should the process die in the middle, the agent is gone and the next to open the store, or to add an agent
        of that id, removes the rest.
        """
        ...

    async def change_agent(self, agent_id: str, edit: Edit) -> Change:
        """Apply *edit* to the agent as it is at that moment; return what was written.

        Atomic against every other change of this agent, a claim and a lease's renewal included. ``start`` is kept as
        a new running session: ``Conflict`` when its ``(agent_id, occurrence, attempt)`` or id is taken. ``end``
        closes a running session: ``LeaseLost`` when it is not running any more. A gap whose id is known is a
        further piece of it: it adds its count to that row and moves its ``last_at``. Pieces of a gap come in the order
        of their moments; one that the row holds already counts once, so that a change may be tried again. Should the
        process die in the middle, or ``StoreUnavailable`` tell nothing, what is left over is one of: nothing; all; or
        (Mongo) the history without the agent's side, which still holds its lease then. An ``end`` that was left over
        so may be written again by whoever holds the lease, with the same outcome: the first one stays.

        Raises:
            NotFound: no such agent.
            Conflict, LeaseLost: as above; nothing was changed.
            Whatever *edit* raises; nothing was changed.
        """
        ...

    async def counts(self) -> Counts:
        """How many agents stand where, over all servers, without reading history."""
        ...

    # Finding work

    async def claim_due(self, now: datetime, *, owner: str, lease: timedelta, limit: int) -> list[Agent]:
        """Claim up to *limit* agents that hold no lease and are due (``due_at <= now``).

        Highest priority first, then the longest due. *owner* holds them until *now* + *lease*. Each claim is one
        atomic step: of two callers exactly one gets an agent, with a lease id that is new. The agents come back as
        they are with the lease. Nothing else of them is changed: who dies right after a claim delays an agent and
        loses nothing. ``limit=0`` claims nothing.
        The cost grows with *limit*, not with the number of agents nor of sessions.
        """
        ...

    async def overlapping(self, now: datetime, *, limit: int) -> list[Agent]:
        """Up to *limit* agents that hold a lease and are due (``due_at <= now``): their next occurrence has come.

        The longest due first; an agent between its claim and its start is not among them.
        """
        ...

    async def expired(self, now: datetime, *, limit: int) -> list[Agent]:
        """Up to *limit* agents whose lease ran out (``lease.until <= now``), the longest ago first."""
        ...

    async def next_due(self) -> tuple[datetime | None, datetime | None]:
        """The earliest ``due_at`` of those without a lease, and of those with one; None where there is none."""
        ...

    async def renew(self, lease_ids: Sequence[str], *, until: datetime) -> dict[str, Agent]:
        """Extend the leases that still exist; by lease id, the agents as they are now. One that is missing is lost."""
        ...

    async def stops_requested(self, owner: str) -> list[Agent]:
        """The agents that *owner* runs and that somebody asked to stop."""
        ...

    async def beat(self, now: datetime, *, lapse: timedelta) -> datetime:
        """Note that a scheduler is alive at *now*; return since when one has been, without a lapse longer than *lapse*.

        Occurrences before that moment were missed: nobody was up to run them. The first beat after an embedded
        store was opened starts a new life, however short the lapse was.
        """
        ...

    # Sessions

    async def get_session(self, agent_id: str, session_id: str) -> Session:
        """One session of that agent. ``NotFound("Session not found")``, also for a gap's id or another agent's."""
        ...

    async def list_sessions(self, wanted: SessionFilter, *, limit: int, offset: int = 0) -> Page[Session | Gap]:
        """A page of the history, newest start (of a gap: first moment) first; equal moments are settled by id.

        A gap is neither a success nor not: ``success`` lists sessions only, a failure being one that has ended.
        """
        ...

    async def open_sessions(self, *, limit: int) -> list[Session]:
        """Up to *limit* sessions that are running, the oldest first."""
        ...

    async def add_journal(self, session_id: str, progress: Progress | None, logs: Sequence[LogEntry]) -> None:
        """Keep the newest progress (None: leave it) and append *logs*, in order, to a running session.

        ``LeaseLost`` when the session is not running.
        """
        ...

    async def list_logs(self, session_id: str, *, limit: int) -> list[LogEntry]:
        """The last *limit* log entries of a session, in the order they were made; [] for an unknown session."""
        ...

    async def end_session(self, end: SessionEnd) -> None:
        """Close a running session whose agent has moved on without it. ``LeaseLost`` when it is not running."""
        ...

    async def purge_sessions(self, agent_id: str, *, before: datetime, keep: int, limit: int) -> int:
        """Remove up to *limit* sessions and gaps of an agent: ended before *before*, or beyond its *keep* newest.

        A running session is never removed. Returns how many went; fewer than *limit* means it is done.
        """
        ...
