"""Who may see the page, and what of it: tokens, roles, and text that must stay text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.auth import Role, Tokens
from tests.browser.conftest import address, show, signed_in
from tests.support.browser import Browser, Page
from tests.support.http_agent import HttpAgent
from tests.support.server_process import SECRET, Rest, ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

EVIL = "<img src=x onerror=alert(1)>"


async def test_the_printed_link_signs_in_and_its_token_leaves_the_address(page: Page, server: ServerProcess) -> None:
    await page.goto(address(server))

    await page.sees(".connection", "Live")
    assert await page.evaluate("() => location.href") == f"{server.url}/#/"
    assert await page.evaluate("() => performance.getEntriesByType('navigation')[0].name") != ""
    await page.reload()
    await page.sees(".connection", "Live")


async def test_without_a_link_a_token_is_asked_for(page: Page, server: ServerProcess) -> None:
    await page.goto(server.url)
    await page.sees("dialog h1", "Sign in")
    await page.fill("#token", "no token")
    await page.click("dialog .primary")
    await page.sees("#token-message", "This is not a token")
    await page.fill("#token", server.token())
    await page.click("dialog .primary")

    await page.sees(".connection", "Live")
    await page.sees(".user", "alice · user")


async def test_a_token_of_another_server_is_refused_in_words(page: Page, server: ServerProcess) -> None:
    page.forgive("401")
    stranger = Tokens("another secret, of at least thirty-two bytes").mint("eve", Role.ADMIN, timedelta(hours=1))
    await page.goto(f"{server.url}/#token={stranger}")

    await page.sees("#token-message", "Invalid or expired token")
    await page.sees(".connection", "Signed out")


async def test_a_token_that_expires_is_asked_for_anew_and_the_view_stays(page: Page, server: ServerProcess) -> None:
    page.forgive("401")
    soon = Tokens(SECRET).mint("alice", Role.USER, timedelta(seconds=3), now=datetime.now(UTC))
    await page.goto(f"{server.url}/#token={soon}")
    await page.sees(".connection", "Live")
    await show(page, "new")
    await page.fill('[name="name"]', "Half typed")

    await page.sees("dialog h1", "Sign in")
    assert await page.evaluate("() => document.querySelector('[name=name]').value") == "Half typed"
    await page.fill("#token", server.token())
    await page.click("dialog .primary")

    await page.sees(".connection", "Live")
    assert await page.evaluate("() => document.querySelector('[name=name]').value") == "Half typed"


async def test_signing_out_forgets_the_token(page: Page, server: ServerProcess) -> None:
    await signed_in(page, server)
    page.forgive("401")  # of a request that was on its way when its token was forgotten
    await page.click('button[aria-label="Sign out"]')

    await page.sees("dialog h1", "Sign in")
    await page.sees(".connection", "Signed out")
    await page.reload()
    await page.sees("dialog h1", "Sign in")


async def test_a_viewer_sees_everything_and_no_buttons_that_change_it(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await rest.agent("seen", "HTTP_AGENT", configuration={"url": agent.url})
    await rest.post("/api/agents/seen/schedule", {"cronExpression": "0 9 * * *"})
    await signed_in(page, server, Role.VIEWER)

    await page.sees('.row:has(a[href="#/agent/seen"])')
    assert await page.count(".c-actions button") == 0
    await page.misses("text=New agent")
    await show(page, "agent/seen")
    await page.sees(".schedule-words", "every day at 09:00, UTC")
    await page.sees(".why li")
    for command in ("Run now", "Pause", "Edit schedule", "Remove schedule"):
        await page.misses("#view button", command)
    await page.click("summary", "Configuration")
    await page.sees(".about pre")
    await page.misses(".about .danger")


async def test_what_agents_say_is_text_and_never_markup(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await rest.agent("evil", "HTTP_AGENT", name=EVIL, description=EVIL, configuration={"url": agent.url, "note": EVIL})
    await rest.post("/api/agents/evil/schedule", {"cronExpression": "* * * * *"})
    await signed_in(page, server)
    await show(page, "events")
    session_id = await rest.run("evil", note=EVIL)
    call = await agent.called()
    await call.say(progress=50, message=EVIL)
    await call.say(log={"level": "error", "message": EVIL})
    await page.sees(".feed-row .text", EVIL)
    await show(page, "agents")
    await page.sees(".agent-name", EVIL)
    await page.sees(".c-state .sub", EVIL)
    await show(page, f"agent/evil/{session_id}")
    await page.sees("h1", EVIL)
    await page.sees(".log .text", EVIL)
    await page.click("summary", "Configuration")
    await page.sees(".about pre", EVIL)

    await call.end(error=EVIL)

    await page.sees(".session .error-text", EVIL)
    await page.sees(".sessions .result", EVIL)
    await show(page, "timeline")
    await page.sees(".lane-name", EVIL)
    await rest.call("DELETE", "/api/agents/evil/schedule")
    assert await page.count("img[src=x]") == 0


async def test_the_rate_limit_is_met_with_patience(chromium: Browser, limited_server: ServerProcess) -> None:
    async with chromium.page() as page:
        await signed_in(page, limited_server)
        for number in range(10):
            await show(page, f"agent/nobody-{number}")
            await show(page, "new")
        await page.sees(".toast.failed", "rate limit")
        await page.sees(".toast.failed", "Try again in")

        await page.sees(".connection", "Live")
        await show(page, "events")
        await page.sees(".feed")
