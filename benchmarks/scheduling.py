"""How late runs start under load, and what a turn of the loop costs when nothing is due; on the embedded store.

``python -m benchmarks.scheduling [seconds]``
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import uvloop

from scheduler.announcer import Announcer
from scheduler.clock import SystemClock
from scheduler.events import AgentStarted, Event
from scheduler.loop import Scheduler
from scheduler.runners.base import Run, Runner
from scheduler.settings import SchedulerSettings
from store.base import Store
from store.open import open_store
from store.records import JSON, Agent, JSONObject, Schedule

AGENTS = 10_000
IDLE_AGENTS = 100_000
RUNS_PER_S = 50
WARM_UP_S = 5.0
IDLE_TURNS = 500
BATCH = 500


class OneRunner:
    """A runner that tells one progress and is done: what is measured is everything around it."""

    def find(self, agent_type: str, configuration: JSONObject) -> Runner:
        return self._run

    def types(self) -> list[str]:
        return ["BENCH"]

    async def _run(self, run: Run) -> JSON:
        await run.progress(100, "done")
        return "done"


class Lateness:
    """Reads each started session back, as any client can, and keeps how late it started, in milliseconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ms: list[float] = []
        self.cut_ms: list[float] = []

    async def publish(self, event: Event) -> None:
        if isinstance(event, AgentStarted):
            session = await self._store.get_session(event.agent_id, event.session_id)
            late = SystemClock().now() - session.scheduled_for
            self.ms.append(late.total_seconds() * 1000)
            self.cut_ms.append((session.started_at - session.scheduled_for).total_seconds() * 1000)


async def _fill(store: Store, count: int, first: datetime, period: timedelta) -> None:
    """Add *count* agents that fire every *period*, evenly spread from *first* on."""
    expression = f"every {round(period.total_seconds())} seconds"
    agents = []
    for number in range(count):
        due = first + period * number / count
        due = due.replace(microsecond=due.microsecond // 1000 * 1000)
        schedule = Schedule(expression, "UTC", anchor=due - period)
        agents.append(
            Agent(
                f"bench-{number}",
                f"Bench {number}",
                "BENCH",
                first,
                first,
                schedule=schedule,
                next_run_at=due,
            )
        )
    random.Random(1).shuffle(agents)
    for start in range(0, count, BATCH):
        await asyncio.gather(*(store.add_agent(agent) for agent in agents[start : start + BATCH]))


def _scheduler(store: Store, lateness: Lateness) -> Scheduler:
    clock = SystemClock()
    announcer = Announcer(lateness.publish, clock, lambda: None)
    return Scheduler(store, OneRunner(), announcer, SchedulerSettings(max_concurrent=50), clock)


async def measure_lateness(seconds: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(mongodb_uri=None, mongodb_db="", data_dir=Path(folder)) as store:
            period = timedelta(seconds=AGENTS / RUNS_PER_S)
            began = time.perf_counter()
            # The first occurrence lies after the filling, so that nothing is due while it goes on.
            first = SystemClock().now() + timedelta(seconds=15)
            await _fill(store, AGENTS, first, period)
            filled = time.perf_counter() - began
            lateness, stop = Lateness(store), asyncio.Event()
            task = asyncio.create_task(_scheduler(store, lateness).run(stop))
            await asyncio.sleep(max((first - SystemClock().now()).total_seconds(), 0) + WARM_UP_S)
            lateness.ms.clear()
            lateness.cut_ms.clear()
            cpu = time.process_time()
            await asyncio.sleep(seconds)
            cpu = time.process_time() - cpu
            stop.set()
            await task
    runs = len(lateness.ms)
    lines = [f"{AGENTS:,} scheduled agents (filled in {filled:.1f} s), {runs / seconds:.1f} runs/s for {seconds:g} s:"]
    for name, values in (("session's start", lateness.cut_ms), ("event published", lateness.ms)):
        p50, p99, worst = _percentiles(values)
        lines.append(f"- late, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")
    lines.append(f"- CPU: {cpu / seconds * 100:.0f} % of one core, {cpu / runs * 1000:.2f} ms per run")
    print("\n".join(lines))
    return lines


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    ranked = sorted(values)
    return statistics.median(ranked), ranked[int(len(ranked) * 0.99)], ranked[-1]


async def measure_idle_turn() -> list[str]:
    lines = []
    for count in (100, IDLE_AGENTS):
        with tempfile.TemporaryDirectory() as folder:
            async with open_store(mongodb_uri=None, mongodb_db="", data_dir=Path(folder)) as store:
                first = SystemClock().now() + timedelta(days=1)
                await _fill(store, count, first, timedelta(days=1))
                scheduler = _scheduler(store, Lateness(store))
                await scheduler.turn()
                began, cpu = time.perf_counter(), time.process_time()
                for _ in range(IDLE_TURNS):
                    await scheduler.turn()
                wall = (time.perf_counter() - began) / IDLE_TURNS * 1e6
                cpu = (time.process_time() - cpu) / IDLE_TURNS * 1e6
        lines.append(f"- a turn with nothing due, {count:,} scheduled: {wall:.0f} µs, {cpu:.0f} µs of it CPU")
        print(lines[-1])
    return lines


async def main(seconds: float) -> list[str]:
    """Both, as lines of Markdown."""
    return [*await measure_idle_turn(), "", *await measure_lateness(seconds)]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
