"""``make screenshots``: pictures of the page with believable agents, for README.md and for whoever changes its looks.

The server, its page and the runs in progress are real; the history before them is written into the store beforehand.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from handlers.auth import Role
from scheduler.cron import timetable
from store.records import (
    Agent,
    AgentStatus,
    Change,
    Gap,
    Outcome,
    Priority,
    Schedule,
    Session,
    SessionEnd,
    Trigger,
    milliseconds,
)
from store.sqlite import SqliteStore
from tests.support.browser import Page, browser
from tests.support.http_agent import HttpAgent, http_agent
from tests.support.server_process import ServerProcess, server_process
from tests.support.tools import ROOT

IMAGES = ROOT / "docs" / "images"
NOW = milliseconds(datetime.now(UTC))
MINUTE = timedelta(minutes=1)
HISTORY = timedelta(hours=13)
MOST_RUNS = 90
LEASE = "screenshots"


@dataclass(frozen=True)
class Demo:
    """One agent of the pictures; ``takes`` is the usual duration in seconds, ``fails`` the share of runs that fail."""

    id: str
    name: str
    kind: str
    cron: str | None
    zone: str = "Europe/Berlin"
    priority: Priority = Priority.NORMAL
    takes: float = 20
    fails: float = 0
    error: str = ""
    result: str = "Done"
    paused: bool = False


# fmt: off
DEMOS = (
    Demo("inbox-triage", "Inbox triage", "MAIL_AGENT", "*/5 * * * *", takes=24, fails=0.03,
         error="The mailbox is locked by another session", result="38 messages sorted, 4 need an answer"),
    Demo("crm-sync", "CRM sync", "CRM_SYNC", "*/15 * * * *", priority=Priority.HIGH, takes=95, fails=0.08,
         error="429 Too Many Requests from api.crm.example", result="1,204 contacts checked, 17 updated"),
    Demo("invoice-match", "Invoice reconciliation", "FINANCE", "10 * * * *", priority=Priority.CRITICAL, takes=140,
         result="212 of 214 invoices matched"),
    Demo("content-writer", "Content writer", "CONTENT_WRITER", "0 9 * * MON-FRI", takes=310,
         result="Generated 5 blog posts"),
    Demo("price-watch", "Competitor price watch", "SCRAPER", "*/20 * * * *", zone="America/New_York", takes=48,
         fails=0.3, error="Timed out after 60000 ms", result="640 products, 12 changed"),
    Demo("log-summary", "Error log summary", "LOG_ANALYST", "every 30 minutes", takes=33,
         result="3 new kinds of errors, 1 regression"),
    Demo("newsletter", "Weekly newsletter", "MAIL_AGENT", "0 8 * * MON", priority=Priority.LOW, takes=600),
    Demo("backup-check", "Backup verification", "OPS", "30 3 * * *", zone="UTC", takes=410,
         result="All 14 archives restore"),
    Demo("ticket-router", "Support ticket router", "SUPPORT", "* * * * *", takes=6, fails=0.01,
         error="The language model did not answer", result="2 tickets routed"),
    Demo("seo-audit", "SEO audit", "SCRAPER", "0 */4 * * *", takes=260, paused=True, result="97 pages, 3 broken links"),
    Demo("embeddings", "Knowledge base embeddings", "EMBEDDER", "*/30 * * * *", takes=180, fails=0.05,
         error="The vector store refused 3 documents", result="118 documents embedded"),
    Demo("translate", "Release notes translation", "TRANSLATOR", None, takes=120, result="Translated into 6 languages"),
)
# fmt: on

LIVE = {
    "crm-sync": (64, "Updating contacts 770 to 780", 4, 6),
    "invoice-match": (22, "Reading bank statements", 1, 4),
    "ticket-router": (81, "Asking the model about ticket 4,213", None, None),
}
LOG = (
    ("info", "Signed in to api.crm.example as scheduler"),
    ("info", "1,204 contacts changed since 2 hours ago"),
    ("debug", "Page 1 of 13 (100 contacts)"),
    ("info", "Merged 4 duplicates by e-mail address"),
    ("warning", "Contact 88213 has no owner: left alone"),
    ("info", "Updating contacts 770 to 780"),
)


async def seed(folder: Path, url: str) -> None:
    """Write the agents and what they did in the last hours."""
    store = await SqliteStore.open(folder)
    chance = random.Random(7)
    for demo in DEMOS:
        await store.add_agent(_agent(demo, url))
        for start in _starts(demo):
            await _past_run(store, demo, start, chance)
        if demo.id == "embeddings":
            gap = Gap("gap", demo.id, Outcome.SKIPPED, 2, NOW - 50 * MINUTE, NOW - 40 * MINUTE, "The agent was busy")
            await store.change_agent(demo.id, partial(_with_gap, gap))
    await store.close()


def _with_gap(gap: Gap, agent: Agent) -> Change:
    return Change(agent, gaps=(gap,))


def _agent(demo: Demo, url: str) -> Agent:
    schedule = Schedule(demo.cron, demo.zone, NOW - HISTORY) if demo.cron else None
    upcoming = timetable(demo.cron, demo.zone, anchor=NOW - HISTORY).next_after(NOW) if demo.cron else None
    if demo.id in LIVE and upcoming is not None:
        upcoming += 5 * MINUTE  # it is running: its next occurrence comes after this one
    return Agent(
        demo.id,
        demo.name,
        demo.kind,
        NOW - HISTORY,
        NOW - HISTORY,
        description=f"{demo.name}, every run reported.",
        configuration={"url": url, "model": "small", "apiKey": "secret"},
        status=AgentStatus.PAUSED if demo.paused else AgentStatus.IDLE,
        priority=demo.priority,
        schedule=schedule,
        is_paused=demo.paused,
        next_run_at=upcoming,
    )


def _starts(demo: Demo) -> Iterator[datetime]:
    """When it ran: the last occurrences of its schedule, or a few moments by hand."""
    if demo.cron is None:
        yield from (NOW - timedelta(hours=hours) for hours in (11, 7, 2))
        return
    times, found, moment = timetable(demo.cron, demo.zone, anchor=NOW - HISTORY), [], NOW - HISTORY
    while (moment := times.next_after(moment)) < NOW - MINUTE:
        found.append(moment)
    yield from found[-MOST_RUNS:]


async def _past_run(store: SqliteStore, demo: Demo, start: datetime, chance: random.Random) -> None:
    took = timedelta(seconds=demo.takes * chance.uniform(0.7, 1.5))
    if start + took > NOW:
        return
    failed = chance.random() < demo.fails
    number = f"{demo.id}-{start:%d%H%M}"
    session = Session(number, demo.id, f"cron:{number}", 1, Trigger.CRON, start, start, LEASE, priority=demo.priority)
    end = SessionEnd(
        number,
        Outcome.FAILED if failed else Outcome.COMPLETED,
        start + took,
        output_summary=None if failed else demo.result,
        error_message=demo.error if failed else None,
        metrics={} if failed else {"tokens": chance.randint(900, 9000), "costCents": round(chance.random() * 8, 2)},
    )
    status = AgentStatus.PAUSED if demo.paused else AgentStatus.ERROR if failed else AgentStatus.COMPLETED
    error = demo.error if failed else None
    await store.change_agent(demo.id, lambda agent: Change(agent, start=session))
    await store.change_agent(
        demo.id,
        lambda agent: Change(replace(agent, status=status, last_run_at=start, last_error=error), end=end),
    )


async def live(server: ServerProcess, agent: HttpAgent) -> dict[str, str]:
    """Start the runs that the pictures show in progress; their sessions by agent."""
    sessions: dict[str, str] = {}
    async with server.rest() as rest:
        for agent_id, (percent, message, step, of) in LIVE.items():
            sessions[agent_id] = await rest.run(agent_id, requestedBy="operations")
            call = await agent.called()
            for level, text in LOG if agent_id == "crm-sync" else ():
                await call.say(log={"level": level, "message": text})
            await call.say(progress=percent, message=message, currentStep=step, totalSteps=of)
    return sessions


async def take(page: Page, server: ServerProcess, sessions: dict[str, str], folder: Path, name: str) -> None:
    """Every view in one look, as ``<view>-<name>.png``."""
    await page.goto(f"{server.url}/#token={server.token(Role.USER, user='operator')}")
    await page.sees(".connection", "Live")
    views = {
        "agents": ("agents", ".strip:not([data-unknown]) .completed[d*=M]"),
        "timeline": ("timeline", ".bar.coming"),
        "day": ("timeline", ".bar.coming"),
        "agent": ("agent/price-watch", ".durations canvas"),
        "session": (f"agent/crm-sync/{sessions['crm-sync']}", ".log .line"),
        "events": ("events", ".feed"),
        "new": ("new", ".create form"),
        "editor": ("agent/invoice-match", ".sessions tbody tr"),
    }
    for view, (path, mark) in views.items():
        await page.evaluate("(path) => { location.hash = path; }", f"#/{path}")
        await page.sees(mark)
        if view == "day":
            await page.click(".chip", "A day")
            await page.sees('.chip[aria-pressed="true"]', "A day")
            await page.sees(".mark", ":00")
        if view == "editor":
            await page.click("text=Edit schedule")
            await page.fill('[name="cronExpression"]', "30 2 * * *")
            await page.fill('[name="timezone"]', "America/New_York")
            await page.sees(".preview-words", "Every day at 02:30, America/New_York")
        await page.settle()
        await page.screenshot(str(folder / f"{view}-{name}.png"), clip=CROPS.get(f"{view}-{name}"))
        if view == "day":
            await page.click(".chip", "2 hours")


CROPS = {
    "agents-light": {"x": 0, "y": 0, "width": 1360, "height": 640},
    "timeline-dark": {"x": 0, "y": 0, "width": 1360, "height": 520},
}
"""The two in README.md, which are also the two that are kept in the repository."""

LOOKS = {
    "light": {"viewport": {"width": 1360, "height": 860}, "colorScheme": "light"},
    "dark": {"viewport": {"width": 1360, "height": 860}, "colorScheme": "dark"},
    "narrow": {"viewport": {"width": 380, "height": 780}, "colorScheme": "light"},
}


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(http_agent())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await seed(home / "data", agent.url)
        server = stack.enter_context(server_process(home, SCHEDULER_MAX_CONCURRENT="4"))
        sessions = await live(server, agent)
        chromium = await stack.enter_async_context(browser())
        for name, look in LOOKS.items():
            async with chromium.page(**look) as page:
                await take(page, server, sessions, folder, name)
                print("\n".join([f"{name}: taken", *await page.problems()]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
