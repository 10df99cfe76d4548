"""The realtime engine's numbers as Prometheus has them, read when it asks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.realtime import Metrics

GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "sockets": ("neonhub_sockets", "Open Socket.IO connections"),
    "congested": ("neonhub_sockets_congested", "Of them, those whose client does not take what is sent"),
    "backlog_bytes": ("neonhub_socket_backlog_bytes", "Waiting for slow clients"),
    "sessions": ("neonhub_socket_sessions_recoverable", "Lost connections that can still be recovered"),
    "log_events": ("neonhub_socket_log_events", "Events kept for recovery"),
    "log_bytes": ("neonhub_socket_log_bytes", "Bytes kept for recovery"),
}
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "events": ("neonhub_socket_events", "Events emitted"),
    "deliveries": ("neonhub_socket_deliveries", "Events handed to sockets: one to three sockets is three"),
    "recovered": ("neonhub_socket_recovered", "Connections recovered"),
    "replayed": ("neonhub_socket_replayed", "Events sent again to recovered connections"),
}
BY_REASON: Final[Mapping[str, tuple[str, str]]] = {
    "refused": ("neonhub_socket_recoveries_refused", "Connections that came back and could not be recovered"),
    "drops": ("neonhub_socket_drops", "Connections cut by this server"),
}


class SocketMetrics(Collector):
    """Reads *metrics* once for each scrape. Reasons are the engine's own words, so there are few."""

    def __init__(self, metrics: Callable[[], Metrics]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        now = self._metrics()
        for field, (name, text) in GAUGES.items():
            yield GaugeMetricFamily(name, text, value=getattr(now, field))
        for field, (name, text) in COUNTERS.items():
            yield CounterMetricFamily(name, text, value=getattr(now, field))
        for field, (name, text) in BY_REASON.items():
            family = CounterMetricFamily(name, text, labels=["reason"])
            for reason, count in getattr(now, field).items():
                family.add_metric([reason], count)
            yield family

    def describe(self) -> list[Metric]:
        return []  # else registering would read the engine, which has not started
