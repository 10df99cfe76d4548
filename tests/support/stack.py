"""The scheduler as a test holds it: SQLite, scripted runners, the claim loop and the service, on a fake clock."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from scheduler.announcer import Announcer
from scheduler.events import (
    AgentCompleted,
    AgentFailed,
    AgentLog,
    AgentProgress,
    AgentStarted,
    Event,
    OccurrencesLost,
    SchedulerStatus,
)
from scheduler.loop import Scheduler
from scheduler.requests import NewAgent, ScheduleRequest
from scheduler.runners.base import Run, Runner
from scheduler.service import AgentService
from scheduler.settings import SchedulerSettings
from scheduler.status import StatusBoard
from store.base import Store
from store.errors import Invalid, StoreUnavailable
from store.records import JSON, Agent, Gap, JSONObject, LogEntry, Outcome, Session, SessionFilter
from store.sqlite import SqliteStore
from tests.support.clock import PATIENCE_S, START, FakeClock, turns

E = TypeVar("E")
Behaviour: TypeAlias = Runner

SETTINGS = SchedulerSettings(backoff_base=timedelta(seconds=10), backoff_max=timedelta(minutes=2))


class WatchedStore:
    """A store in front of the real one that knows when nothing is going on, and can be made to fail.

    While ``away`` every call raises ``StoreUnavailable``. ``lose_answer(name)`` has the next call of that method
    happen and fail all the same. ``hold(name)`` makes its calls wait for ``let_go(name)``. ``calls`` counts. Once
    ``dead``, no call returns any more: so a killed process looks to the database.
    """

    def __init__(self, real: Store, *, is_shared: bool = False) -> None:
        self.real = real
        self.is_shared = is_shared
        self.away = False
        self.dead = False
        self.calls: dict[str, int] = {}
        self._losing: set[str] = set()
        self._fatal: set[str] = set()
        self._held: dict[str, asyncio.Event] = {}
        self._in_flight = 0
        self._begun = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            self._begun += 1
            if name in self._held:
                await self._held[name].wait()
            await self._live()
            if self.away:
                raise StoreUnavailable("The store is away")
            with self.at_work():
                result = await method(*args, **kwargs)
            if name in self._fatal:
                self.dead = True
            await self._live()
            if name in self._losing:
                self._losing.discard(name)
                raise StoreUnavailable("The answer was lost")
            return result

        return watched

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Something is on its way that ``settled()`` is to wait for."""
        self._in_flight += 1
        self._begun += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _live(self) -> None:
        if self.dead:
            await asyncio.get_running_loop().create_future()

    def lose_answer(self, name: str) -> None:
        self._losing.add(name)

    def die_after(self, name: str) -> None:
        """Let the next call of that method happen, and the process die before it hears of it."""
        self._fatal.add(name)

    def hold(self, name: str) -> None:
        self._held[name] = asyncio.Event()

    def let_go(self, name: str) -> None:
        self._held.pop(name).set()

    async def settled(self) -> None:
        """Return when no call is on its way and none follows by itself."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self._idle.wait()
                before = self._begun
                await turns()
                if self._idle.is_set() and self._begun == before:
                    return


class ScriptedRunners:
    """``Runners`` of plain coroutines: one per agent type, set by the test."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {"ECHO": echo, "FAIL": fail, "HOLD": self._hold}
        self.running: list[str] = []
        """Ids of the agents whose ``HOLD`` run is in progress, in the order they were started."""
        self.stubborn: list[Stubborn] = []
        self._released: dict[str, asyncio.Future[JSON]] = {}

    def find(self, agent_type: str, configuration: JSONObject) -> Behaviour:
        if agent_type not in self.behaviours:
            raise Invalid(f"No runner for {agent_type}", field="agentType")
        return self.behaviours[agent_type]

    def types(self) -> list[str]:
        return sorted(self.behaviours)

    def add_stubborn(self) -> Stubborn:
        """A runner that does not end when cancelled, for the agent type ``STUBBORN``."""
        stubborn = Stubborn()
        self.stubborn.append(stubborn)
        self.behaviours["STUBBORN"] = stubborn
        return stubborn

    def succeed(self, agent_id: str, result: JSON = "done") -> None:
        """Have an agent's ``HOLD`` run return."""
        self._released[agent_id].set_result(result)

    def fail(self, agent_id: str, text: str = "it broke") -> None:
        """Have an agent's ``HOLD`` run raise."""
        self._released[agent_id].set_exception(RuntimeError(text))

    async def _hold(self, run: Run) -> JSON:
        agent_id = run.agent.id
        released = self._released[agent_id] = asyncio.get_running_loop().create_future()
        self.running.append(agent_id)
        try:
            result: JSON = await released
        finally:
            self.running.remove(agent_id)
        return result


