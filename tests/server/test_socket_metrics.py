"""What Prometheus is told of the sockets."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest

from server.realtime import Metrics
from server.socket_metrics import BY_REASON, COUNTERS, GAUGES, SocketMetrics

SEEN = Metrics(
    sockets=7,
    congested=1,
    backlog_bytes=2,
    sessions=3,
    log_events=4,
    log_bytes=5,
    events=6,
    deliveries=8,
    recovered=9,
    replayed=10,
    refused=Counter({"too much": 11}),
    drops=Counter({"backlog": 12, "late": 13}),
)


def test_every_number_of_the_engine_is_told() -> None:
    registry = CollectorRegistry()
    registry.register(SocketMetrics(lambda: SEEN))

    told = generate_latest(registry).decode()

    for line in (
        "neonhub_sockets 7.0",
        "neonhub_socket_deliveries_total 8.0",
        'neonhub_socket_recoveries_refused_total{reason="too much"} 11.0',
        'neonhub_socket_drops_total{reason="backlog"} 12.0',
        'neonhub_socket_drops_total{reason="late"} 13.0',
    ):
        assert f"{line}\n" in told
    assert {*GAUGES, *COUNTERS, *BY_REASON} == {field.name for field in fields(Metrics)}
