"""The load client, ``sioload.c``: built when it is needed, run on a processor of its own, and what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.realtime.peers import CLIENT_CPU, HERE, Peer, PeerFailed

SUBSCRIBE = '42["monitoring:subscribe","agents"]'
STAMP = '"message":"'
CONNECTED_WITHIN_S = 75.0
SETTLE_S = 1.5
"""The client counts from a second after all have connected: what is started then lies within what it counts."""
BUSY = 0.85


@dataclass(frozen=True)
class Seen:
    """While the client counted: stamped events that came, milliseconds of latency, connections compressed, closed."""

    events: int
    p50_ms: float
    p99_ms: float
    compressed: int
    closed: int


class LoadClients:
    """Sockets that have connected and subscribed; ``connect_s`` from the first attempt to the last CONNECT answered."""

    def __init__(self, process: asyncio.subprocess.Process, connect_s: float, counts_s: float) -> None:
        self.connect_s = connect_s
        self._process = process
        self._counts_s = counts_s

    async def seen(self) -> Seen:
        """Wait for the next slice of the time they count; after the last, for the whole of it."""
        told = await _line(self._process, self._counts_s + 30)
        if told["cpu"] > BUSY:
            print(f"  (the load client was busy for {told['cpu']:.0%} of the time: it may be the limit)", flush=True)
        late = told["lat_ms"]
        return Seen(late["n"], late["p50"], late["p99"], told["deflated"], told["closed"])


@contextlib.asynccontextmanager
async def load_clients(
    server: Peer, sockets: int, counts_s: float, *, stalled: int = 0, slices: int = 1
) -> AsyncIterator[LoadClients]:
    """*sockets* of them in one room, of which *stalled* never read again, until the block ends.

    Raises:
        PeerFailed: not all of them could connect.
    """
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", CLIENT_CPU, str(_built()), "127.0.0.1", str(server.port), str(sockets)),
        *(str(counts_s), server.connect, SUBSCRIBE),
        stdout=PIPE,
        env={**os.environ, "LATKEY": STAMP, "STALL": str(stalled), "SLICES": str(slices)},
    )
    try:
        told = await _line(process, CONNECTED_WITHIN_S)
        if told["connected"] != sockets:
            raise PeerFailed(f"only {told['connected']:,} of {sockets:,} sockets connected")
        yield LoadClients(process, told["connect_s"], counts_s)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """It ends by itself once it has counted, and is killed only where it does not: kill() may reap it first."""
    try:
        await asyncio.wait_for(process.wait(), 1)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, within_s: float) -> Any:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), within_s)
    except TimeoutError:
        raise PeerFailed(f"the load client said nothing for {within_s:g} s") from None
    if not line:
        raise PeerFailed("the load client gave up")
    return json.loads(line)


def _built() -> Path:
    """The client of this very source, wherever else one of another version is in use."""
    source = HERE / "sioload.c"
    built = (
        Path(tempfile.gettempdir()) / f"sioload-{os.getuid()}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    )
    if not built.exists():
        made = built.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-o", str(made), str(source), "-lz"], check=True)
        made.rename(built)
    return built