async def echo(run: Run) -> JSON:
    return "done"


async def fail(run: Run) -> JSON:
    raise RuntimeError("it broke")


class Stubborn:
    """A runner that swallows its cancellation, and ends only when ``end`` is set."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.cancelled = 0
        self.alive = 0

    async def __call__(self, run: Run) -> JSON:
        self.alive += 1
        try:
            while not self.end.is_set():
                try:
                    await self.end.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
            return "ended at last"
        finally:
            self.alive -= 1


class News:
    """What was published, in order. Whatever an event tells must be in the store by then: it looks, each time."""

    def __init__(self, watched: WatchedStore) -> None:
        self.events: list[Event] = []
        self._watched = watched
        self._store = watched.real
        self._gate = asyncio.Event()
        self._gate.set()
        self._waiting = asyncio.Event()
        self.untrue: list[Event] = []
        """Events that told what the store did not hold."""

    def hold(self) -> None:
        """Let nobody hear of anything until ``let_go()``; whoever tells waits."""
        self._gate.clear()
        self._waiting.clear()

    async def held(self) -> None:
        """Return when somebody waits."""
        async with asyncio.timeout(PATIENCE_S):
            await self._waiting.wait()

    def let_go(self) -> None:
        self._gate.set()

    async def publish(self, event: Event) -> None:
        if self._watched.dead:
            return
        if not self._gate.is_set():
            self._waiting.set()
            await self._gate.wait()
        self.events.append(event)
        with self._watched.at_work():
            if not await self._is_kept(event):
                self.untrue.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def gaps(self) -> list[Gap]:
        return [event.gap for event in self.of(OccurrencesLost)]

    async def _is_kept(self, event: Event) -> bool:
        match event:
            case AgentStarted():
                return (await self._session(event)).started_at == event.timestamp
            case AgentProgress():
                return (await self._session(event)).progress is not None
            case AgentLog():
                return event.log in await self._store.list_logs(event.session_id, limit=1000)
            case AgentCompleted():
                session = await self._session(event)
                return (session.outcome, session.duration_ms) == (Outcome.COMPLETED, event.duration_ms)
            case AgentFailed():
                session = await self._session(event)
                return (session.outcome, session.error_message) == (event.outcome, event.error)
            case OccurrencesLost():
                page = await self._store.list_sessions(SessionFilter(agent_id=event.agent_id, gaps=True), limit=1000)
                return any(gap.id == event.gap.id and gap.last_at >= event.gap.last_at for gap in gaps_of(page.items))
        return True

    async def _session(self, event: AgentStarted | AgentProgress | AgentCompleted | AgentFailed) -> Session:
        return await self._store.get_session(event.agent_id, event.session_id)


def gaps_of(items: list[Session | Gap]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


class Stack:
    """One server's scheduler and service. Several may stand on one store, as processes would on a shared database."""

    def __init__(
        self,
        store: WatchedStore,
        clock: FakeClock,
        settings: SchedulerSettings,
        runners: ScriptedRunners,
        *,
        jitter: float = 0.0,
    ) -> None:
        self.watched = store
        self.store = cast(Store, store)
        self.clock = clock
        self.settings = settings
        self.runners = runners
        self.news = News(store)
        self.announcer = Announcer(self.news.publish, clock, lambda: self.board.changed())
        self.scheduler = Scheduler(self.store, runners, self.announcer, settings, clock, random=lambda: jitter)
        self.board = StatusBoard(
            self.store,
            self.news.publish,
            clock,
            is_running=lambda: self.scheduler.is_running,
            max_concurrent=settings.max_concurrent,
        )
        self.service = AgentService(self.store, runners, self.scheduler, self.announcer, self.board, settings, clock)
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Set the claim loop to work, and let it come to rest."""
        self.task = asyncio.create_task(self.scheduler.run(self.stop), name="scheduler")
        await self.settled()

    async def shut_down(self) -> timedelta:
        """Stop as SIGTERM does; how long that took on the clock."""
        assert self.task is not None
        task, begun = self.task, self.clock.now()
        self.stop.set()
        await self.clock.advance_until(task.done)
        await task
        return self.clock.now() - begun

    async def crash(self) -> None:
        """Die as a killed process does: nothing is written any more, nothing is told."""
        self.watched.dead = True
        await self.settled()

    async def settled(self) -> None:
        await self.watched.settled()

    async def advance(self, span: timedelta) -> None:
        await self.clock.advance(span)

    # Agents

    async def agent(
        self, agent_id: str = "a", agent_type: str = "ECHO", expression: str | None = None, **schedule: Any
    ) -> Agent:
        """Make an agent, with a schedule where an expression is given."""
        configuration = schedule.pop("configuration", {})
        agent = await self.service.create(NewAgent(agent_id, agent_type, id=agent_id, configuration=configuration))
        if expression is not None:
            agent = await self.service.save_schedule(agent_id, ScheduleRequest(expression, **schedule))
        await self.settled()
        return agent

    async def run(self, agent_id: str = "a", **context: JSON) -> str:
        """Run an agent by hand; the id of its session."""
        accepted = await self.service.run(agent_id, context)
        await self.settled()
        return accepted.session_id

    async def succeed(self, agent_id: str = "a", result: JSON = "done") -> None:
        self.runners.succeed(agent_id, result)
        await self.settled()

    async def fail(self, agent_id: str = "a", text: str = "it broke") -> None:
        self.runners.fail(agent_id, text)
        await self.settled()

    # What there is to see

    async def get(self, agent_id: str = "a") -> Agent:
        return await self.watched.real.get_agent(agent_id)

    async def history(self, agent_id: str | None = "a") -> list[Session]:
        """The sessions, oldest first."""
        page = await self.watched.real.list_sessions(SessionFilter(agent_id=agent_id), limit=1000)
        return [item for item in reversed(page.items) if isinstance(item, Session)]

    async def gaps(self, agent_id: str | None = "a") -> list[Gap]:
        """What did not run, oldest first."""
        page = await self.watched.real.list_sessions(SessionFilter(agent_id=agent_id, gaps=True), limit=1000)
        return gaps_of(page.items)[::-1]

    async def logs(self, session_id: str) -> list[LogEntry]:
        return await self.watched.real.list_logs(session_id, limit=1000)

    def told(self, kind: type[E]) -> list[E]:
        return self.news.of(kind)

    def story(self) -> list[str]:
        """The run's events in order, as short words."""
        kinds = {
            AgentStarted: "started",
            AgentProgress: "progress",
            AgentLog: "log",
            AgentCompleted: "completed",
            AgentFailed: "failed",
        }
        return [kinds[type(event)] for event in self.news.events if type(event) in kinds]

    def statuses(self) -> list[SchedulerStatus]:
        return self.news.of(SchedulerStatus)


