"""Time zones as cron arithmetic needs them: a checked name, and the year cut into stretches of constant offset.

``zoneinfo`` tells the offset at one moment but not when it changes next. Between two changes local time runs as
evenly as UTC, so within a stretch occurrences can be found and counted without asking the zone again.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from store.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY_S = 86_400
LAST_YEAR = 9998  # datetime ends with 9999, and local time may run ahead of UTC

_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_NOT_IANA = ("localtime", "posixrules", "Factory")  # files beside the zones; "posix/" and "right/" fail _NAME
_YEARS_KEPT = 4096  # some 600 zones, a few years of each; an entry is under a kilobyte


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds since 1970 (UTC) from *start* up to, not including, *end*, all at *offset* seconds from UTC.

    *before* is the offset in force until *start*: larger than *offset* where local time is repeated, smaller where
    some of it is skipped, equal where a stretch only begins because a year does.
    """

    start: int
    end: int
    offset: int
    before: int


def check_zone(name: str) -> str:
    """Give *name* back if it is an IANA time zone this machine (or the ``tzdata`` package) knows.

    Raises:
        Invalid: it is not, or it is no name but a path (``../etc``).
    """
    if _NAME.fullmatch(name) and name not in _NOT_IANA:
        try:
            zoneinfo.ZoneInfo(name)
            return name
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Europe" is a directory
            pass
    shown = name[:40]
    near = difflib.get_close_matches(shown, _all_names(), n=1)
    hint = f'did you mean "{near[0]}"?' if near else 'give an IANA name such as "Europe/Berlin" or "UTC".'
    raise Invalid(f'"{shown}" is not a time zone: {hint}', field="timezone")


def stretches_from(zone: str, second: int) -> Iterator[Stretch]:
    """The stretches of *zone* in order, beginning with the one that holds *second*.

    Raises:
        OverflowError: when asked to go on past the last year ``datetime`` can name.
    """
    for year in range(_moment(second).year, LAST_YEAR + 1):
        for stretch in _year(zone, year):
            if stretch.end > second:
                yield stretch
    raise OverflowError(f"no occurrence up to the year {LAST_YEAR}")


@lru_cache(maxsize=_YEARS_KEPT)
def _year(zone: str, year: int) -> tuple[Stretch, ...]:
    """The stretches of one calendar year (of UTC)."""
    tz = zoneinfo.ZoneInfo(zone)
    start = (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // SECOND
    end = (datetime(year + 1, 1, 1, tzinfo=UTC) - EPOCH) // SECOND
    bounds = [start, *_changes(tz, start, end - 1), end]
    return tuple(Stretch(low, high, _offset(tz, low), _offset(tz, low - 1)) for low, high in pairwise(bounds))


def _changes(tz: zoneinfo.ZoneInfo, start: int, end: int) -> Iterator[int]:
    """The seconds at which the offset becomes another one, *start* < change <= *end*.

    Looking once a day is enough: no zone has ever changed its offset and changed it back within a day.
    """
    days = [*range(start, end, DAY_S), end]
    offsets = [_offset(tz, day) for day in days]
    for (low, high), (was, becomes) in zip(pairwise(days), pairwise(offsets), strict=True):
        if was != becomes:
            yield from _changes_within(tz, low, high)


def _changes_within(tz: zoneinfo.ZoneInfo, low: int, high: int) -> Iterator[int]:
    if _offset(tz, low) == _offset(tz, high):
        return
    if high - low == 1:
        yield high
        return
    middle = (low + high) // 2
    yield from _changes_within(tz, low, middle)
    yield from _changes_within(tz, middle, high)


def _offset(tz: zoneinfo.ZoneInfo, second: int) -> int:
    offset = _moment(second).astimezone(tz).utcoffset()
    assert offset is not None  # a ZoneInfo always knows
    return offset // SECOND


def _moment(second: int) -> datetime:
    return EPOCH + second * SECOND


@lru_cache(maxsize=1)
def _all_names() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones().difference(_NOT_IANA)))
