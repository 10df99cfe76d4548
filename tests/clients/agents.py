"""What runs in these tests: the server finds it through AGENT_MODULES."""

from __future__ import annotations

from scheduler.runners import Run, agent


@agent("TALKATIVE")
async def talk(run: Run) -> str:
    await run.progress(50, "half", step=1, of=2)
    await run.log("info", "half way")
    await run.progress(100, "all", step=2, of=2)
    run.metrics["words"] = 2
    return f"hello {run.context['name']}"


@agent("CLUMSY")
async def fail(run: Run) -> str:
    await run.log("error", "it slips")
    raise RuntimeError("it broke")