class World:
    """A data folder, a clock, and the servers that live on them one after the other, or side by side."""

    def __init__(
        self,
        folder: Path,
        settings: SchedulerSettings = SETTINGS,
        *,
        start: datetime = START,
        open_store: Callable[[Path], Awaitable[Store]] = SqliteStore.open,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._open_store = open_store
        self.clock = FakeClock(start, self._settled)
        self.real: Store | None = None
        self.stacks: list[Stack] = []

    async def server(
        self, *, shared: bool = False, runners: ScriptedRunners | None = None, jitter: float = 0.0, **settings: Any
    ) -> Stack:
        """A server at work. ``shared``: beside those there are, on their store; else on the folder, opened anew."""
        if self.real is None or not shared:
            if self.real is not None:
                await self.real.close()
            self.real = await self._open_store(self.folder)
        stack = Stack(
            WatchedStore(self.real, is_shared=shared),
            self.clock,
            replace(self.settings, **settings),
            runners or ScriptedRunners(),
            jitter=jitter,
        )
        self.stacks.append(stack)
        await stack.start()
        return stack

    async def down(self, span: timedelta) -> None:
        """Let time pass while no server is up."""
        self.clock.jump(span)

    async def close(self) -> None:
        for stubborn in (stubborn for stack in self.stacks for stubborn in stack.runners.stubborn):
            stubborn.end.set()
        for stack in self.stacks:
            if not stack.watched.dead and stack.task is not None and not stack.task.done():
                stack.watched.away = False
                stack.stop.set()
                await self.clock.advance_until(stack.task.done)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if any(stack.watched.dead for stack in self.stacks):  # what the dead were at
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self.real is not None:
            await self.real.close()

    async def _settled(self) -> None:
        await turns()
        for _ in range(2):  # what one server does may concern the other
            for stack in self.stacks:
                await stack.settled()


@contextlib.asynccontextmanager
async def a_world(
    folder: Path, open_store: Callable[[Path], Awaitable[Store]] = SqliteStore.open
) -> AsyncIterator[World]:
    """A world, and at its end the certainty that nothing was told before it was written."""
    world = World(folder, open_store=open_store)
    try:
        yield world
    finally:
        await world.close()
    assert [event for stack in world.stacks for event in stack.news.untrue] == []
