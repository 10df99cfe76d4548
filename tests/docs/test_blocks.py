"""Every shell and JavaScript block of the README and of the tour is run, in its order, against a live server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.runners.modules import runners_from_modules
from tests.support.documents import DOCS, OPERATIONS, README, TOUR, Block, blocks
from tests.support.server_process import SECRET, ServerProcess, server_process
from tests.support.tools import JS_TESTS, ROOT, node

PATIENCE_S = 60.0
DONE = "== done with the block =="


class Reader:
    """Somebody who follows a page: one shell for all of its blocks, and Node.js for its JavaScript."""

    def __init__(self, shell: asyncio.subprocess.Process, server: ServerProcess, folder: Path) -> None:
        self._shell = shell
        self._server = server
        self._folder = folder
        self._agent_port = free_port()

    async def shell(self, text: str) -> list[Any]:
        """Paste it into the shell; the JSON answers it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{self._here(text)}\necho; echo '{DONE}'\n".encode())
        printed = b""
        async with asyncio.timeout(PATIENCE_S):
            while not printed.endswith(f"{DONE}\n".encode()):
                line = await self._shell.stdout.readline()
                assert line, f"the shell ended in\n{text}\nafter\n{printed.decode()}"
                printed += line
        return _answers(printed.decode().removesuffix(f"{DONE}\n"))

    @contextlib.asynccontextmanager
    async def javascript(self, block: Block) -> AsyncIterator[asyncio.subprocess.Process]:
        """Save it and run it, as a reader does who has `socket.io-client` from npm."""
        with contextlib.suppress(FileExistsError):
            (self._folder / "node_modules").symlink_to(JS_TESTS / "node_modules")
        path = self._folder / f"block_{block.line}.mjs"
        path.write_text(self._here(block.text))
        environ = {**os.environ, "TOKEN": self._server.token()}
        program = node() or "node"
        process = await asyncio.create_subprocess_exec(program, str(path), env=environ, stdout=PIPE, stderr=STDOUT)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    def _here(self, text: str) -> str:
        """The addresses of the page are those of this server, so that tests can run beside one another."""
        here = {
            "http://localhost:5000": self._server.url,
            "7000": str(self._agent_port),
            ".venv/bin/python": sys.executable,
            "/tmp/agent.py": str(self._folder / "agent.py"),
        }
        for told, found in here.items():
            text = text.replace(told, found)
        return text


@contextlib.asynccontextmanager
async def reader(server: ServerProcess, folder: Path) -> AsyncIterator[Reader]:
    """A reader in a folder of their own, with the server's secret at hand; at the end all they started is ended."""
    environ = {**os.environ, "JWT_SECRET": SECRET, "PYTHONPATH": str(ROOT)}
    errors = (folder / "stderr.log").open("wb")  # where curl complains, and the README's agent tells of its requests
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-O", "expand_aliases",
        cwd=folder, env=environ, stdin=PIPE, stdout=PIPE, stderr=errors, limit=1 << 24, start_new_session=True,
    )  # fmt: skip
    try:
        yield Reader(shell, server, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        await shell.communicate()
        errors.close()


async def line_of(process: asyncio.subprocess.Process, holding: str) -> str:
    """The next line it prints that holds this."""
    assert process.stdout is not None
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while line := (await process.stdout.readline()).decode():
            seen.append(line)
            if holding in line:
                return line
    raise AssertionError(f"it ended without {holding!r}: {seen}")


@pytest.mark.node
async def test_the_readme_works_from_top_to_bottom(tmp_path: Path) -> None:
    (python,) = blocks(README, "python")
    (javascript,) = blocks(README, "javascript")
    commands, *shell = blocks(README, "sh")
    assert commands.text.startswith("make run")
    (tmp_path / "my_agents.py").write_text(python.text)

    with server_process(tmp_path, AGENT_MODULES="my_agents") as server:
        async with reader(server, tmp_path) as someone:
            answers = [answer for block in shell for answer in await someone.shell(block.text)]
            assert len(answers) >= 6
            async with someone.javascript(javascript) as process:
                await line_of(process, "connected")
                await line_of(process, "as it is now:")
                async with server.rest() as rest:
                    await rest.post("/api/agents/writer/run")  # 409 where the run of the last block still goes on
                await line_of(process, "agent:completed")

            async with server.rest() as rest:
                await rest.agent("crm", "CRM_SYNC")
                await rest.run("crm")
            answers = await someone.shell("until api $API/agents/crm/sessions | grep contacts; do sleep 0.1; done")
            assert answers[0]["data"]["sessions"][0]["outputSummary"] == "Synchronised 42 contacts"


@pytest.mark.node
async def test_the_tour_works_from_top_to_bottom(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        async with reader(server, tmp_path) as someone:
            answers: list[Any] = []
            page = blocks(TOUR, "sh", "javascript")
            for at, block in enumerate(page):
                if block.language == "javascript":
                    async with someone.javascript(block) as process:
                        await line_of(process, "Survey of this machine")
                        answers += await someone.shell(page[at + 1].text)
                        await line_of(process, " took ")
                        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
                elif page[at - 1].language != "javascript":
                    answers += await someone.shell(block.text)

    assert len(answers) > 12
    said = json.dumps(answers)
    assert "every weekday at 08:30, Europe/Berlin" in said
    assert "It is paused" in said
    assert "connection refused; nothing listens there" in said


def test_what_the_page_about_runners_registers_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (python,) = blocks(DOCS / "runners.md", "python")
    (tmp_path / "agents_of_the_page.py").write_text(python.text)
    monkeypatch.syspath_prepend(tmp_path)

    assert runners_from_modules(["agents_of_the_page"], []).keys() == {"CRM_SYNC", "CRM_REPORT"}


async def test_the_backup_that_operations_describe_can_be_restored(tmp_path: Path) -> None:
    (backup,) = blocks(OPERATIONS, "sh")
    with server_process(tmp_path) as server:
        async with server.rest() as rest, reader(server, tmp_path) as someone:
            await rest.agent("kept", "SYSTEM_SURVEY")
            await someone.shell(backup.text)  # while the server runs
            await rest.agent("later", "SYSTEM_SURVEY")
        server.terminate()
        assert await asyncio.to_thread(server.ended) == 0

        for name in ("scheduler.db-wal", "scheduler.db-shm"):
            (server.data_dir / name).unlink(missing_ok=True)
        shutil.copy(tmp_path / "backup.db", server.data_dir / "scheduler.db")
        await asyncio.to_thread(server.start)
        async with server.rest() as rest:
            assert [agent["id"] for agent in (await rest.get("/api/agents")).data] == ["kept"]
    with contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _answers(printed: str) -> list[Any]:
    """The JSON objects in what curl printed, each of which has to tell a success."""
    decoder = json.JSONDecoder()
    answers, rest = [], printed.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        assert answer["success"] is True, answer
        answers.append(answer)
        rest = rest[end:].strip()
    return answers
