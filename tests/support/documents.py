"""Reading our own documents: their blocks, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
API = DOCS / "api" / "agent-scheduler.md"
OPERATIONS = DOCS / "operations.md"
TOUR = DOCS / "tour.md"


def documents() -> list[Path]:
    """Every page we wrote."""
    return [README, *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, and the line it begins in."""

    language: str
    text: str
    line: int


def blocks(path: Path, *languages: str) -> list[Block]:
    """The blocks of *path* in these languages, or in any."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    all_blocks = [Block(match[1], match[2], match.string.count("\n", 0, match.start()) + 1) for match in found]
    return [block for block in all_blocks if not languages or block.language in languages]


def rows(path: Path, heading: str) -> Iterator[list[str]]:
    """The cells of all tables between *heading* and the next of its level or above, without their heads."""
    level = heading.partition(" ")[0]
    section = path.read_text().partition(f"\n{heading}\n")[2]
    assert section, f"{path.name} has no section {heading!r}"
    section = re.split(rf"^#{{1,{len(level)}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip()[1:-1].split("|")]


def anchors(path: Path) -> set[str]:
    """What a link into *path* may name, as GitHub makes it of the headings."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """The targets of all links in *path* that lead to another file of ours, or within it."""
    targets = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    return [target for target in targets if "://" not in target]
