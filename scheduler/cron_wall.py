"""When a cron expression matches on a clock that is never changed: first, last and number of matches in a span.

Wall time is counted in seconds since 1970-01-01 00:00 of that clock, a span as [low, high). Nothing here walks from
match to match: days come from a table of the 28 shapes a month can have, times of the day from hours x minutes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import product

from scheduler.cron_fields import LAST, CronFields, parse_cron
from scheduler.zones import DAY_S
from store.errors import Invalid

MINUTE_S = 60

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_THURSDAY = 4  # 1970-01-01, counted from Sunday
_LENGTHS = {2: (28, 29), 4: (30,), 6: (30,), 9: (30,), 11: (30,)}  # every other month has 31 days
_EXPRESSIONS_KEPT = 4096  # a few kilobytes each


class WallTimes:
    """The matches of one expression. Immutable, so threads may share it."""

    def __init__(self, fields: CronFields) -> None:
        self.fields = fields
        self._shapes = {
            (weekday, length): _matching_days(fields, weekday, length)
            for weekday, length in product(range(7), (28, 29, 30, 31))
        }

    @property
    def never(self) -> bool:
        """No day of any year matches. Every month begins on every weekday in some year, leap years included."""
        lengths = {length for month in self.fields.months for length in _LENGTHS.get(month, (31,))}
        return not any(days for (_, length), days in self._shapes.items() if length in lengths)

    def first(self, low: int, high: int) -> int | None:
        """The first match in [low, high)."""
        start, since = divmod(low, DAY_S)
        for day in self._days(start, -(-high // DAY_S)):
            rank = self._rank(since) if day == start else 0
            if rank < self._times_a_day:
                found = day * DAY_S + self._time(rank)
                return found if found < high else None
        return None

    def last(self, low: int, high: int) -> int | None:
        """The last match in [low, high); costs more the longer the span is, a year some tens of microseconds."""
        end, until = divmod(high, DAY_S)
        for day in reversed([*self._days(low // DAY_S, end + 1)]):
            rank = self._rank(until) if day == end else self._times_a_day
            if rank > 0:
                found = day * DAY_S + self._time(rank - 1)
                return found if found >= low else None
        return None

    def count(self, low: int, high: int) -> int:
        """How many matches lie in [low, high)."""
        if high <= low:
            return 0
        (start, since), (end, until) = divmod(low, DAY_S), divmod(high, DAY_S)
        whole_days = sum(len(days) for _, days in self._months(start, end))
        cut_off = self._rank(since) if self._matches(start) else 0
        added = self._rank(until) if self._matches(end) else 0
        return whole_days * self._times_a_day - cut_off + added

    @property
    def _times_a_day(self) -> int:
        return len(self.fields.hours) * len(self.fields.minutes)

    def _time(self, rank: int) -> int:
        """Second of the day of the match number *rank*, from 0."""
        hour, minute = divmod(rank, len(self.fields.minutes))
        return self.fields.hours[hour] * 3600 + self.fields.minutes[minute] * MINUTE_S

    def _rank(self, second: int) -> int:
        """How many of a day's matches come before *second* of the day."""
        hour, minute = divmod(-(-second // MINUTE_S), 60)
        index = bisect_left(self.fields.hours, hour)
        rank = index * len(self.fields.minutes)
        if index < len(self.fields.hours) and self.fields.hours[index] == hour:
            rank += bisect_left(self.fields.minutes, minute)
        return rank

    def _matches(self, day: int) -> bool:
        return next(self._days(day, day + 1), None) is not None

    def _days(self, start: int, end: int) -> Iterator[int]:
        """The matching days in [start, end), as days since 1970."""
        for before, days in self._months(start, end):
            for day in days:
                yield before + day

    def _months(self, start: int, end: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Per month touched by the days [start, end): the day before its first, and its matching days in the span."""
        if end <= start:
            return
        year, month, _ = date.fromordinal(start + _EPOCH_DAY).timetuple()[:3]
        first = start + 1 - date.fromordinal(start + _EPOCH_DAY).day
        while first < end:
            length = _month_length(year, month)
            if month in self.fields.months:
                days = self._shapes[(first + _THURSDAY) % 7, length]
                if first < start:
                    days = days[bisect_left(days, start - first + 1) :]
                if first + length > end:
                    days = days[: bisect_left(days, end - first + 1)]
                yield first - 1, days
            first += length
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)


@lru_cache(maxsize=_EXPRESSIONS_KEPT)
def wall_times(expression: str) -> WallTimes:
    """The matches of *expression*, parsed once and kept.

    Raises:
        Invalid: it is not a cron expression, or it never fires.
    """
    wall = WallTimes(parse_cron(expression))
    if wall.never:
        raise Invalid(
            f'"{expression[:60]}" never fires: no day matches its day of month, month and day of week together.',
            field="cronExpression",
        )
    return wall


def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return _LENGTHS.get(month, (31,))[0]


def _matching_days(fields: CronFields, first_weekday: int, length: int) -> tuple[int, ...]:
    """The days that match in a month of *length* days whose 1st is *first_weekday*."""
    days = set()
    for day in range(1, length + 1):
        weekday = (first_weekday + day - 1) % 7
        of_month = day in fields.days or (day == length and LAST in fields.days)
        of_week = (
            weekday in fields.weekdays
            or (weekday, (day + 6) // 7) in fields.nth_weekdays
            or (day + 7 > length and (weekday, LAST) in fields.nth_weekdays)
        )
        if (of_month or of_week) if fields.either else (of_month and of_week):
            days.add(day)
    return tuple(sorted(days))
