"""The parts of one server, made from the configuration and put together: the one place that names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from handlers.admission import identity
from handlers.app import WebSettings, build_app
from handlers.auth import Tokens
from handlers.earlier import EarlierClients
from handlers.earlier_events import AGENTS_NAMESPACE
from handlers.events import NAMESPACE, publisher
from handlers.limits import RateLimits
from handlers.metrics import Metrics
from handlers.sockets import Subscriptions
from scheduler.announcer import Announcer
from scheduler.clock import SystemClock
from scheduler.events import Event
from scheduler.loop import Scheduler
from scheduler.retention import Retention
from scheduler.runners.base import Runners
from scheduler.runners.registry import RunnerRegistry, open_runners
from scheduler.samples import sample_runners
from scheduler.service import AgentService
from scheduler.settings import SchedulerSettings
from scheduler.status import StatusBoard
from server.config import Config, SocketAuth
from server.realtime import RealtimeServer, RedisFanout
from server.socket_metrics import SocketMetrics
from store.base import Store

STATIC = Path(__file__).resolve().parent.parent / "static"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the life of the process starts and ends."""

    app: web.Application
    sockets: RealtimeServer
    scheduler: Scheduler
    service: AgentService
    runners: Runners
    board: StatusBoard
    retention: Retention
    tokens: Tokens
    stopping: asyncio.Event
    """Set when the end has begun: ``/health`` says so."""


@asynccontextmanager
async def assemble(config: Config, store: Store, tokens: Tokens, environ: Mapping[str, str]) -> AsyncIterator[Parts]:
    """All parts, not yet at work. *environ* is where runners take their secrets from."""
    async with runners_of(config, environ) as runners:
        clock, numbers, metrics = SystemClock(), scheduler_settings(config), Metrics()
        sockets = RealtimeServer(
            cors_allowed_origins=config.cors_origin,
            recovery_ms=round(config.socket_recovery.total_seconds() * 1000),
            recovery_namespaces=(NAMESPACE, AGENTS_NAMESPACE),
            buffer_bytes=config.socket_buffer,
            io_uring=config.socket_io_uring,
            identity=identity(tokens),
            client_manager=RedisFanout(config.redis_url) if config.redis_url else None,
        )
        metrics.registry.register(SocketMetrics(sockets.metrics))
        emit = publisher(sockets)

        async def publish(event: Event) -> None:
            metrics.event(event)
            await emit(event)
            await earlier.publish(event)

        board = StatusBoard(
            store,
            publish,
            clock,
            is_running=lambda: scheduler.is_running,
            max_concurrent=config.scheduler_max_concurrent,
        )
        announcer = Announcer(publish, clock, board.changed)
        scheduler = Scheduler(store, runners, announcer, numbers, clock)
        service = AgentService(store, runners, scheduler, announcer, board, numbers, clock)

        stopping = asyncio.Event()

        def faults() -> Sequence[str]:
            if stopping.is_set():  # a load balancer is to send nothing more here, while runs have their grace
                return ["The server is stopping"]
            # Anybody may ask for health: what exactly is wrong stands in the log.
            return ["The scheduler cannot do its work at present; its log says why"] if scheduler.trouble else []

        limits = RateLimits(config.rate_limit_max, round(config.rate_limit_window.total_seconds()))
        web_settings = WebSettings(origins=config.cors_origin, static=STATIC, timezone=config.scheduler_timezone)
        app = build_app(store, service, tokens, limits, metrics, web_settings, runners=runners, faults=faults)
        anonymous = config.socket_auth is SocketAuth.OPTIONAL
        per_user = config.socket_max_per_user
        Subscriptions(sockets, store, service, tokens, anonymous=anonymous, max_per_user=per_user)
        earlier = EarlierClients(
            sockets,
            store,
            service,
            tokens,
            anonymous=anonymous,
            max_per_user=per_user,
            shared=config.redis_url is not None,
        )
        sockets.attach(app)
        yield Parts(
            app, sockets, scheduler, service, runners, board, Retention(store, numbers, clock), tokens, stopping
        )


def runners_of(config: Config, environ: Mapping[str, str]) -> AbstractAsyncContextManager[RunnerRegistry]:
    """What runs agents, as configured; open until the block ends."""
    return open_runners(
        environ=environ,
        samples=sample_runners(),
        modules=config.agent_modules,
        commands_file=config.commands_file,
        allow=config.http_runner_allow,
    )


def scheduler_settings(config: Config) -> SchedulerSettings:
    """The scheduler's numbers as configured."""
    return SchedulerSettings(
        max_concurrent=config.scheduler_max_concurrent,
        check_interval=config.scheduler_check_interval,
        max_retries=config.scheduler_max_retries,
        backoff_base=config.scheduler_backoff_base,
        backoff_max=config.scheduler_backoff_max,
        run_timeout=config.scheduler_run_timeout,
        lease=config.scheduler_lease,
        missed_runs=config.scheduler_missed_runs,
        timezone=config.scheduler_timezone,
        retention=config.session_retention_days,
        keep_sessions=config.session_retention_count,
        grace=config.shutdown_grace,
    )
