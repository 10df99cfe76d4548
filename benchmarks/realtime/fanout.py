"""Fan-out beside its peers: CPU per delivery, latency, memory of an idle socket and time to connect; medians of rounds.

``python -m benchmarks.realtime.fanout [rounds]``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from benchmarks.realtime.figures import IDLE, LOADED, PEERS, Figures, Found, Scene
from benchmarks.realtime.loadclient import SETTLE_S, load_clients
from benchmarks.realtime.peers import Peer, PeerFailed, peer, source_agent
from benchmarks.realtime.verdict import report

T = TypeVar("T")

WARM_UP_SOCKETS, WARM_UP_S = 50, 0.5


async def measure(rounds: int, scenes: Sequence[Scene] = (*LOADED, IDLE)) -> Found:
    """Every scene with every server in turn, *rounds* times over; a server that fails is no reason to stop."""
    found = Found()
    with source_agent() as source:
        for number in range(rounds):
            for scene in scenes:
                for name in _rotated(PEERS, number):
                    print(f"  round {number + 1}, {scene.name}, {name}: ", end="", flush=True)
                    try:
                        figures = await _play(scene, name, source)
                    except Exception as error:  # noqa: BLE001 - whatever ails a server, the others are measured
                        found.failures[scene, name] = f"{error}" or type(error).__name__
                        print(f"failed: {error!r}", flush=True)
                    else:
                        found.figures[scene, name].append(figures)
                        print(_in_words(scene, figures), flush=True)
    return found


def _rotated(names: Sequence[T], by: int) -> Iterable[T]:
    """None is always the first, and none always behind the same other one."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def _in_words(scene: Scene, figures: Figures) -> str:
    if scene.rate:
        return f"{figures.cpu_us:.1f} µs, p99 {figures.p99_ms:.1f} ms, {figures.arrived:.0%} arrived"
    return f"{figures.socket_kib:.1f} KiB a socket, connected in {figures.connect_s:.2f} s"


async def _play(scene: Scene, name: str, source: str) -> Figures:
    with peer(name, source) as server:
        await _warm_up(server, source)
        return await _load(server, source, scene)


async def _warm_up(server: Peer, source: str) -> None:
    """Imports, arenas and hot code are paid for once, before anything is measured."""
    async with load_clients(server, WARM_UP_SOCKETS, WARM_UP_S + 2) as clients:
        await asyncio.sleep(SETTLE_S)
        await asyncio.to_thread(server.stream, source, 50, WARM_UP_S)
        if (await clients.seen()).events == 0:
            raise PeerFailed("no event arrived")
    await asyncio.sleep(0.5)  # it sees them leave


async def _load(server: Peer, source: str, scene: Scene) -> Figures:
    """All that the scene's clients are sent while they count, and all that was spent until they stop counting."""
    rss = server.rss()
    async with load_clients(server, scene.sockets, SETTLE_S + scene.seconds + 1) as clients:
        await asyncio.sleep(SETTLE_S)
        cpu = server.cpu_s()
        if scene.rate:
            await asyncio.to_thread(server.stream, source, scene.rate, scene.seconds)
        else:
            await asyncio.sleep(scene.seconds)
            rss = server.rss() - rss
        seen = await clients.seen()
        cpu = server.cpu_s() - cpu
    return Figures(
        cpu_us=cpu / max(seen.events, 1) * 1e6,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        arrived=seen.events / max(round(scene.rate * scene.seconds) * scene.sockets, 1),
        compressed=seen.compressed > 0,
        socket_kib=rss / 1024 / scene.sockets,
        connect_s=clients.connect_s,
    )


if __name__ == "__main__":
    print("\n".join(report(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3)))))
