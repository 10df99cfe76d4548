"""An operator's day on the page: create, schedule, watch, pause, stop, and see why something failed."""

from __future__ import annotations

import pytest

from tests.browser.conftest import show, signed_in
from tests.support.browser import Page
from tests.support.http_agent import HttpAgent
from tests.support.server_process import Rest, ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

DAILY = "0 9 * * *"


async def an_agent(rest: Rest, agent: HttpAgent, agent_id: str, schedule: str | None = None) -> str:
    """Make an agent that runs as the test says; the selector of its row."""
    await rest.agent(agent_id, "HTTP_AGENT", configuration={"url": agent.url})
    if schedule:
        saved = await rest.post(f"/api/agents/{agent_id}/schedule", {"cronExpression": schedule})
        assert saved.status == 200, saved.body
    return f'.row:has(a[href="#/agent/{agent_id}"])'


async def test_an_agent_is_created_from_the_form_and_scheduled(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await signed_in(page, server)
    await page.click("text=New agent")
    await page.fill('[name="name"]', "Nightly report")
    await page.fill('[name="id"]', "nightly")
    await page.click('input[value="http"]')
    await page.fill('[name="configuration.url"]', agent.url)
    await page.click("text=Run it on a schedule")
    await page.fill('[name="cronExpression"]', "30 4 * * MON-FRI")
    await page.fill('[name="timezone"]', "Europe/Berlin")
    await page.sees(".preview-words", "Every weekday at 04:30, Europe/Berlin")
    await page.click("text=Create agent")

    await page.sees("h1", "Nightly report")
    await page.sees(".schedule-words", "every weekday at 04:30, Europe/Berlin")
    made = (await rest.get("/api/agents/nightly")).data
    assert (made["agentType"], made["scheduleExpression"]) == ("HTTP_AGENT", "30 4 * * MON-FRI")


async def test_what_the_server_refuses_stands_beside_its_field(page: Page, server: ServerProcess, rest: Rest) -> None:
    page.forgive("400")
    await signed_in(page, server)
    await show(page, "new")
    await page.fill('[name="name"]', "No endpoint")
    await page.click('input[value="http"]')
    await page.fill('[name="configuration.url"]', "ftp://example.org")
    await page.click("text=Create agent")

    await page.sees('[name="configuration.url"][aria-invalid="true"]')
    await page.sees(".field-error", "http")


async def test_a_run_is_watched_from_its_start_to_its_end(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    row = await an_agent(rest, agent, "watched")
    await signed_in(page, server)
    await page.click(f'{row} button[aria-label="Run Agent watched now"]')
    call = await agent.called()
    await call.say(progress=40, message="Reading mail", currentStep=2, totalSteps=5)

    await page.sees(f"{row} .badge", "40 %")
    await page.sees(f"{row} .c-state", "2/5 Reading mail")

    await call.end(result="12 mails read")

    await page.sees(f"{row} .badge", "Completed")
    await page.sees(f"{row} .c-runs", "completed")
    assert "1 completed" in (await page.attribute(f"{row} .strip", "aria-label") or "")


async def test_a_session_shows_its_log_live_and_its_result_at_the_end(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await an_agent(rest, agent, "logged")
    session_id = await rest.run("logged", topic="mail")
    call = await agent.called()
    await call.say(log={"level": "info", "message": "before the page was open"})
    await signed_in(page, server)
    await show(page, f"agent/logged/{session_id}")
    await page.sees(".log .text", "before the page was open")

    await call.say(log={"level": "warning", "message": "while it is watched"})

    await page.sees(".log .line.warning .text", "while it is watched")
    await page.sees(".session .badge", "running")

    await call.end(result="All done here")

    await page.sees(".session .block", "All done here")
    await page.sees(".session .badge", "completed")
    await page.sees(".session .block", '"topic": "mail"')
    assert await page.count(".log .line") == 2


async def test_a_failure_says_why_and_what_follows(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    row = await an_agent(rest, agent, "failing")
    await rest.run("failing")
    await signed_in(page, server)
    for _ in range(2):  # the run and its one retry
        await (await agent.called()).end(error="The mailbox is locked")

    await page.sees(f"{row} .badge", "Failed")
    await page.sees(f"{row} .c-state", "The mailbox is locked")
    await page.click(f"{row} .agent-name")

    await page.sees(".why [data-code=failed]", "The mailbox is locked")
    await page.sees(".sessions tbody .badge[data-state=failed]")
    assert await page.count(".sessions tbody tr") == 2


async def test_pause_and_resume_are_confirmed_by_the_server(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    row = await an_agent(rest, agent, "pausing", DAILY)
    await signed_in(page, server)
    await page.click(f'{row} button[aria-label="Pause Agent pausing"]')

    await page.sees(".toast", "Job pausing paused successfully")
    await page.sees(f"{row} .badge", "Paused")
    await page.sees(f"{row} .countdown", "paused")

    await page.click(f'{row} button[aria-label="Resume Agent pausing"]')

    await page.sees(".toast", "Job pausing resumed successfully")
    await page.sees(f"{row} .badge", "Idle")
    await page.sees(f"{row} .countdown", "in ")


async def test_a_run_is_stopped(page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent) -> None:
    await an_agent(rest, agent, "stopping")
    await rest.run("stopping")
    await agent.called()
    await signed_in(page, server)
    await show(page, "agent/stopping")
    await page.click(".agent-head .danger", "Stop")

    await page.sees(".sessions tbody .badge", "stopped")
    await page.sees(".title .badge", "Idle")
    await page.sees(".agent-head button", "Run now")


async def test_what_the_state_forbids_is_said_in_the_servers_words(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    page.forgive("409")
    await an_agent(rest, agent, "raced", DAILY)
    await signed_in(page, server)
    await show(page, "agent/raced")
    await page.sees("h1", "Agent raced")
    await rest.run("raced")
    call = await agent.called()
    await page.sees(".title .badge", "Running")

    await page.evaluate(
        "() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'Run now').click()"
    )

    await page.sees(".toast.failed", "already running")
    await call.end(result="")


async def test_a_schedule_is_edited_with_its_meaning_in_sight(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    page.forgive("400")
    await an_agent(rest, agent, "edited", DAILY)
    await signed_in(page, server)
    await show(page, "agent/edited")
    await page.click("text=Edit schedule")
    await page.sees(".preview-words", "Every day at 09:00, UTC")
    await page.fill('[name="cronExpression"]', "0 9 * *")
    await page.sees(".preview", "4 so far")
    await page.fill('[name="cronExpression"]', "0 0 30 2 *")
    await page.sees(".preview .field-error", "never")
    await page.sees('[name="cronExpression"][aria-invalid="true"]')
    await page.fill('[name="cronExpression"]', "every 45 minutes")
    await page.sees(".preview-words", "Every 45 minutes")
    assert await page.count(".fires tbody tr") == 5
    await page.choose('[name="overlap"]', "QUEUE")
    await page.click("text=Save schedule")

    await page.sees(".toast", "The schedule is saved.")
    await page.sees(".schedule-words", "every 45 minutes")
    saved = (await rest.get("/api/agents/edited/schedule")).data
    assert (saved["scheduleExpression"], saved["scheduleOverlap"]) == ("every 45 minutes", "QUEUE")


async def test_a_schedule_is_removed_after_a_question(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    await an_agent(rest, agent, "bare", DAILY)
    await signed_in(page, server)
    await show(page, "agent/bare")
    await page.click(".schedule button", "Remove schedule")
    await page.click("dialog button", "Cancel")
    assert (await rest.get("/api/agents/bare")).data["scheduleExpression"] == DAILY

    await page.click(".schedule button", "Remove schedule")
    await page.click("dialog .danger", "Remove schedule")

    await page.sees(".toast", "Agent unscheduled successfully")
    await page.sees(".schedule-words", "No schedule")


async def test_an_agent_is_deleted_after_a_question(
    page: Page, server: ServerProcess, rest: Rest, agent: HttpAgent
) -> None:
    row = await an_agent(rest, agent, "gone")
    await signed_in(page, server)
    await show(page, "agent/gone")
    await page.click("summary", "Configuration")
    await page.sees(".about pre", agent.url)
    await page.click(".about .danger")
    await page.click("dialog .danger", "Delete agent")

    await page.sees(".toast", "Agent deleted successfully")
    await page.sees(".toolbar")
    await page.misses(row)
