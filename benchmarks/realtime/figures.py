"""What ``fanout.py`` measures and what it found: scenes, servers, figures."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

PEERS = ("ours", "node", "stock")
REST_S = 5.0


@dataclass(frozen=True)
class Scene:
    """So many sockets in one room; an agent that tells so much for so long; nothing at all where the rate is 0."""

    name: str
    sockets: int
    rate: float
    seconds: float


STEADY = Scene("500 sockets, 20 events/s", 500, 20, 10)
BURSTS = Scene("100 sockets, 1,000 events/s", 100, 1000, 6)
CROWD = Scene("1,000 sockets, 40 events/s", 1000, 40, 10)
IDLE = Scene("1,000 sockets at rest", 1000, 0, REST_S)
LOADED = (STEADY, BURSTS, CROWD)


@dataclass(frozen=True)
class Figures:
    """What one scene with one server came to; without events only ``socket_kib`` and ``connect_s`` mean something."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    arrived: float
    """Share of the deliveries due that came within the time."""
    compressed: bool
    socket_kib: float
    connect_s: float


@dataclass
class Found:
    """All figures by scene and server, and why those are missing that are."""

    figures: dict[tuple[Scene, str], list[Figures]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[tuple[Scene, str], str] = field(default_factory=dict)

    def median(self, scene: Scene, name: str, what: str) -> float | None:
        """Of the rounds that succeeded; None when there is none."""
        values = [getattr(figures, what) for figures in self.figures[scene, name]]
        return statistics.median(values) if values else None
