"""A bar chart as SVG, small enough to write by hand, light or dark as the viewer's machine is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, MARGIN, LABEL, VALUE, BAR, GAP = 760, 20, 220, 190, 18, 5
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #57606a }
.ground { fill: #ffffff; stroke: #d0d7de }
.ours { fill: #2457c5 } .node { fill: #6b7280 } .stock { fill: #b6bdc9 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9aa4b2 }
.ground { fill: #0d1117; stroke: #30363d }
.ours { fill: #6ea0ff } .node { fill: #8b949e } .stock { fill: #4b5563 }
}
"""


def bars(title: str, note: str, groups: Mapping[str, Mapping[str, float]], words: Mapping[str, str]) -> str:
    """A group of bars a scene, a bar a server, each with its value; *words* are what the servers are called.

    The colours follow ``prefers-color-scheme``, the ground with them: it reads well on any page it is shown on.
    """
    most = max((value for group in groups.values() for value in group.values()), default=1.0)
    parts = [_text(MARGIN, 34, title, "title"), _text(MARGIN, 54, note, "quiet")]
    y = 78
    for scene, group in groups.items():
        parts.append(_text(MARGIN, y + 13, scene, ""))
        for name, value in group.items():
            parts += _bar(y, name, words[name], value, value / most)
            y += BAR + GAP
        y += 2 * GAP
    height = y + MARGIN - 2 * GAP
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    label = f'role="img" aria-label="{escape(title)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>',
        f"<style>{STYLE}</style>",
        ground,
        *parts,
        "</svg>",
    ]
    return "\n".join([*lines, ""])


def _bar(y: int, name: str, words: str, value: float, share: float) -> list[str]:
    left = MARGIN + LABEL
    width = max(share * (WIDTH - left - VALUE - MARGIN), 1)
    rect = f'<rect class="{name}" x="{left}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
    return [rect, _text(left + width + 8, y + 13, f"{value:.1f} µs, {words}", "")]


def _text(x: float, y: int, text: str, kind: str) -> str:
    return f'<text{f" class={chr(34)}{kind}{chr(34)}" if kind else ""} x="{x:.1f}" y="{y}">{escape(text)}</text>'
