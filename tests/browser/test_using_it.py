"""The views as people use them: by keyboard, on a telephone, in the dark, with a screen reader, in another zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.browser.conftest import MODULES, show, signed_in
from tests.support.browser import Browser, Page
from tests.support.http_agent import HttpAgent
from tests.support.server_process import Rest, ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

VIEWS = ("agents", "timeline", "events", "new", "agent/busy")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest_asyncio.fixture(loop_scope="session")
async def busy(rest: Rest, agent: HttpAgent) -> str:
    """A scheduled agent with a completed and a failed run; its last session's id."""
    if (await rest.get("/api/agents/busy")).status == 404:
        await rest.agent("busy", "HTTP_AGENT", name="Busy", configuration={"url": agent.url})
        await rest.post("/api/agents/busy/schedule", {"cronExpression": "*/10 * * * *", "timezone": "Asia/Tokyo"})
        await rest.agent("calm", "HTTP_AGENT", name="Calm", configuration={"url": agent.url})
        await rest.run("busy")
        call = await agent.called()
        await call.say(log={"level": "warning", "message": "nearly full"})
        await call.end(result="first")
        for _ in range(2):
            await _running(rest, "busy", again=_ == 0)
            await (await agent.called()).end(error="second")
    sessions = (await rest.get("/api/agents/busy/sessions")).data["sessions"]
    return str(sessions[-1]["id"])


async def _running(rest: Rest, agent_id: str, *, again: bool) -> None:
    """Ask for a run until the last one has ended."""
    while again and (await rest.post(f"/api/agents/{agent_id}/run")).status != 202:
        pass


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_in_any_view(
    chromium: Browser, server: ServerProcess, busy: str, scheme: str
) -> None:
    async with chromium.page(colorScheme=scheme, reducedMotion="reduce") as page:
        await page.goto(server.url)
        await page.sees("dialog h1", "Sign in")
        assert await page.violations() == []
        await signed_in(page, server)
        await page.reload()
        await page.sees(".connection", "Live")
        for view in (*VIEWS, f"agent/busy/{busy}"):
            await show(page, view)
            await page.sees(MARKS[view.split("/")[0]])
            assert await page.violations() == [], view


MARKS = {
    "agents": ".strip:not([data-unknown])",
    "timeline": ".track a.bar",
    "events": ".feed",
    "new": ".create form",
    "agent": ".sessions tbody tr",
}


@pytest.mark.parametrize("width", [380, 768])
async def test_no_view_is_wider_than_a_telephone(
    chromium: Browser, server: ServerProcess, busy: str, width: int
) -> None:
    async with chromium.page(viewport={"width": width, "height": 740}) as page:
        await signed_in(page, server)
        for view in (*VIEWS, f"agent/busy/{busy}"):
            await show(page, view)
            await page.sees(MARKS[view.split("/")[0]])
            assert await page.evaluate("() => document.documentElement.scrollWidth") <= width, view


async def test_agents_are_found_filtered_and_sorted(page: Page, server: ServerProcess, busy: str) -> None:
    await signed_in(page, server)
    await page.sees(".agent-name", "Busy")
    await page.press("/")
    await page.fill('.search input[type="search"]', "every 10 minutes")
    await page.misses(".agent-name", "Calm")
    assert await page.count(".agent-name") == 1
    await page.fill('.search input[type="search"]', "nothing like it")
    await page.sees(".empty", "No agent matches")
    await page.click(".empty button")
    await page.sees(".agent-name", "Calm")
    await page.click(".chip", "No schedule")
    await page.misses(".agent-name", "Busy")
    await page.click(".chip", "All")
    await page.click(".sort", "Agent")

    assert await page.attribute(".head .c-name", "aria-sort") == "descending"
    shown = await page.evaluate("() => [...document.querySelectorAll('.agent-name')].map((a) => a.textContent)")
    assert shown.index("Calm") < shown.index("Busy")


async def test_the_keyboard_reaches_every_row_and_its_agent(page: Page, server: ServerProcess, busy: str) -> None:
    await signed_in(page, server)
    await page.sees(".agent-name", "Busy")
    await page.press("/")
    assert await page.evaluate("() => document.activeElement.type") == "search"
    await page.press("ArrowDown")
    first = await page.evaluate("() => document.activeElement.textContent")
    await page.press("ArrowDown")
    second = await page.evaluate("() => document.activeElement.textContent")
    assert first != second
    await page.press("ArrowUp")
    assert await page.evaluate("() => document.activeElement.textContent") == first

    await page.press("Enter")

    await page.sees("h1", first)


async def test_a_run_in_the_timeline_leads_to_its_session(page: Page, server: ServerProcess, busy: str) -> None:
    await signed_in(page, server)
    await show(page, "timeline")
    await page.sees(".lane:has-text('Busy') .bar.coming")
    await page.sees(".lane:has-text('Busy') a.bar.failed")
    await page.click(".chip", "A day")
    await page.until("() => document.querySelectorAll('.mark').length > 9")
    await page.click(".chip", "2 hours")
    await page.evaluate("() => document.querySelector('.lane-name').focus()")
    await page.press("ArrowRight")
    assert await page.evaluate("() => document.activeElement.classList.contains('bar')")

    await page.press("Enter")

    await page.sees("h1")
    assert "#/agent/" in await page.evaluate("() => location.hash")


