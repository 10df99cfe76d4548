"""A bar chart as SVG, small enough to write by hand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LABEL, BAR, GAP = 720, 220, 18, 6
COLOURS = {"ours": "#2457c5", "node": "#6b7280", "stock": "#c2c7d0"}


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """One group of bars a scene, one bar a server, each with its value beside it."""
    most = max(value for group in groups.values() for value in group.values())
    parts, y = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>'], 34
    for scene, group in groups.items():
        parts.append(f'<text x="0" y="{y + 14}">{escape(scene)}</text>')
        for name, value in group.items():
            width = max(value / most * (WIDTH - LABEL - 130), 1)
            parts.append(f'<rect x="{LABEL}" y="{y}" width="{width:.0f}" height="{BAR}" fill="{COLOURS[name]}"/>')
            parts.append(f'<text x="{LABEL + width + 6:.0f}" y="{y + 14}">{value:.1f} {escape(name)}</text>')
            y += BAR + GAP
        y += 2 * GAP
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2937"'
    background = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" {style}>'
    return f"{svg}{background}{''.join(parts)}</svg>\n"
