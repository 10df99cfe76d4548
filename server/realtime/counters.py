"""What the engine counts, and the frozen picture of it that `/metrics` reads."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Running totals since start; one instance per server."""

    events: int = 0
    deliveries: int = 0
    recovered: int = 0
    replayed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The engine at one moment. Totals count from the start of the process."""

    sockets: int
    """Engine.IO connections open now."""
    congested: int
    """Of them, those whose client does not take what is sent."""
    backlog_bytes: int
    """Waiting for sockets; bytes shared by several are counted for each."""
    sessions: int
    """Sessions of lost connections that can still be recovered."""
    log_events: int
    log_bytes: int
    """The recovery log."""
    events: int
    """Emitted."""
    deliveries: int
    """Handed to sockets: one event to three sockets is three."""
    recovered: int
    replayed: int
    """Sessions recovered, and events replayed to them."""
    refused: Mapping[str, int]
    """Recoveries refused, by reason."""
    drops: Mapping[str, int]
    """Transports cut by the server, by reason."""
