"""``python -m benchmarks``: every measurement, one after the other."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks import scheduling

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scheduling.main(60.0))
