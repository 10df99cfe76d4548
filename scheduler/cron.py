"""When a schedule fires: cron expressions in a time zone, and intervals counted from a fixed moment.

All of it is arithmetic: nothing here reads a clock, and a timetable never changes once it is made.

A cron expression with ``*`` or ``*/n`` in its minutes or hours follows elapsed time: it fires at every minute whose
local time matches, so through both passes of a repeated hour, and not for an hour that is skipped. Any other names
fixed times: in a repeated hour only the first pass counts, and a time that is skipped fires at the first moment after
the gap. So does Debian's cron 3.0pl1: cron(8) on daylight savings, cron.c main() and find_jobs(). It calls changes of
three hours and more corrections and does not make up for them; here the one rule holds for a change of any size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from scheduler.cron_wall import WallTimes, wall_times
from scheduler.cron_words import in_words, interval_in_words
from scheduler.zones import DAY_S, EPOCH, SECOND, Stretch, check_zone, stretches_from
from store.errors import Invalid

MAX_INTERVAL: Final = timedelta(days=3650)

_INTERVAL = re.compile(r"every[ \t]+(?:([0-9]{1,12})[ \t]+)?(second|minute|hour|day)s?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """The occurrences between two moments: how many (at least one), the first and the last of them."""

    count: int
    first: datetime
    last: datetime


class Timetable(Protocol):
    """The occurrences of one schedule. Moments are aware, those given back in UTC; any thread may ask."""

    @property
    def expression(self) -> str: ...

    @property
    def zone(self) -> str: ...

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence strictly after *moment*; there always is one, if need be decades away."""
        ...

    def span(self, first: datetime, last: datetime) -> Span | None:
        """The occurrences t with *first* <= t <= *last*, None if there are none.

        They are counted, not walked: a year of ``* * * * *`` costs no more than one of ``0 9 * * *``.
        """
        ...


def timetable(expression: str, zone: str, *, anchor: datetime) -> Timetable:
    """The timetable of *expression* in *zone*. Cheap for an expression seen lately: parsed ones are kept.

    *anchor* is the moment an interval counts from, its first occurrence lying one interval later. An interval is
    elapsed time whatever the clocks do, so ``every 1 days`` is 24 hours. Cron expressions ignore it.

    Raises:
        Invalid: the expression or the zone is not accepted, or the expression never fires.
    """
    check_zone(zone)
    step = _interval(expression)
    if step is None:
        return CronTimetable(expression, zone, wall_times(expression))
    return IntervalTimetable(expression, zone, anchor.astimezone(UTC), step)


def describe(expression: str, zone: str) -> str:
    """The schedule in English: "every weekday at 09:00, Europe/Berlin", "every 30 minutes".

    Two cron expressions have the same words only if they match the same local times.

    Raises:
        Invalid: as ``timetable``.
    """
    check_zone(zone)
    step = _interval(expression)
    return f"{in_words(wall_times(expression).fields)}, {zone}" if step is None else interval_in_words(step)


def dst_warnings(timetable: Timetable, after: datetime, *, days: int = 366) -> list[str]:
    """A sentence for each change of the clock within *days* of *after* that moves or repeats a fixed time."""
    return timetable.warnings(after, days) if isinstance(timetable, CronTimetable) else []


