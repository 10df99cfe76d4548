"""Every file in ``examples/`` is run, as its comment says, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.support.chromium_page import Site, chromium_on, site
from tests.support.server_process import ServerProcess, server_process
from tests.support.tools import ROOT, node

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = ROOT / "examples"
PATIENCE_S = 30.0
IN_ITS_COMMENT = "http://localhost:5000"
TELLS_WHAT_IT_SHOWS = """
<script>
  new MutationObserver(() => fetch("/report", { method: "POST", body: JSON.stringify(document.body.innerText) }))
    .observe(document.body, { childList: true, characterData: true, subtree: true });
</script>"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that knows the examples' agents."""
    variables = {"AGENT_MODULES": "examples.word_count", "COMMANDS_FILE": str(EXAMPLES / "commands.json")}
    with server_process(tmp_path_factory.mktemp("server"), **variables) as server:
        yield server


@contextlib.asynccontextmanager
async def started(*command: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the examples as a process, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def printed(process: asyncio.subprocess.Process, end: str) -> list[str]:
    """Its lines up to one that ends so."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while line := (await process.stdout.readline()).decode().rstrip():
            lines.append(line)
            if line.endswith(end):
                return lines
    raise AssertionError(f"it ended without {end!r}: {lines}")


async def ended(server: ServerProcess, agent_id: str) -> dict[str, Any]:
    """Run an agent; its session when it has ended, with the log."""
    async with server.rest() as rest, socketio.AsyncSimpleClient() as client:
        await client.connect(server.url, auth={"token": server.token()})
        await client.call("agent:subscribe", agent_id)
        session_id = await rest.run(agent_id)
        while (await client.receive(timeout=PATIENCE_S))[0] not in ("agent:completed", "agent:failed"):
            pass
        session: dict[str, Any] = (await rest.get(f"/api/agents/{agent_id}/sessions/{session_id}")).data
        return session


@pytest.mark.node
async def test_the_link_checker_streams_what_it_finds(server: ServerProcess) -> None:
    program = node()
    assert program is not None
    links = [f"{server.url}/health", f"{server.url}/nowhere", "http://127.0.0.1:1/"]
    async with started(program, "examples/link_checker.mjs", PORT="0") as process, server.rest() as rest:
        url = (await printed(process, "/"))[-1].rpartition(" ")[2]
        await rest.agent("links", "LINK_CHECKER", configuration={"url": url, "links": links})

        session = await ended(server, "links")

    assert session["outputSummary"] == "3 links checked, 2 broken"
    assert session["progress"] == {"progress": 100, "message": links[2], "currentStep": 3, "totalSteps": 3}
    logged = [(line["level"], line["message"].split(" ")[0]) for line in session["logs"]]
    assert logged == [("warning", links[1]), ("warning", links[2])]


@pytest.mark.parametrize(("agent_type", "unit"), [("WORD_COUNT", "words"), ("LINE_COUNT", "lines")])
async def test_the_python_agents_count(server: ServerProcess, tmp_path: Path, agent_type: str, unit: str) -> None:
    (tmp_path / "one.md").write_text("to be\nor not")
    (tmp_path / "two.md").write_text("to be")
    async with server.rest() as rest:
        await rest.agent(unit, agent_type, configuration={"folder": str(tmp_path)})

        session = await ended(server, unit)

    assert session["outputSummary"].startswith("6 words in 2 texts" if unit == "words" else "3 lines")


async def test_the_python_agent_fails_with_a_reason(server: ServerProcess, tmp_path: Path) -> None:
    async with server.rest() as rest:
        await rest.agent("nothing", "WORD_COUNT", configuration={"folder": str(tmp_path)})

        session = await ended(server, "nothing")

    assert session["errorMessage"] == f"There are no texts in {tmp_path}"


async def test_the_command_reports_folder_by_folder(server: ServerProcess) -> None:
    async with server.rest() as rest:
        await rest.agent("disk", "DISK_REPORT", configuration={"command": "disk-report"})

        session = await ended(server, "disk")

    folders = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    assert session["outputSummary"].startswith(f"{len(folders)} folders, ")
    assert session["progress"]["progress"] == 100
    assert sorted(line["message"].partition("/")[0] for line in session["logs"]) == folders


async def test_the_subscriber_prints_what_happens(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("to be")
    variables = {"SERVER": server.url, "TOKEN": server.token()}
    async with (
        server.rest() as rest,
        started(sys.executable, "examples/subscriber.py", "heard", **variables) as process,
    ):
        await rest.agent("heard", "WORD_COUNT", configuration={"folder": str(tmp_path)})
        await printed(process, "following heard")
        await rest.run("heard")
        succeeded = await printed(process, "agent:completed")
        (tmp_path / "one.md").unlink()
        await rest.run("heard")
        failed = await printed(process, f"There are no texts in {tmp_path}")

    assert succeeded == [
        "heard: agent:started",
        "heard: 100 % one.md",
        "heard: agent:log",
        "heard: agent:completed",
    ]
    assert failed == ["heard: agent:started", f"heard failed: There are no texts in {tmp_path}"]


@pytest.mark.curl
async def test_the_tour_with_curl_goes_from_end_to_end(server: ServerProcess) -> None:
    async with started("sh", "examples/tour.sh", SERVER=server.url, TOKEN=server.token()) as process:
        async with asyncio.timeout(PATIENCE_S):
            out = (await process.communicate())[0].decode()
        async with server.rest() as rest:
            left = [agent["id"] for agent in (await rest.get("/api/agents?limit=100")).data]

    assert process.returncode == 0, out
    assert '"success": false' not in out
    assert not [agent for agent in left if agent.startswith("tour-")]


@pytest.mark.browser
async def test_the_dashboard_shows_runs_as_they_happen(tmp_path: Path) -> None:
    page = (EXAMPLES / "dashboard.html").read_text()
    (tmp_path / "one.md").write_text("to be")
    async with site("") as own:
        variables = {"CORS_ORIGIN": own.origin, "AGENT_MODULES": "examples.word_count"}
        with server_process(tmp_path / "server", **variables) as server:
            own.page = page.replace(IN_ITS_COMMENT, server.url) + TELLS_WHAT_IT_SHOWS
            async with (
                server.rest() as rest,
                chromium_on(f"{own.origin}/#token={server.token()}", tmp_path / "profile"),
            ):
                await rest.agent("shown", "WORD_COUNT", configuration={"folder": str(tmp_path)})
                await shows(own, "0 of 5 running")
                await rest.run("shown")
                await shows(own, "shown\tdone in")


async def shows(page: Site, text: str) -> None:
    """Wait until the page shows *text*."""
    async with asyncio.timeout(PATIENCE_S):
        while text not in await page.report():
            pass
