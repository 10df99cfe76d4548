"""Every IANA zone, over every change of its clock from 2026 to 2028, against the contract's rules for DST.

The expected occurrences are found by looking at the clock of the zone minute by minute, three days around each
change: slow, and plain enough to be checked against the contract by eye. Zones whose clocks agree on every day of
the three years are tested as one.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile

import pytest

from scheduler.cron import timetable
from scheduler.cron_wall import wall_times
from scheduler.zones import stretches_from

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
AROUND = 36 * 60  # minutes looked at before and after a change

ELAPSED = ["0 * * * *", "17 */2 * * *", "*/15 * * * *", "*/7 1,2 * * *", "*/30 0,23 * * *", "* 3 * * *"]
FIXED = ["0 0 * * *", "30 2 * * *", "15 1 * * *", "45 0,23 * * *", "0 0-23 * * *", "10-59/10 0-3 * * *"]

Clock = list[tuple[datetime, datetime]]
"""Of every minute the moment in UTC and what a clock on the wall shows (a naive datetime)."""


def test_the_sweep_covers_every_zone_and_the_odd_changes_among_them() -> None:
    clocks = distinct_clocks()
    sizes = {abs(after - before) for offsets in clocks for before, after in pairwise(offsets)}

    assert sum(len(names) for names in clocks.values()) > 590
    assert sizes >= {timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2)}  # Lord Howe, Berlin, Troll


def test_every_zone_by_any_of_its_names_has_the_offsets_of_its_clock() -> None:
    noons = [int((FIRST + number * DAY + DAY / 2).timestamp()) for number in range((LAST - FIRST).days)]

    for offsets, names in distinct_clocks().items():
        for name in names:
            stretches = list(takewhile(lambda stretch: stretch.start < noons[-1], stretches_from(name, noons[0])))
            kept = [stretch.offset for noon in noons for stretch in stretches if stretch.start <= noon < stretch.end]

            assert kept == [offset.total_seconds() for offset in offsets], name


@pytest.mark.parametrize("expression", ELAPSED)
def test_stars_follow_elapsed_time_across_every_change(expression: str) -> None:
    fields = wall_times(expression).fields

    for zone, clock in changes():
        expected = [utc for utc, wall in clock if wall.hour in fields.hours and wall.minute in fields.minutes]

        assert fired(expression, zone, clock) == expected, zone
        assert counted(expression, zone, clock) == len(expected), zone


@pytest.mark.parametrize("expression", FIXED)
def test_fixed_times_fire_once_a_day_across_every_change(expression: str) -> None:
    fields = wall_times(expression).fields

    for zone, clock in changes():
        expected = fixed_times(clock, fields.hours, fields.minutes)

        assert fired(expression, zone, clock) == expected, zone
        assert counted(expression, zone, clock) == len(expected), zone


def fixed_times(clock: Clock, hours: tuple[int, ...], minutes: tuple[int, ...]) -> list[datetime]:
    """The rule to the letter: the first time the clock shows it; if it never does, the first moment after."""
    shown: dict[datetime, datetime] = {}
    after_gap: dict[datetime, datetime] = {}
    for (_, wall_before), (utc, wall) in zip([clock[0], *clock], clock, strict=False):
        shown.setdefault(wall, utc)
        skipped = wall_before + MINUTE
        while skipped < wall:
            after_gap[skipped] = utc
            skipped += MINUTE
    due = {wall: utc for wall, utc in (after_gap | shown).items() if wall.hour in hours and wall.minute in minutes}
    return sorted(set(due.values()))


def fired(expression: str, zone: str, clock: Clock) -> list[datetime]:
    """What the timetable says for the same minutes, one occurrence after the other."""
    table = timetable(expression, zone, anchor=FIRST)
    found = []
    moment = clock[0][0] - timedelta(microseconds=1)
    while (moment := table.next_after(moment)) <= clock[-1][0]:
        found.append(moment)
    return found


def counted(expression: str, zone: str, clock: Clock) -> int:
    span = timetable(expression, zone, anchor=FIRST).span(clock[0][0], clock[-1][0])
    return span.count if span else 0


@cache
def changes() -> list[tuple[str, Clock]]:
    """A zone and its clock around each change; where the clock never changes, around some day."""
    found = []
    for offsets, names in distinct_clocks().items():
        days = [number for number in range(1, len(offsets)) if offsets[number - 1] != offsets[number]]
        found += [(names[0], clock_around(FIRST + day * DAY, names[0])) for day in days or [500]]
    return found


def clock_around(day: datetime, zone: str) -> Clock:
    tz = zoneinfo.ZoneInfo(zone)
    moments = (day + minute * MINUTE for minute in range(-AROUND, AROUND))
    return [(moment, moment.astimezone(tz).replace(tzinfo=None)) for moment in moments]


@cache
def distinct_clocks() -> dict[tuple[timedelta, ...], list[str]]:
    """The names of zones by their offsets at noon of every day."""
    days = [FIRST + number * DAY + DAY / 2 for number in range((LAST - FIRST).days)]
    found: dict[tuple[timedelta, ...], list[str]] = {}
    for name in all_zones():
        tz = zoneinfo.ZoneInfo(name)
        offsets = tuple(day.astimezone(tz).utcoffset() or timedelta() for day in days)
        found.setdefault(offsets, []).append(name)
    return found


def all_zones() -> Iterator[str]:
    """Without the two files that stand beside the zones and name none."""
    yield from sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})
