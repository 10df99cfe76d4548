"""Starts each server on a processor of its own, and reads what it costs: ours, Node's, and stock python-socketio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
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
READY_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Peer:
    """A server that runs: ``connect`` is the body of its clients' CONNECT packet."""

    name: str
    port: int
    pid: int
    connect: str

    def cpu_s(self) -> float:
        """Processor seconds since its start, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

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
    """The server called *name*, until the block ends."""
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
            "node": [shutil.which("node") or "node", str(HERE / "node_peer.mjs"), str(port), source],
            "stock": [sys.executable, "-m", "benchmarks.realtime.stock_peer", str(port), source],
        }
        if name == "node" and "recovery_ms" in environ:
            commands["node"].append(environ.pop("recovery_ms"))
        with process(commands[name], SERVER_CPU, {**ours, **environ}) as pid:
            wait_for(port)
            yield Peer(name, port, pid, json.dumps({"token": token()}) if name == "ours" else "")


@contextlib.contextmanager
def source_agent() -> Iterator[str]:
    """The agent that streams; its URL."""
    port = free_port()
    with process([sys.executable, "-m", "benchmarks.realtime.source", str(port)], CLIENT_CPU, {}):
        wait_for(port)
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def process(command: list[str], cpu: str, environ: dict[str, str]) -> Iterator[int]:
    """A process pinned to one processor, ended by pid."""
    running = subprocess.Popen(
        ["taskset", "-c", cpu, *command], cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.DEVNULL
    )
    try:
        yield running.pid
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(port: int) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def load_client() -> Path:
    """The load client, built once from its C source (needs a C compiler)."""
    built = Path(tempfile.gettempdir()) / f"sioload-{os.getuid()}"
    source = HERE / "sioload.c"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-o", str(built), str(source), "-lz"], check=True)
    return built


@dataclass(frozen=True)
class Load:
    """What the clients saw: events in the window, milliseconds of latency, seconds to connect them all."""

    deliveries: int
    p50_ms: float
    p99_ms: float
    connect_s: float
    cpu_us: float
    rss: int
    idle_rss: int


async def load(peer: Peer, source: str, *, sockets: int, rate: float, seconds: float) -> Load:
    """*sockets* clients in one room while the agent streams; what that cost the server.

    The stream lies within the clients' window, so all that was delivered and all that was spent on it is counted.
    """
    idle_rss = peer.rss()
    environ = {**os.environ, "LATKEY": '"message":"'}
    clients = await asyncio.create_subprocess_exec(
        *("taskset", "-c", CLIENT_CPU, str(load_client()), "127.0.0.1", str(peer.port), str(sockets)),
        *(str(seconds + 3), peer.connect, '42["monitoring:subscribe","agents"]'),
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert clients.stdout is not None
    connected = json.loads(await clients.stdout.readline())
    if connected["connected"] != sockets:
        raise RuntimeError(f"{peer.name}: only {connected['connected']} of {sockets} sockets connected")
    await asyncio.sleep(1.5)
    rss, cpu = peer.rss(), peer.cpu_s()
    await asyncio.to_thread(peer.stream, source, rate, seconds)
    await asyncio.sleep(seconds + 1)
    cpu = peer.cpu_s() - cpu
    seen = json.loads(await clients.stdout.readline())
    await clients.wait()
    events = seen["events"]
    expected = round(rate * seconds) * sockets
    if events < expected:
        print(f"  {peer.name}: {events} of {expected} deliveries arrived within the window")
    return Load(
        deliveries=events,
        p50_ms=seen["lat_ms"]["p50"],
        p99_ms=seen["lat_ms"]["p99"],
        connect_s=connected["connect_s"],
        cpu_us=cpu / max(events, 1) * 1e6,
        rss=rss,
        idle_rss=idle_rss,
    )
