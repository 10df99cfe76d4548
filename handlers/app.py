"""The web application: every route, and what each request passes on its way to its handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from handlers.agents import AgentCommands, AgentHandlers
from handlers.auth import Tokens
from handlers.docs import DocsHandlers
from handlers.errors import answer_errors
from handlers.forecast import ForecastHandlers
from handlers.history import HistoryHandlers
from handlers.limits import RateLimits
from handlers.metrics import Metrics
from handlers.middlewares import add_headers, authenticator, authorise, limiter, recorder
from handlers.operations import validate
from handlers.overview import KnownRunners, NoRunners, OverviewHandlers
from handlers.pages import PageHandlers
from handlers.schedules import ScheduleCommands, ScheduleHandlers
from handlers.sessions import SessionHandlers
from handlers.sharing import share
from handlers.status import StatusHandlers
from scheduler.clock import Clock, SystemClock
from store.base import Store

API_VERSION = "1.0.0"
BODY_LIMIT = 1024 * 1024


class Service(AgentCommands, ScheduleCommands, Protocol):
    """All commands; ``scheduler.service.AgentService`` is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """``origins`` are those whose pages may call the API; ``static`` is the folder of the monitoring page.

    ``timezone`` is that of schedules that name none.
    """

    origins: Sequence[str] = ()
    static: Path
    body_limit: int = BODY_LIMIT
    timezone: str = "UTC"


def build_app(
    store: Store,
    service: Service,
    tokens: Tokens,
    limits: RateLimits,
    metrics: Metrics,
    settings: WebSettings,
    *,
    runners: KnownRunners | None = None,
    clock: Clock | None = None,
    faults: Callable[[], Sequence[str]] = tuple,
) -> web.Application:
    """All of REST and the page. It opens nothing and closes nothing that was handed in.

    *faults* is asked at ``/health``: a sentence for each part of this process that has died and should be running.
    """
    app = web.Application(
        client_max_size=settings.body_limit,
        middlewares=[
            recorder(metrics),
            answer_errors,
            authenticator(tokens, limits),
            limiter(limits),
            authorise,
            validate,
        ],
    )
    status = StatusHandlers(store, service, metrics, faults)
    pages = PageHandlers(settings.static)
    shared = app.add_routes(  # the fixed paths first: an agent may be called "schedule"
        [
            *status.routes(),
            *ScheduleHandlers(store, service).routes(),
            *AgentHandlers(store, service).routes(),
            *SessionHandlers(store).routes(),
            *HistoryHandlers(store).routes(),
            *OverviewHandlers(store, runners or NoRunners()).routes(),
            *ForecastHandlers(store, service, clock or SystemClock(), settings.timezone).routes(),
            *pages.client_routes(),
        ]
    )
    app.add_routes([*status.open_routes(), *DocsHandlers(API_VERSION).routes(), *pages.routes()])
    share(app, shared, settings.origins)
    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.append(_watching_loop(metrics))
    return app


def _watching_loop(metrics: Metrics) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_: web.Application) -> AsyncIterator[None]:
        async with metrics.watching_loop():
            yield

    return context
