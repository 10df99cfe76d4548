"""What is secret in an agent's configuration reaches its runner, and nothing that is kept, told or logged."""

from __future__ import annotations

import json

import pytest

from scheduler.events import AgentCompleted, AgentFailed, AgentLog, AgentProgress
from scheduler.runners.base import Run
from store.records import JSON
from tests.support.stack import Stack

SECRET = "sk-SECRETVALUE123"
CONFIGURATION: dict[str, JSON] = {"apiKey": SECRET, "topic": "cats"}


async def test_a_result_a_log_and_metrics_show_the_mask(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[JSON] = []

    async def tell_all(run: Run) -> JSON:
        seen.append(run.configuration["apiKey"])
        await run.progress(50, f"using {SECRET}")
        await run.log("info", json.dumps(run.configuration))
        run.metrics["used"] = [SECRET]
        return run.configuration

    stack.runners.behaviours["TELLS"] = tell_all
    await stack.agent("a", "TELLS", configuration=CONFIGURATION)
    await stack.run()

    (session,) = await stack.history()
    kept = f"{session} {await stack.logs(session.id)}"
    told = f"{stack.told(AgentProgress)} {stack.told(AgentLog)} {stack.told(AgentCompleted)}"
    assert seen == [SECRET]
    assert SECRET not in kept + told + caplog.text
    assert session.output_summary == '{"apiKey": "***", "topic": "cats"}'
    assert session.metrics == {"used": ["***"]}


async def test_an_error_shows_the_mask(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(run: Run) -> JSON:
        raise ValueError(f"bad {run.configuration}")

    stack.runners.behaviours["FAILS"] = fail
    await stack.agent("a", "FAILS", configuration=CONFIGURATION)
    await stack.run()

    (session,) = await stack.history()
    (told,) = stack.told(AgentFailed)
    assert session.error_message == told.error == "bad {'apiKey': '***', 'topic': 'cats'}"
    assert SECRET not in caplog.text
    assert SECRET not in str((await stack.get()).last_error)
