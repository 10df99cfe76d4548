"""A thousand clients that never read: what they cost the server, and what the others notice of them.

``python -m benchmarks.realtime.slow [seconds]``
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from benchmarks.realtime.peers import CLIENT_CPU, Peer, load_client, peer, source_agent

STALLED, READING, RATE = 1000, 100, 200.0


async def _watch(server: Peer, source: str, *, stalled: int, seconds: float) -> tuple[list[int], float]:
    """Resident MiB of the server, ten times over the stream, and the p99 latency (ms) of those who read."""
    sockets = stalled + READING
    environ = {**os.environ, "LATKEY": '"message":"', "STALL": str(stalled)}
    clients = await asyncio.create_subprocess_exec(
        *("taskset", "-c", CLIENT_CPU, str(load_client()), "127.0.0.1", str(server.port), str(sockets)),
        *(str(seconds + 3), server.connect, '42["monitoring:subscribe","agents"]'),
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert clients.stdout is not None
    await clients.stdout.readline()
    await asyncio.sleep(1.5)
    await asyncio.to_thread(server.stream, source, RATE, seconds)
    memory = []
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
        memory.append(server.rss() // (1 << 20))
    seen = json.loads(await clients.stdout.readline())
    await clients.wait()
    return memory, float(seen["lat_ms"]["p99"])


async def main(seconds: float) -> list[str]:
    """As lines of Markdown."""
    lines = [
        f"| {RATE:g} events/s, {seconds:g} s | server's memory, MiB, ten times over it | p99 of {READING} that read |",
        "|---|---|---|",
    ]
    with source_agent() as source:
        for stalled in (0, STALLED):
            with peer("ours", source) as server:
                memory, p99 = await _watch(server, source, stalled=stalled, seconds=seconds)
            lines.append(f"| {stalled:,} clients that never read | {' '.join(map(str, memory))} | {p99:.1f} ms |")
            print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
