"""``python -m benchmarks [--quick]``: every measurement, one after the other; tables and a chart go to results/."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks import scheduling
from benchmarks.chart import bars
from benchmarks.realtime import cuts, fanout, slow, verdict

RESULTS = Path(__file__).parent / "results"
SERVERS = {"ours": "this server", "node": "Node's socket.io", "stock": "python-socketio"}


class Report:
    """One file of results, written anew after each part: what was measured is kept, whatever comes later."""

    def __init__(self, name: str) -> None:
        machine = f"{platform.machine()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
        self._path = RESULTS / name
        self._lines = [f"Measured on {machine}."]

    def add(self, title: str, work: Coroutine[None, None, list[str]], *, loop: type[asyncio.AbstractEventLoop]) -> None:
        """Do *work* on a loop of its own and write what it found, or that it failed, and why."""
        print(f"{title}:", flush=True)
        try:
            with asyncio.Runner(loop_factory=loop) as runner:
                lines = runner.run(work)
        except Exception as error:  # noqa: BLE001 - the other measurements are of use without this one
            lines = [f"Failed: {error!r}"]
            print(lines[0], flush=True)
        self._lines += ["", f"## {title}", "", *lines]
        self._path.write_text("\n".join([*self._lines, ""]))


async def _fanout(rounds: int) -> list[str]:
    """The tables; the chart is written on the way."""
    found = await fanout.measure(rounds)
    lines = verdict.report(found)
    print("\n".join(lines), flush=True)
    note = "Medians; clients offer compression, as browsers do. Shorter is better."
    chart = bars("CPU of the server for one event to one socket", note, verdict.cpu_by_scene(found), SERVERS)
    (RESULTS / "fanout.svg").write_text(chart)
    return lines


def main(quick: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    plain, fast = asyncio.SelectorEventLoop, uvloop.Loop
    realtime = Report("realtime.md")
    realtime.add("Fan-out", _fanout(1 if quick else 3), loop=plain)
    realtime.add("Clients that never read", slow.main(15.0 if quick else 60.0), loop=plain)
    realtime.add("Cuts", cuts.main(), loop=plain)
    Report("scheduling.md").add("Scheduling", scheduling.main(20.0 if quick else 60.0), loop=fast)


if __name__ == "__main__":
    main("--quick" in sys.argv)