async def test_the_feed_is_filtered_and_held_still(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await rest.agent("told", "HTTP_AGENT", name="Told", configuration={"url": agent.url})
    await signed_in(page, server)
    await show(page, "events")
    await rest.run("told")
    call = await agent.called()
    await page.sees(".feed-row", "started")
    await page.click(".toolbar button", "Pause")
    await call.say(log={"level": "info", "message": "while nobody looked"})
    await page.sees(".total", "1 new since")
    assert await page.count(".feed-row", "while nobody looked") == 0
    await page.click(".toolbar button", "Continue")
    await page.sees(".feed-row", "while nobody looked")
    await page.fill('[placeholder="Filter events"]', "nobody looked")
    await page.misses(".feed-row", "started")
    await page.fill('[placeholder="Filter events"]', "")
    await page.click(".chip", "Logs")
    await page.misses(".feed-row", "while nobody looked")
    await call.end(result="")


async def test_times_follow_the_chosen_zone(page: Page, server: ServerProcess, busy: str) -> None:
    row = '.row:has(a[href="#/agent/busy"])'
    await signed_in(page, server)
    await page.sees(f"{row} .c-next", "CET" if not datetime.now(BERLIN).dst() else "CEST")
    await page.choose("select.zone", "utc")
    await page.sees(f"{row} .c-next", "UTC")
    await page.choose("select.zone", "schedule")
    await page.sees(f"{row} .c-next", "GMT+9")
    await page.reload()
    await page.sees(f"{row} .c-next", "GMT+9")


async def test_the_colours_can_be_chosen(page: Page, server: ServerProcess) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    await signed_in(page, server)
    light = await page.evaluate(ground)
    await page.click('button[aria-label="Colours: auto"]')
    assert await page.evaluate(ground) == light
    await page.click('button[aria-label="Colours: light"]')
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    await page.sees('button[aria-label="Colours: dark"]')
    assert await page.evaluate(ground) == dark


async def test_the_durations_are_a_chart_that_can_be_heard(page: Page, server: ServerProcess, busy: str) -> None:
    await signed_in(page, server)
    await show(page, "agent/busy")
    await page.sees(".durations canvas")

    heard = await page.attribute(".durations", "aria-label") or ""
    assert heard.startswith("Durations of ")
    assert " failed." in heard


async def test_looking_at_everything_costs_few_requests(page: Page, server: ServerProcess, busy: str) -> None:
    await signed_in(page, server)
    for view in (*VIEWS, f"agent/busy/{busy}", "agents", "timeline", "agents"):
        await show(page, view)
        await page.sees(MARKS[view.split("/")[0]])

    assert await page.requests("/api/") <= 10


async def test_older_sessions_come_by_page(page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent) -> None:
    await rest.agent("paged", "HTTP_AGENT", configuration={"url": agent.url})
    for number in range(23):
        await _running(rest, "paged", again=True)
        await (await agent.called()).end(result=f"Result {number}")
    await signed_in(page, server)
    await show(page, "agent/paged")
    await page.sees(".result", "Result 22")
    await page.sees(".pager", "1–20 of 23")
    before = await page.requests("/sessions?")
    await page.click(".pager button", "Older")

    await page.sees(".pager", "21–23 of 23")
    await page.sees(".result", "Result 0")
    assert await page.requests("/sessions?") == before, "a page that was loaded already costs no request"


class TestAcrossAChangeOfTheClock:
    @pytest.mark.parametrize("skipped", [True, False])
    async def test_the_editor_warns_and_shows_the_moment_it_really_fires(
        self, page: Page, server: ServerProcess, rest: Rest, skipped: bool
    ) -> None:
        day = _next_change(skipped=skipped)
        await rest.agent("night", "HTTP_AGENT", configuration={"url": "http://127.0.0.1:9/"})
        await signed_in(page, server)
        await show(page, "agent/night")
        await page.click("text=Add a schedule")
        await page.fill('[name="timezone"]', "Europe/Berlin")
        await page.fill('[name="cronExpression"]', f"30 2 {day.day} {day.month} *")

        word = "does not exist" if skipped else "comes twice"
        await page.sees(".preview .warning", f"On {day:%Y-%m-%d} 02:30 {word} in Europe/Berlin")
        await page.sees(".fires tbody tr:first-child", "03:00 CEST" if skipped else "02:30 CEST")
        await rest.call("DELETE", "/api/agents/night")

    async def test_the_marks_of_an_axis_are_those_the_clock_shows(self, page: Page, server: ServerProcess) -> None:
        await page.goto(f"{server.url}{MODULES}")

        shown = await page.evaluate(
            """async () => {
                const { marks, clockTime, HOUR } = await import("/static/js/clock.js");
                const around = (text) => [Date.parse(text) - 3 * HOUR, Date.parse(text) + 3 * HOUR];
                return ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"].map((text) =>
                    marks(...around(text), "Europe/Berlin", 7).map((at) => clockTime(at, "Europe/Berlin").slice(0, 5)));
            }"""
        )

        spring = ["23:00", "00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]
        autumn = ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00", "05:00"]
        assert shown == [spring, autumn]

    async def test_a_viewers_clock_that_is_wrong_does_not_move_the_countdown(
        self, chromium: Browser, server: ServerProcess, rest: Rest, busy: str
    ) -> None:
        row = '.row:has(a[href="#/agent/busy"])'
        async with chromium.page() as page:
            await page.shift_clock(timedelta(minutes=90))
            await signed_in(page, server)

            await page.sees(f"{row} .countdown", "in ")


def _next_change(*, skipped: bool) -> datetime:
    """The next day on which clocks in Berlin go forward (*skipped*) or back, at noon."""
    day = datetime.now(UTC).astimezone(BERLIN).replace(hour=12, minute=0) + timedelta(days=1)
    while True:
        before, after = day - timedelta(days=1), day
        change = after.astimezone(BERLIN).utcoffset() - before.astimezone(BERLIN).utcoffset()  # type: ignore[operator]
        if (change > timedelta(0)) if skipped else (change < timedelta(0)):
            return day
        day += timedelta(days=1)
