"""``python -m benchmarks [--quick]``: every measurement, one after the other; tables and a chart go to results/."""

from __future__ import annotations

import asyncio
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks import scheduling
from benchmarks.chart import bars
from benchmarks.realtime import cuts, fanout, slow

RESULTS = Path(__file__).parent / "results"


async def realtime(rounds: int, slow_s: float) -> list[str]:
    """Everything about events on their way, as Markdown; the chart is written on the way."""
    print(f"Fan-out, {rounds} rounds:", flush=True)
    found = await fanout.measure(rounds)
    (RESULTS / "fanout.svg").write_text(bars("CPU per delivered event, µs", fanout.cpu_by_scene(found)))
    table = fanout.report(found)
    print("\n".join(table), flush=True)
    print("Slow clients:", flush=True)
    stalled = await slow.main(slow_s)
    print("Cuts:", flush=True)
    return [*table, "", *stalled, "", *await cuts.main()]


def main(quick: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    lines = asyncio.run(realtime(1 if quick else 3, 15.0 if quick else 60.0))
    machine = f"{platform.machine()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    (RESULTS / "realtime.md").write_text("\n".join([f"Measured on {machine}.", "", *lines, ""]))
    print("Scheduling:", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(scheduling.main(20.0 if quick else 60.0))
    (RESULTS / "scheduling.md").write_text("\n".join([f"Measured on {machine}.", "", *told, ""]))


if __name__ == "__main__":
    main("--quick" in sys.argv)
