"""Readers of settings: from a variable's text to a value, with the words for what they accept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias, TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

Reader: TypeAlias = tuple[Callable[[str], T], str]
"""A function that raises ValueError for a text it cannot read, and what it accepts, in words."""


def text() -> Reader[str]:
    return str, "text"


def optional() -> Reader[str | None]:
    return (lambda text: text or None), "text"


def integer(least: int, most: int) -> Reader[int]:
    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return read, f"a whole number from {least} to {most}"


def span(unit: str, least: int, most: int) -> Reader[timedelta]:
    read, accepts = integer(least, most)
    return (lambda text: timedelta(**{unit: read(text)})), f"{accepts} ({unit})"


def switch() -> Reader[bool]:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

    def read(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]

    return read, "true or false"


def choice(kind: type[E]) -> Reader[E]:
    by_name = {member.value.lower(): member for member in kind}

    def read(text: str) -> E:
        if text.lower() not in by_name:
            raise ValueError(text)
        return by_name[text.lower()]

    return read, "one of " + ", ".join(member.value for member in kind)


def names() -> Reader[tuple[str, ...]]:
    return (lambda text: tuple(part.strip() for part in text.split(",") if part.strip())), "names separated by commas"


def origins() -> Reader[tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        if any(not origin.startswith(("http://", "https://")) or origin.count("/") != 2 for origin in origins):
            raise ValueError(text)
        return origins

    return read, "origins such as http://localhost:3000, separated by commas ('*' is not one)"


def zone() -> Reader[str]:
    def read(text: str) -> str:
        try:
            return ZoneInfo(text).key
        except Exception as error:  # zoneinfo raises many kinds for what is no zone
            raise ValueError(text) from error

    return read, "an IANA time zone such as Europe/Berlin"


def path(what: str) -> Reader[Path]:
    return Path, what
