"""Tables of what ``fanout.py`` found, and whether we are as far ahead of our peers as we mean to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.realtime.figures import BURSTS, CROWD, IDLE, LOADED, PEERS, STEADY, Found, Scene


@dataclass(frozen=True)
class Bar:
    """At most *share* of what *peer* needs of the same."""

    words: str
    scene: Scene
    what: str
    unit: str
    peer: str
    share: float


BARS = (
    Bar("CPU per delivery", STEADY, "cpu_us", "µs", "node", 0.60),
    Bar("CPU per delivery", STEADY, "cpu_us", "µs", "stock", 0.13),
    Bar("CPU per delivery", BURSTS, "cpu_us", "µs", "node", 0.40),
    Bar("latency p99", CROWD, "p99_ms", "ms", "node", 1.0),
    Bar("memory of an idle socket", IDLE, "socket_kib", "KiB", "node", 1.0),
    Bar("time to connect", IDLE, "connect_s", "s", "node", 1.5),
)


def report(found: Found) -> list[str]:
    """What they cost under load, what they cost at rest, and the bars, as lines of Markdown."""
    return [*_loaded(found), "", *_at_rest(found), "", *_bars(found)]


def cpu_by_scene(found: Found) -> dict[str, dict[str, float]]:
    """Microseconds of CPU per delivery, by scene and server."""
    by_scene = {}
    for scene in LOADED:
        values = {name: found.median(scene, name, "cpu_us") for name in PEERS}
        by_scene[scene.name] = {name: value for name, value in values.items() if value is not None}
    return by_scene


def _loaded(found: Found) -> Iterator[str]:
    yield "| scene | server | CPU per delivery | latency p50 | p99 | arrived in time |"
    yield "|---|---|---|---|---|---|"
    for scene in LOADED:
        for name in PEERS:
            cells = (
                _cell(found.median(scene, name, "cpu_us"), ".1f", "µs"),
                _cell(found.median(scene, name, "p50_ms"), ".2f", "ms"),
                _cell(found.median(scene, name, "p99_ms"), ".2f", "ms"),
                f"{_cell(found.median(scene, name, 'arrived'), '.0%', '')}{_compressed(found, scene, name)}",
            )
            yield _row(found, scene, name, cells)


def _at_rest(found: Found) -> Iterator[str]:
    yield "| scene | server | memory of a socket | time to connect all |"
    yield "|---|---|---|---|"
    for name in PEERS:
        memory, connect = found.median(IDLE, name, "socket_kib"), found.median(IDLE, name, "connect_s")
        yield _row(found, IDLE, name, (_cell(memory, ".1f", "KiB"), _cell(connect, ".2f", "s")))


def _row(found: Found, scene: Scene, name: str, cells: tuple[str, ...]) -> str:
    """Where rounds failed, the table says so."""
    why, rounds = found.failures.get((scene, name)), len(found.figures[scene, name])
    if why and not rounds:
        return f"| {scene.name} | {name} | failed: {why.replace('|', '/')} |{' |' * (len(cells) - 1)}"
    told = f"{name} ({rounds} rounds; others failed: {why.replace('|', '/')})" if why else name
    return f"| {' | '.join((scene.name, told, *cells))} |"


def _cell(value: float | None, form: str, unit: str) -> str:
    return "not measured" if value is None else f"{value:{form}} {unit}".rstrip()


def _compressed(found: Found, scene: Scene, name: str) -> str:
    return ", compressed" if any(figures.compressed for figures in found.figures[scene, name]) else ""


def _bars(found: Found) -> Iterator[str]:
    yield "| bar | ours | beside | ratio | at most | |"
    yield "|---|---|---|---|---|---|"
    for bar in BARS:
        ours, other = (found.median(bar.scene, name, bar.what) for name in ("ours", bar.peer))
        cells = [f"{bar.words}, {bar.scene.name}", _cell(ours, ".2f", bar.unit)]
        cells.append(f"{bar.peer}: {_cell(other, '.2f', bar.unit)}")
        if ours is None or not other:
            cells += ["", f"{bar.share:.2f}", "not measured"]
        else:
            cells += [f"{ours / other:.2f}", f"{bar.share:.2f}", "met" if ours / other <= bar.share else "**missed**"]
        yield f"| {' | '.join(cells)} |"
