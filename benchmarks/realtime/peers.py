"""Starts each server on a processor of its own, and reads what it costs: ours, Node's, and stock python-socketio."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from handlers.auth import Role, Tokens

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SERVER_CPU, CLIENT_CPU = "0", "1"
SECRET = "a secret for measurements only, of no use elsewhere"
RECOVERY_MS = "120000"
"""Node's server recovers connections too, as long as ours by default: it is what we are compared with."""
READY_S = 30.0
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_FILES = 65_536


class PeerFailed(Exception):
    """A server did not do what was to be measured; the message says what."""


@dataclass(frozen=True)
class Peer:
    """A server that runs: ``connect`` is the body of its clients' CONNECT packet."""

    name: str
    port: int
    pid: int
    connect: str

    def cpu_s(self) -> float:
        """Processor seconds since its start, of all its threads, those that have ended too; to the nanosecond."""
        return time.clock_gettime(~self.pid << 3 | 2)  # Linux: the clock of a process, clock_getcpuclockid(3)

    def rss(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def stream(self, source: str, rate: float, seconds: float) -> None:
        """Have it run the agent that streams *rate* lines a second."""
        context = {"rate": rate, "seconds": seconds}
        if self.name != "ours":
            call("POST", f"http://127.0.0.1:{self.port}/run", context)
            return
        api, headers = f"http://127.0.0.1:{self.port}/api/agents", {"Authorization": f"Bearer {token()}"}
        with contextlib.suppress(urllib.error.HTTPError):  # it is there from an earlier stream
            agent = {"id": "bench", "name": "Bench", "agentType": "BENCH", "configuration": {"url": source}}
            call("POST", api, agent, headers)
        call("POST", f"{api}/bench/run", {"context": context}, headers)


def token() -> str:
    return Tokens(SECRET).mint("bench", Role.ADMIN, timedelta(days=1))


def call(method: str, url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def peer(name: str, source: str, **environ: str) -> Iterator[Peer]:
    """The server called *name*, until the block ends.

    Raises:
        PeerFailed: it did not start.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            "PORT": str(port),
            "DATA_DIR": folder,
            "JWT_SECRET": SECRET,
            "SAMPLE_AGENTS": "false",
            "RATE_LIMIT_MAX": "0",
            "SOCKET_MAX_PER_USER": "0",
            "LOG_LEVEL": "error",
        }
        commands = {
            "ours": [sys.executable, "-m", "server"],
            "node": [shutil.which("node") or "node", str(HERE / "node_peer.mjs"), str(port), source, RECOVERY_MS],
            "stock": [sys.executable, "-m", "benchmarks.realtime.stock_peer", str(port), source],
        }
        with process(commands[name], SERVER_CPU, {**ours, **environ}) as running:
            wait_for(port, running)
            yield Peer(name, port, running.pid, json.dumps({"token": token()}) if name == "ours" else "")


@contextlib.contextmanager
def source_agent() -> Iterator[str]:
    """The agent that streams; its URL."""
    port = free_port()
    with process([sys.executable, "-m", "benchmarks.realtime.source", str(port)], CLIENT_CPU, {}) as running:
        wait_for(port, running)
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def process(command: list[str], cpu: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process pinned to one processor, with files enough for all sockets; it ends with the block."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    running = subprocess.Popen(
        ["taskset", "-c", cpu, *command], cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if running.poll() is not None:
            raise PeerFailed(f"it ended with {running.returncode} before it listened")
        time.sleep(0.05)
    raise PeerFailed(f"it did not listen within {READY_S:g} s")
