"""``python -m server`` as a process of its own, as an operator starts it: started, killed, stopped, started again.

with server_process(folder, SOCKET_AUTH="optional") as server:
    async with server.rest() as rest:
        await rest.post("/api/agents", {"id": "a", "name": "A", "agentType": "ECHO"})
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from aiohttp import ClientSession

from handlers.auth import Role, Tokens
from server.config import settings
from tests.support.tools import ROOT

SECRET = "a secret for server processes, of thirty-two bytes"
PRINTED_LAST = "API documents:"
PATIENCE_S = 30.0  # for a start or an end; both take about a second

DEFAULTS = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "JWT_SECRET": SECRET,
    "SAMPLE_AGENTS": "false",
    "RATE_LIMIT_MAX": "0",
    "SOCKET_MAX_PER_USER": "0",
    "SCHEDULER_BACKOFF_BASE": "20",
}
"""What tests want otherwise than operators."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any

    @property
    def data(self) -> Any:
        return self.body["data"]


class Rest:
    """The REST API of a server, with one user's token."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, path: str, json: Any = None) -> Reply:
        async with self._session.request(method, self._url + path, json=json) as answer:
            return Reply(answer.status, await answer.json())

    async def get(self, path: str) -> Reply:
        return await self.call("GET", path)

    async def post(self, path: str, json: Any = None) -> Reply:
        return await self.call("POST", path, json)

    async def agent(self, agent_id: str, agent_type: str, **fields: Any) -> None:
        """Make an agent, called ``Agent <its id>``."""
        made = await self.post(
            "/api/agents", {"id": agent_id, "name": f"Agent {agent_id}", "agentType": agent_type} | fields
        )
        assert made.status == 201, made.body

    async def run(self, agent_id: str, **context: Any) -> str:
        """Run an agent now; its session's id."""
        accepted = await self.post(f"/api/agents/{agent_id}/run", {"context": context})
        assert accepted.status == 202, accepted.body
        session_id: str = accepted.data["sessionId"]
        return session_id


class ServerProcess:
    """One server on one data folder. Its port is a free one, and the same again after a restart.

    ``start()`` and ``ended()`` wait: from a test that has a loop to keep turning, call them with ``to_thread``.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.data_dir = folder / "data"
        self.url = ""
        self._log = folder / "server.log"
        self._folder = folder
        self._variables = DEFAULTS | {"DATA_DIR": str(self.data_dir)} | variables
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it and those before it wrote to stderr."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and return when it listens. One that is still there is killed."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            process = self._process = self._popen(self._variables, log)
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith(PRINTED_LAST):
                break
        else:
            raise AssertionError(f"the server ended with {process.wait()}: {printed}{self.log}")
        address = re.search(r"http://localhost:(\d+)", printed)
        assert address is not None, printed
        self.url = f"http://127.0.0.1:{address[1]}"
        self._variables["PORT"] = address[1]

    def another(self, **variables: str) -> subprocess.Popen[str]:
        """Start one more with the same variables but for these, and return at once; its stderr is a pipe."""
        return self._popen(self._variables | variables, subprocess.PIPE)

    def kill(self) -> None:
        """SIGKILL, as a crash or a machine that runs out of memory."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, as an operator or a container's end."""
        self._signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def token(self, role: Role = Role.USER, *, user: str = "alice") -> str:
        return Tokens(SECRET).mint(user, role, timedelta(hours=1))

    @contextlib.asynccontextmanager
    async def rest(self) -> AsyncIterator[Rest]:
        async with ClientSession(headers={"Authorization": f"Bearer {self.token()}"}) as session:
            yield Rest(session, self.url)

    def _popen(self, variables: dict[str, str], stderr: int | IO[str]) -> subprocess.Popen[str]:
        """``python -m server`` with these variables and no other of the server's, where no ``.env`` is."""
        ours = {setting.name for setting, _ in settings()}
        environ = {name: value for name, value in os.environ.items() if name not in ours}
        return subprocess.Popen(
            [sys.executable, "-m", "server"],
            cwd=self._folder,
            env={**environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.contextmanager
def server_process(folder: Path, **variables: str) -> Iterator[ServerProcess]:
    """A server that runs, on a data folder in *folder*, until the end of the block."""
    server = ServerProcess(folder, variables)
    try:
        server.start()
        yield server
    finally:
        server.close()
