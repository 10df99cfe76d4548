"""Takes up what a server that died left behind: leases that ran out, sessions that nobody ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from datetime import datetime, timedelta

from scheduler import rules
from scheduler.announcer import Announcer
from scheduler.clock import Clock
from scheduler.rules import Ending
from scheduler.settings import SchedulerSettings
from store.base import Store
from store.errors import LeaseLost, NotFound, StoreUnavailable
from store.records import Agent, Change, Outcome, Session, SessionEnd, SessionFilter

logger = logging.getLogger(__name__)

BATCH = 100
ORPHANS_EVERY = timedelta(minutes=1)


class Recovery:
    """Ends what nobody else will end. Any process may do it for any other: each step holds only if it is still due."""

    def __init__(
        self,
        store: Store,
        announcer: Announcer,
        settings: SchedulerSettings,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._announce = announcer
        self._settings = settings
        self._clock = clock
        self._random = random
        self._orphans_at: datetime | None = None

    async def take_up(self, now: datetime, *, ours: Container[str]) -> None:
        """Recover every agent whose lease ran out, but those whose lease ids are *ours*: we still run them."""
        progress = True
        while progress:
            expired = await self._store.expired(now, limit=BATCH)
            theirs = [agent for agent in expired if agent.lease is not None and agent.lease.id not in ours]
            progress = any([await self._recovered(agent, now) for agent in theirs])
        if self._orphans_at is None or now - self._orphans_at >= ORPHANS_EVERY:
            self._orphans_at = now
            await self._end_orphans(now)

    async def _recovered(self, agent: Agent, now: datetime) -> bool:
        """Take one agent up; False when it could not be: what stands in the way of one holds up no other."""
        try:
            await self._recover(agent, now)
        except (LeaseLost, NotFound) as error:
            logger.info("agent %s: somebody else took it up: %s", agent.id, error)
            return False
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("agent %s: its lease ran out, and it cannot be taken up", agent.id)
            return False
        return True

    async def _recover(self, agent: Agent, now: datetime) -> None:
        assert agent.lease is not None
        lease_id = agent.lease.id
        session = await self._session_of(agent, lease_id)
        jitter, failures = self._random(), 0
        ending = Ending(Outcome.INTERRUPTED, rules.INTERRUPTED)

        def edit(current: Agent) -> Change:
            nonlocal failures, ending
            ending = rules.recovered_ending(current, session) if session else ending
            failures = rules.failures_after(current, ending)
            return rules.recover(current, session, lease_id=lease_id, now=now, settings=self._settings, jitter=jitter)

        change = await self._store.change_agent(agent.id, edit)
        logger.warning("agent %s: its lease had run out; taken up", agent.id)
        if session is None:
            await self._announce.status(change.agent)
        else:
            await self._announce.ended(change, session, ending, failures)

    async def _session_of(self, agent: Agent, lease_id: str) -> Session | None:
        """The session started under that lease: the agent's own, or one whose start died half-way."""
        if agent.session_id is not None:
            try:
                return await self._store.get_session(agent.id, agent.session_id)
            except NotFound:
                logger.error("agent %s: its session %s does not exist", agent.id, agent.session_id)
                return None
        wanted = SessionFilter(agent_id=agent.id, outcomes=frozenset({Outcome.RUNNING}))
        page = await self._store.list_sessions(wanted, limit=BATCH)
        return next((item for item in page.items if isinstance(item, Session) and item.lease_id == lease_id), None)

    async def _end_orphans(self, now: datetime) -> None:
        """End the open sessions whose agent has moved on without them. Young ones may still be on their way."""
        for session in await self._store.open_sessions(limit=BATCH):
            if now - session.started_at < 2 * self._settings.lease:
                continue
            try:
                await self._end_orphan(session, now)
            except LeaseLost:
                continue

    async def _end_orphan(self, session: Session, now: datetime) -> None:
        end = SessionEnd(session.id, Outcome.INTERRUPTED, now, error_message=rules.INTERRUPTED)
        try:
            agent = await self._store.get_agent(session.agent_id)
        except NotFound:
            await self._store.end_session(end)
            return
        if agent.lease is None or agent.lease.id != session.lease_id:
            await self._store.end_session(end)
            ending = Ending(Outcome.INTERRUPTED, rules.INTERRUPTED)
            await self._announce.ended(Change(agent, end=end), session, ending, agent.retry_count)
