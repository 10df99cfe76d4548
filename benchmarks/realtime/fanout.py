"""Fan-out beside its peers: CPU per delivery, latency, memory per socket and time to connect; medians of rounds.

``python -m benchmarks.realtime.fanout [rounds]``
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.realtime.peers import Load, load, peer, source_agent

PEERS = ("ours", "node", "stock")


@dataclass(frozen=True)
class Scene:
    name: str
    sockets: int
    rate: float
    seconds: float
    peers: tuple[str, ...] = PEERS


SCENES = (
    Scene("500 sockets, 20 events/s", 500, 20, 8),
    Scene("100 sockets, 1,000 events/s", 100, 1000, 6),
    Scene("1,000 sockets, 40 events/s", 1000, 40, 8, ("ours", "node")),
)


async def measure(rounds: int) -> dict[str, dict[str, list[Load]]]:
    """Every scene with every peer in turn, *rounds* times over."""
    results: dict[str, dict[str, list[Load]]] = {scene.name: {name: [] for name in scene.peers} for scene in SCENES}
    with source_agent() as source:
        for _ in range(rounds):
            for scene in SCENES:
                for name in scene.peers:
                    with peer(name, source) as server:
                        await load(server, source, sockets=10, rate=50, seconds=1)  # warm
                        seen = await load(server, source, sockets=scene.sockets, rate=scene.rate, seconds=scene.seconds)
                    results[scene.name][name].append(seen)
                    print(f"  {scene.name}: {name} {seen.cpu_us:.1f} µs, p99 {seen.p99_ms:.1f} ms", flush=True)
    return results


def median(loads: list[Load], what: Callable[[Load], float]) -> float:
    return statistics.median(what(item) for item in loads)


def cpu_by_scene(results: dict[str, dict[str, list[Load]]]) -> dict[str, dict[str, float]]:
    """Microseconds of CPU per delivery, by scene and server."""
    return {
        scene: {name: median(loads, lambda item: item.cpu_us) for name, loads in by_peer.items()}
        for scene, by_peer in results.items()
    }


def report(results: dict[str, dict[str, list[Load]]]) -> list[str]:
    """The table, a row a scene and a peer."""
    lines = ["| scene | server | CPU per delivery | latency p50 | p99 | memory per idle socket | time to connect |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_row(scene, name, results[scene.name][name]) for scene in SCENES for name in scene.peers]
    return lines


def _row(scene: Scene, name: str, loads: list[Load]) -> str:
    cells = (
        scene.name,
        name,
        f"{median(loads, lambda item: item.cpu_us):.1f} µs",
        f"{median(loads, lambda item: item.p50_ms):.2f} ms",
        f"{median(loads, lambda item: item.p99_ms):.2f} ms",
        f"{median(loads, lambda item: (item.rss - item.idle_rss) / 1024 / scene.sockets):.1f} KiB",
        f"{median(loads, lambda item: item.connect_s):.2f} s",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    found = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
    print("\n".join(report(found)))
