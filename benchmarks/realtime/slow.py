"""A thousand clients that never read: what they cost the server, and what the others notice of them.

``python -m benchmarks.realtime.slow [seconds]``
"""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.realtime.loadclient import SETTLE_S, Seen, load_clients
from benchmarks.realtime.peers import PAGE, Peer, peer, source_agent

READING, MORE, RATE = 100, 1000, 200.0
SLICES = 10
MIB = 1 << 20


@dataclass(frozen=True)
class Look:
    """One moment: the server's resident memory, the kernel's for TCP (both ends' buffers), the sockets open."""

    rss: int
    kernel: int
    sockets: int


@dataclass(frozen=True)
class Watched:
    """The server before the stream and after each slice of it, and what the readers saw in each and in all."""

    looks: list[Look]
    slices: list[Seen]
    total: Seen
    cpu_share: float


def _look(server: Peer) -> Look:
    told = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10).read().decode()
    sockets = next(line.split()[1] for line in told.splitlines() if line.startswith("neonhub_sockets "))
    tcp = next(line.split() for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return Look(server.rss(), int(tcp[tcp.index("mem") + 1]) * PAGE, int(float(sockets)))


async def watch(server: Peer, source: str, *, more: int, stalled: int, seconds: float) -> Watched:
    """``READING`` clients that read and *more* others, of which *stalled* never do."""
    async with load_clients(server, READING + more, seconds, stalled=stalled, slices=SLICES) as clients:
        await asyncio.sleep(1)
        looks, cpu, slices = [await asyncio.to_thread(_look, server)], server.cpu_s(), []
        await asyncio.to_thread(server.stream, source, RATE, seconds + SETTLE_S)
        for _ in range(SLICES):
            slices.append(await clients.seen())
            looks.append(await asyncio.to_thread(_look, server))
        cpu = server.cpu_s() - cpu
        return Watched(looks, slices, await clients.seen(), cpu / seconds)


def table(alone: Watched, among: Watched, crowd: Watched, seconds: float) -> Iterator[str]:
    """A row a slice, then the whole."""
    yield f"{RATE:g} events/s for {seconds:g} s to {READING} clients that read: beside {MORE:,} that do not, alone, and"
    yield f"beside {MORE:,} that read too. Memory is that of the first; the kernel's, of both ends."
    yield ""
    yield "| seconds | sockets open | server's memory | kernel's | p50, p99 beside stalled | alone | beside readers |"
    yield "|---|---|---|---|---|---|---|"
    for number, look in enumerate(among.looks):
        cells = [
            *(f"{seconds / SLICES * number:g}", f"{look.sockets:,}"),
            *(f"{look.rss // MIB} MiB", f"{look.kernel // MIB} MiB"),
        ]
        cells += [_latency(watched.slices[number - 1]) if number else "" for watched in (among, alone, crowd)]
        yield f"| {' | '.join(cells)} |"
    totals = [_latency(watched.total) for watched in (among, alone, crowd)]
    yield f"| all | {_cut(among)} cut | {_grown(among)} | | {' | '.join(totals)} |"
    shares = [f"{watched.cpu_share:.0%}" for watched in (among, alone, crowd)]
    yield f"| server's CPU | | | | {' | '.join(shares)} |"


def _latency(seen: Seen) -> str:
    return f"{seen.p50_ms:.1f}, {seen.p99_ms:.1f} ms"


def _cut(watched: Watched) -> str:
    return f"{watched.looks[0].sockets - watched.looks[-1].sockets:,}"


def _grown(watched: Watched) -> str:
    return f"+{(max(look.rss for look in watched.looks) - watched.looks[0].rss) // MIB} MiB at most"


async def main(seconds: float) -> list[str]:
    """As lines of Markdown."""
    watched = []
    with source_agent() as source:
        for words, more, stalled in (("alone", 0, 0), ("that never read", MORE, MORE), ("that read too", MORE, 0)):
            with peer("ours", source) as server:
                watched.append(await watch(server, source, more=more, stalled=stalled, seconds=seconds))
            print(f"  beside {more:,} {words}: {_latency(watched[-1].total)}", flush=True)
    lines = list(table(watched[0], watched[1], watched[2], seconds))
    print("\n".join(lines), flush=True)
    return lines


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
