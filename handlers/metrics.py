"""What Prometheus may ask: counters and gauges in a registry of their own, so that two servers never share one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from scheduler.events import AgentCompleted, AgentFailed, Event, OccurrencesLost, Statistics
from store.records import Outcome

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
LAG_PERIOD_S = 0.5
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Everything measured. No label holds what a client chose: routes are patterns, methods and outcomes are known."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "neonhub_http_requests_total", "HTTP requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "neonhub_http_request_seconds",
            "Time to an answer",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._runs = Counter(
            "neonhub_runs_total", "Runs that ended in this process, by outcome", ["outcome"], registry=registry
        )
        self._occurrences_lost = Counter(
            "neonhub_occurrences_lost_total", "Occurrences that did not run", ["outcome"], registry=registry
        )
        self._scheduler = {
            name: Gauge(f"neonhub_scheduler_{name}", text, registry=registry)
            for name, text in {
                "running": "1 while this process claims runs",
                "agents_scheduled": "Agents with an enabled schedule",
                "agents_running": "Agents that run, on any server",
                "agents_queued": "Scheduled agents that do not run",
                "agents_paused": "Agents with a paused schedule",
                "max_concurrent": "Runs at a time in this process",
            }.items()
        }
        self._store_up = Gauge("neonhub_store_up", "1 while the database answers", registry=registry)
        self._lag = Gauge("neonhub_event_loop_lag_seconds", "How late the event loop woke up last", registry=registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        if not route.startswith("/socket.io/"):  # a long poll or a WebSocket takes as long as it likes
            self._seconds.labels(method, route).observe(seconds)

    def event(self, event: Event) -> None:
        """Count what an event of the scheduler tells."""
        if isinstance(event, AgentCompleted):
            self._runs.labels(Outcome.COMPLETED.value).inc()
        elif isinstance(event, AgentFailed):
            self._runs.labels(event.outcome.value).inc()
        elif isinstance(event, OccurrencesLost):
            self._occurrences_lost.labels(event.gap.outcome.value).inc(event.gap.count)

    def scheduler(self, statistics: Statistics | None) -> None:
        """Set the scheduler's gauges; None when the store did not answer, which leaves them as they were."""
        self._store_up.set(0 if statistics is None else 1)
        if statistics is not None:
            self._scheduler["running"].set(statistics.is_running)
            self._scheduler["agents_scheduled"].set(statistics.scheduled)
            self._scheduler["agents_running"].set(statistics.running)
            self._scheduler["agents_queued"].set(statistics.queued)
            self._scheduler["agents_paused"].set(statistics.paused)
            self._scheduler["max_concurrent"].set(statistics.max_concurrent)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    @contextlib.asynccontextmanager
    async def watching_loop(self) -> AsyncIterator[None]:
        """Measure the event loop's lag meanwhile."""
        watcher = asyncio.create_task(self._watch_loop(), name="event loop lag")
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            self._lag.set(max(loop.time() - due, 0.0))
