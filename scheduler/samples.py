"""Two small agents that come with the server: real work on the machine it runs on, over in seconds.

They show both kinds of Python agent, a plain function in a thread and a coroutine, and what a run can tell on its way.
What they remember from one run to the next lasts as long as the server runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from scheduler.requests import NewAgent, ScheduleRequest
from scheduler.runners import Run, ThreadRun
from scheduler.runners.python import PythonAgent
from store.records import JSON

EVERY_MINUTE = "* * * * *"
ROOT = Path(__file__).resolve().parent.parent

UPDATES = 20
"""How often an inventory tells how far it is: enough to be watched, few enough not to be what takes the time."""
MOST_FILES = 5_000
LARGEST_HASHED = 4 * 1024 * 1024
"""Bytes of a file beyond which its size and time of change stand for its content."""
NAMED_CHANGES = 10

SAMPLES = 12
SAMPLE_S = 0.25
"""A processor's load is the share of a span of time: a survey lasts SAMPLES spans of this length."""
HISTORY = 60

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "data"})


def sample_runners(root: Path = ROOT) -> Mapping[str, PythonAgent]:
    """The samples by agent type; *root* is the folder whose files are taken stock of: this installation."""
    return {"FILE_INVENTORY": FileInventory(root), "SYSTEM_SURVEY": SystemSurvey(root)}


def sample_agents() -> list[tuple[NewAgent, ScheduleRequest]]:
    """The agents that a new installation begins with. Their ids are fixed: two servers cannot add them twice."""
    return [
        (
            NewAgent(
                id="file-inventory",
                name="File inventory",
                agent_type="FILE_INVENTORY",
                description="Hashes the files of this installation and tells which have changed since the last time.",
            ),
            ScheduleRequest(EVERY_MINUTE),
        ),
        (
            NewAgent(
                id="system-survey",
                name="System survey",
                agent_type="SYSTEM_SURVEY",
                description="Measures the load of processor, memory and disk for a few seconds and keeps the average.",
            ),
            ScheduleRequest(EVERY_MINUTE),
        ),
    ]


class FileInventory:
    """Hashes the files under a folder, and compares with the last inventory. A plain function: it reads from disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last: dict[str, str] | None = None

    def __call__(self, run: ThreadRun) -> JSON:
        files = sorted(_files_under(self._root))[:MOST_FILES]
        run.log("info", f"Found {len(files)} files in {self._root}")
        found: dict[str, str] = {}
        size = 0
        for number, path in enumerate(files, start=1):
            run.check()
            name = path.relative_to(self._root).as_posix()
            try:
                size += path.stat().st_size
                found[name] = _fingerprint(path)
            except OSError as error:  # it went away meanwhile, or is not ours to read
                run.log("warning", f"Left out {name}: {error.strerror}")
            if number * UPDATES // len(files) > (number - 1) * UPDATES // len(files):
                run.progress(100 * number / len(files), name, step=number, of=len(files))
        last, self._last = self._last, found
        return _inventory_result(run, found, last, size)


def _inventory_result(run: ThreadRun, found: Mapping[str, str], last: Mapping[str, str] | None, size: int) -> str:
    run.metrics.update({"files": len(found), "bytes": size})
    text = f"{len(found)} files, {size / 1e6:.1f} MB"
    if last is None:
        run.log("info", "This is the first inventory since the server started: the next one has something to compare")
        return f"{text}; the first inventory since the server started"
    added = sorted(found.keys() - last.keys())
    removed = sorted(last.keys() - found.keys())
    changed = sorted(name for name in found.keys() & last.keys() if found[name] != last[name])
    for what, names in (("New", added), ("Changed", changed), ("Removed", removed)):
        for name in names[:NAMED_CHANGES]:
            run.log("info", f"{what}: {name}")
    run.metrics.update({"added": len(added), "changed": len(changed), "removed": len(removed)})
    return f"{text}; {len(changed)} changed, {len(added)} new, {len(removed)} removed since the last inventory"


def _files_under(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".")]
        yield from (path for name in names if (path := Path(folder, name)).is_file() and not path.is_symlink())


def _fingerprint(path: Path) -> str:
    known = path.stat()
    if known.st_size > LARGEST_HASHED:
        return f"{known.st_size}:{known.st_mtime_ns}"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class SystemSurvey:
    """Measures the machine's load over a few seconds. A coroutine: between two readings it only waits."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._averages: deque[float] = deque(maxlen=HISTORY)

    async def __call__(self, run: Run) -> JSON:
        await run.log("info", f"{os.cpu_count()} processors, load average {_load_average():.2f}")
        shares: list[float] = []
        before = _processor_times()
        for number in range(1, SAMPLES + 1):
            await asyncio.sleep(SAMPLE_S)  # the span that is measured
            after = _processor_times()
            shares.append(_busy_share(before, after))
            before = after
            memory = _memory_share()
            await run.progress(
                100 * number / SAMPLES,
                f"Processor {shares[-1]:.0%}, memory {memory:.0%}",
                step=number,
                of=SAMPLES,
            )
        disk = shutil.disk_usage(self._root)
        return await self._result(run, shares, memory, disk.used / disk.total)

    async def _result(self, run: Run, shares: list[float], memory: float, disk: float) -> str:
        average, peak = sum(shares) / len(shares), max(shares)
        usual = sum(self._averages) / len(self._averages) if self._averages else None
        self._averages.append(average)
        run.metrics.update(
            {
                "processorPercent": round(100 * average, 1),
                "processorPeakPercent": round(100 * peak, 1),
                "memoryPercent": round(100 * memory, 1),
                "diskPercent": round(100 * disk, 1),
            }
        )
        level = "warning" if max(memory, disk) > 0.9 else "info"
        await run.log(level, f"Memory {memory:.0%} used, disk {disk:.0%} used")
        text = f"Processor {average:.0%} (peak {peak:.0%}), memory {memory:.0%}, disk {disk:.0%}"
        return (
            text if usual is None else f"{text}; processor over the last {len(self._averages) - 1} surveys: {usual:.0%}"
        )


def _load_average() -> float:
    return os.getloadavg()[0]


def _processor_times() -> tuple[float, float]:
    """Seconds (in ticks) that the processors were busy, and in all, since the machine started (proc_stat(5)).

    Where there is no ``/proc``, the load average stands in: as if it had been all that was busy.
    """
    try:
        with Path("/proc/stat").open(encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except OSError:
        return _load_average(), -1.0
    idle = ticks[3] + ticks[4]  # idle and waiting for disks
    return sum(ticks) - idle, sum(ticks)


def _busy_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    if after[1] < 0:
        return min(after[0] / (os.cpu_count() or 1), 1.0)
    passed = after[1] - before[1]
    # Waiting for disks is not counted reliably and may even run backwards.
    return min(max((after[0] - before[0]) / passed, 0.0), 1.0) if passed > 0 else 0.0


def _memory_share() -> float:
    """The share of memory that no program could have (``MemAvailable``, proc_meminfo(5)); 0 where nobody tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()}
    total = sizes.get("MemTotal", 0)
    return 1 - sizes.get("MemAvailable", total) / total if total else 0.0