@dataclass(frozen=True, slots=True)
class IntervalTimetable:
    """``every 30 minutes``: anchor + n x step, n from 1 on."""

    expression: str
    zone: str
    anchor: datetime
    step: timedelta

    def next_after(self, moment: datetime) -> datetime:
        return self._occurrence(max(1, (moment - self.anchor) // self.step + 1))

    def span(self, first: datetime, last: datetime) -> Span | None:
        low = max(1, -((self.anchor - first) // self.step))
        high = (last - self.anchor) // self.step
        if high < low:
            return None
        return Span(high - low + 1, self._occurrence(low), self._occurrence(high))

    def _occurrence(self, number: int) -> datetime:
        return self.anchor + number * self.step


@dataclass(frozen=True, slots=True)
class CronTimetable:
    """A cron expression in a zone: local matches, stretch by stretch of constant offset, brought to UTC."""

    expression: str
    zone: str
    _wall: WallTimes = field(compare=False, repr=False)

    def next_after(self, moment: datetime) -> datetime:
        earliest = (moment - EPOCH) // SECOND + 1
        for stretch in stretches_from(self.zone, earliest):
            found = self._first(stretch, earliest)
            if found is not None:
                return EPOCH + found * SECOND
        raise AssertionError("stretches_from ends only by raising")

    def span(self, first: datetime, last: datetime) -> Span | None:
        low, high = -((EPOCH - first) // SECOND), (last - EPOCH) // SECOND + 1
        count, firing = 0, []
        for stretch in stretches_from(self.zone, low):
            if stretch.start >= high:
                break
            if found := self._count(stretch, low, high):
                count += found
                firing.append(stretch)
        if not firing:
            return None
        begin = self._first(firing[0], low)
        end = self._last(firing[-1], low, high)
        assert begin is not None  # a stretch that counts one has a first and a last
        assert end is not None
        return Span(count, EPOCH + begin * SECOND, EPOCH + end * SECOND)

    def warnings(self, after: datetime, days: int) -> list[str]:
        """As ``dst_warnings``."""
        if self._wall.fields.elapsed:
            return []
        low = (after - EPOCH) // SECOND + 1
        high = low + timedelta(days=days) // SECOND
        found = []
        for stretch in stretches_from(self.zone, low):
            if stretch.start >= high:
                break
            if stretch.start >= low:
                found += self._warn(stretch)
        return found

    def _warn(self, stretch: Stretch) -> list[str]:
        old, new = stretch.start + stretch.before, stretch.start + stretch.offset
        low, high = min(old, new), max(old, new)  # the local times skipped or repeated
        first, last = self._wall.first(low, high), self._wall.last(low, high)
        if first is None or last is None:
            return []
        times = f"On {_local(first):%Y-%m-%d} {_local(first):%H:%M}"
        one = first == last
        if not one:
            times += f" to {_local(last):%H:%M} ({self._wall.count(low, high)} times)"
        if old > new:
            verb, fires = ("comes", "this run fires") if one else ("come", "each fires")
            return [f"{times} {verb} twice in {self.zone}: {fires} only the first time."]
        verb, fires = ("does", "this run fires") if one else ("do", "one run for all of them fires")
        moment = f"{_local(new):%H:%M}" if new // DAY_S == first // DAY_S else f"{_local(new):%Y-%m-%d %H:%M}"
        return [f"{times} {verb} not exist in {self.zone}: {fires} at {moment}."]

    def _first(self, stretch: Stretch, low: int) -> int | None:
        """The first occurrence in *stretch* at or after *low*."""
        wall = self._wall.first(self._wall_from(stretch, low), stretch.end + stretch.offset)
        return None if wall is None else max(wall - stretch.offset, stretch.start)

    def _last(self, stretch: Stretch, low: int, high: int) -> int | None:
        """The last occurrence in *stretch*, at or after *low*, before *high*."""
        until = min(high, stretch.end) + stretch.offset
        wall = self._wall.last(self._wall_from(stretch, low), until)
        return None if wall is None else max(wall - stretch.offset, stretch.start)

    def _count(self, stretch: Stretch, low: int, high: int) -> int:
        since, until = self._wall_from(stretch, low), min(high, stretch.end) + stretch.offset
        count = self._wall.count(since, until)
        opens = stretch.start + stretch.offset
        if since < opens and (skipped := self._wall.count(since, opens)):
            # All skipped times fire as one, at the start of the stretch, together with a time that is due then anyway.
            count -= skipped - (0 if self._wall.count(opens, opens + 1) else 1)
        return count

    def _wall_from(self, stretch: Stretch, low: int) -> int:
        """The local time from which on matches belong to *stretch* and are not before *low* (UTC).

        For fixed times a stretch begins with the local time at which the one before it ended, not with its own: so
        local times skipped in between are in it, those repeated are not, and each is in one stretch only.
        """
        if self._wall.fields.elapsed:
            return max(low, stretch.start) + stretch.offset
        if low <= stretch.start:
            return stretch.start + stretch.before
        return max(low + stretch.offset, stretch.start + stretch.before)


def _local(wall: int) -> datetime:
    return EPOCH + wall * SECOND


def _interval(expression: str) -> timedelta | None:
    """The step of an interval expression, None if this is none."""
    text = expression.strip().lower()
    if text.split(maxsplit=1)[:1] != ["every"]:
        return None
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise Invalid(
            f'"{text[:40]}" is not an interval: write "every 30 minutes", with a whole number of seconds, minutes, '
            f"hours or days.",
            field="cronExpression",
        )
    number, unit = int(match[1] or 1), timedelta(**{f"{match[2]}s": 1})
    if not 1 <= number <= MAX_INTERVAL // unit:
        limit = f"from 1 to {MAX_INTERVAL // unit} {match[2]}s"
        raise Invalid(f'"{text[:40]}" is out of range: an interval is {limit}.', field="cronExpression")
    return number * unit
