"""What reaches real clients over lines that break: exactly once and in order, or not; ours beside Node's own recovery.

``python -m benchmarks.realtime.cuts``
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.realtime.peers import CLIENT_CPU, HERE, Peer, peer, source_agent, token
from tests.support.flaky_proxy import FlakyProxy, flaky_proxy

ROUNDS, EVENTS, RATE, CUTS = 24, 2000, 100.0, 28
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "polling, upgraded": ["polling", "websocket"]}
MANY, MANY_RATE, MANY_SECONDS = 1000, 20.0, 16.0
SETTLE_S = 30.0
"""A line that died unseen is noticed by the client after a ping interval and a ping time-out: 20 s with ours."""


class Clients:
    """Real socket.io clients in one Node process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), 60))

    async def ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())
        return await self.told()


@contextlib.asynccontextmanager
async def clients(server: Peer, urls: Sequence[str], transports: Sequence[str]) -> AsyncIterator[Clients]:
    """One client a URL, all connected."""
    asked = {"urls": urls, "transports": transports, "token": token() if server.name == "ours" else ""}
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", CLIENT_CPU, shutil.which("node") or "node", str(HERE / "clients.mjs"), json.dumps(asked)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        made = Clients(process)
        await made.told()
        await asyncio.sleep(0.5)  # the subscriptions are on their way
        yield made
    finally:
        process.kill()
        await process.wait()


@dataclass(frozen=True)
class Storm:
    """Rounds in which every event came exactly once and in order, and what went wrong in the others."""

    exact: int
    lost: int
    doubled: int
    disordered: int


async def storm(name: str, source: str, transports: Sequence[str]) -> Storm:
    """So many clients at once, each on a line of its own that is cut at moments of its own."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(peer(name, source))
        url = f"http://127.0.0.1:{server.port}"
        proxies = [await stack.enter_async_context(flaky_proxy(url)) for _ in range(ROUNDS)]
        made = await stack.enter_async_context(clients(server, [proxy.url for proxy in proxies], transports))
        seconds = EVENTS / RATE
        await asyncio.to_thread(server.stream, source, RATE, seconds)
        async with asyncio.TaskGroup() as tasks:
            for number, proxy in enumerate(proxies):
                tasks.create_task(_cut(proxy, random.Random(number), seconds))
        await asyncio.sleep(SETTLE_S)
        report = await made.ask("report")
    return Storm(
        exact=sum(c["count"] == EVENTS and not c["doubled"] and not c["disordered"] for c in report),
        lost=sum(EVENTS - c["count"] for c in report),
        doubled=sum(c["doubled"] for c in report),
        disordered=sum(c["disordered"] for c in report),
    )


async def _cut(proxy: FlakyProxy, chance: random.Random, seconds: float) -> None:
    """Cut at random moments: reset for both, for the client only, or in the middle of what is on the line."""
    now = 0.0
    for moment in sorted(chance.uniform(0.2, seconds) for _ in range(CUTS)):
        await asyncio.sleep(moment - now)
        now = moment
        chance.choice((proxy.reset, proxy.half_open, lambda: proxy.after(chance.randrange(2000))))()


@dataclass(frozen=True)
class MassCut:
    """All were cut at once: events lost and doubled, clients that recovered, milliseconds until all were level."""

    lost: int
    doubled: int
    recovered: int
    level_ms: int


async def mass_cut(name: str, source: str) -> MassCut:
    with peer(name, source) as server:
        urls = [f"http://127.0.0.1:{server.port}"] * MANY
        async with clients(server, urls, ["websocket"]) as made:
            await asyncio.to_thread(server.stream, source, MANY_RATE, MANY_SECONDS)
            await asyncio.sleep(MANY_SECONDS / 4)
            cut_at = (await made.ask("cut"))["cutAt"]
            level_ms = await _until_level(made, cut_at)
            await asyncio.sleep(MANY_SECONDS)
            report = await made.ask("report")
    total = round(MANY_RATE * MANY_SECONDS)
    return MassCut(
        lost=sum(total - c["count"] for c in report),
        doubled=sum(c["doubled"] for c in report),
        recovered=sum(c["recovered"] for c in report),
        level_ms=level_ms,
    )


async def _until_level(made: Clients, cut_at: int) -> int:
    """Milliseconds from the cut until every client is live and none is more than a few events behind."""
    for _ in range(200):
        report = await made.ask("report")
        newest = max(c["last"] for c in report)
        if all(c["live"] and c["last"] >= newest - 2 and c["connects"] > 1 for c in report):
            return int(max(c["levelAt"] for c in report) - cut_at)
        await asyncio.sleep(0.1)
    return -1


async def main() -> list[str]:
    """Everything, as lines of Markdown."""
    lines = [
        f"| {EVENTS:,} events, {CUTS} cuts, {ROUNDS} rounds | server | exactly once, in order | lost | doubled |",
        "|---|---|---|---|---|",
    ]
    with source_agent() as source:
        for words, transports in TRANSPORTS.items():
            for name in ("ours", "node"):
                print(f"  {words}, {name}", flush=True)
                try:
                    seen = await storm(name, source, transports)
                    cells = f"{seen.exact} of {ROUNDS} | {seen.lost:,} | {seen.doubled:,}"
                except Exception as error:  # noqa: BLE001 - whatever ails a server, the others are measured
                    cells = f"failed: {_reason(error)} | |"
                lines.append(f"| {words} | {name} | {cells} |")
                print(lines[-1], flush=True)
        lines += ["", f"| {MANY:,} clients cut at once | lost | doubled | recovered | all level after |"]
        lines.append("|---|---|---|---|---|")
        for name in ("ours", "node"):
            try:
                cut = await mass_cut(name, source)
                cells = f"{cut.lost:,} | {cut.doubled:,} | {cut.recovered:,} | {cut.level_ms / 1000:.1f} s"
            except Exception as error:  # noqa: BLE001 - as above
                cells = f"failed: {_reason(error)} | | |"
            lines.append(f"| {name} | {cells} |")
            print(lines[-1], flush=True)
    return lines


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    asyncio.run(main())
