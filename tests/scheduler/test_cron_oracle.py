"""Our occurrences beside those of cronsim, which follows Debian's cron, over random expressions, zones and changes.

Where the two differ and we are right, the difference is on this list and nowhere else:

1. ``5-5/2``: to cronsim 5, 7, 9 and so on, as if it were ``5/2``. A range of one value has one value (Debian's cron,
   entry.c, get_range), and so it is here.
2. Asked from within the second pass of a repeated hour, cronsim answers a fixed time with a moment of the first pass,
   which is past. We answer with the next one after the moment asked for.
3. Stars in the minutes or hours, and a change after which the clock shows no full hour (Lord Howe, by 30 minutes;
   Chatham, from 02:45 to 03:45): cronsim goes on in whole hours, loses occurrences up to the next full one, or goes
   round in local times that do not exist.
4. Stars in the minutes or hours, and a change that skips midnight (Beirut): cronsim answers with 00:00, a local time
   that does not exist on that day.
5. cronsim accepts more: seconds as a sixth field, ``LW``, ``L/2``. We accept ``fri-sun`` and ``L5``, which it refuses.

For 3 and 4 the minutes in between are looked at one by one, to see that it is our answer that is right.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from scheduler.cron import timetable
from store.errors import Invalid
from tests.scheduler.cron_expressions import EXPRESSIONS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STEPS = 10  # occurrences compared per example
ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})
CHANGING = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Antarctica/Troll", "Asia/Beirut",
    "America/Havana", "America/Santiago", "Pacific/Chatham", "Africa/Cairo", "America/Asuncion", "Atlantic/Azores",
]  # fmt: skip

deterministic = settings(derandomize=True, max_examples=400, deadline=None, database=None)


@st.composite
def moments_in_zones(draw: st.DrawFn) -> tuple[datetime, str]:
    """Some moment in some zone, or (mostly) one within hours of a change of its clock."""
    zone = draw(st.one_of(st.sampled_from(CHANGING), st.sampled_from(CHANGING), st.sampled_from(ZONES)))
    moment = datetime(2024, 1, 1, tzinfo=UTC) + draw(st.integers(0, 12 * 365 * 24 * 3600)) * timedelta(seconds=1)
    change = next_change(zone, moment)
    if change is None or draw(st.integers(0, 4)) == 0:
        return moment, zone
    return change + draw(st.integers(-6 * 3600, 4 * 3600)) * timedelta(seconds=1), zone


@deterministic
@given(EXPRESSIONS, moments_in_zones())
@example("0-59/10 2 * * *", (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), "Europe/Berlin"))
@example("*/15 * * * *", (datetime(2027, 10, 31, 0, 30, tzinfo=UTC), "Europe/Berlin"))
@example("*/15 3 * * *", (datetime(2026, 10, 3, 13, 0, tzinfo=UTC), "Australia/Lord_Howe"))
@example("* */3 L * *", (datetime(2030, 3, 30, 21, 33, 59, tzinfo=UTC), "Asia/Beirut"))
@example("20 1,2 * * *", (datetime(2027, 10, 31, 1, 5, tzinfo=UTC), "Europe/Berlin"))
def test_occurrences_are_those_of_cronsim_but_for_the_list_above(expression: str, start: tuple[datetime, str]) -> None:
    moment, zone = start
    oracle = accepted_by_cronsim(expression, moment, zone)
    if oracle is None:
        with pytest.raises(Invalid):
            timetable(expression, zone, anchor=moment)
        return
    ours = timetable(expression, zone, anchor=moment)

    for _ in range(STEPS):
        next_one, other = ours.next_after(moment), next(oracle).astimezone(UTC)
        while other <= moment and not is_elapsed(expression):  # number 2
            other = next(oracle).astimezone(UTC)
        if next_one != other:
            assert stands_on_the_list(oracle, expression, zone, moment, next_one, other)
            return
        moment = next_one


def stands_on_the_list(
    oracle: CronSim, expression: str, zone: str, moment: datetime, ours: datetime, other: datetime
) -> bool:
    """Number 3 or 4, and ours is the first minute after *moment* whose local time matches."""
    change = next_change(zone, moment - HOUR)  # cronsim looks from the full hour on
    if not is_elapsed(expression) or change is None or change > max(ours, other):
        return False
    new = change.replace(tzinfo=None) + offset(zone, change)
    old = change.replace(tzinfo=None) + offset(zone, change - MINUTE)
    within_an_hour = new.minute != 0
    without_midnight = old <= new.replace(hour=0, minute=0) < new
    return (within_an_hour or without_midnight) and ours == first_matching_minute(oracle, zone, moment)


def is_elapsed(expression: str) -> bool:
    minutes, hours, *_ = expression.split()
    return minutes.startswith("*") or hours.startswith("*")


def first_matching_minute(oracle: CronSim, zone: str, moment: datetime) -> datetime:
    tz = zoneinfo.ZoneInfo(zone)
    minute = moment.replace(second=0, microsecond=0)
    while True:
        minute += MINUTE
        local = minute.astimezone(tz)
        if (
            local.minute in oracle.minutes
            and local.hour in oracle.hours
            and local.month in oracle.months
            and oracle.match_day(local.date())
        ):
            return minute


@deterministic
@given(EXPRESSIONS, moments_in_zones(), st.integers(0, 400 * 24 * 3600))
def test_a_span_counts_what_walking_would_find(expression: str, start: tuple[datetime, str], seconds: int) -> None:
    first, zone = start
    assume(accepted_by_cronsim(expression, first, zone) is not None)
    ours = timetable(expression, zone, anchor=first)
    walked: list[datetime] = []
    moment = first - timedelta(microseconds=1)
    while (moment := ours.next_after(moment)) <= first + timedelta(seconds=seconds) and len(walked) < 2000:
        walked.append(moment)
    last = walked[-1] if len(walked) == 2000 else first + timedelta(seconds=seconds)

    span = ours.span(first, last)

    assert (span.count, span.first, span.last) == (len(walked), walked[0], walked[-1]) if span else not walked


def test_a_range_of_one_value_with_a_step_is_that_value_and_not_what_cronsim_makes_of_it() -> None:
    start = datetime(2026, 1, 1, 5, 30, tzinfo=UTC)

    assert next(CronSim("0 5-5/2 * * *", start)) == start.replace(hour=7, minute=0)
    assert timetable("0 5-5/2 * * *", "UTC", anchor=start).next_after(start) == datetime(2026, 1, 2, 5, tzinfo=UTC)


@pytest.mark.parametrize("expression", ["0 0 * * * *", "0 0 LW * *", "0 0 L/2 * *"])
def test_what_only_cronsim_accepts_is_refused(expression: str) -> None:
    CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))

    with pytest.raises(Invalid):
        timetable(expression, "UTC", anchor=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("expression", "same"), [("0 0 * * FRI-SUN", "0 0 * * 5-7"), ("0 0 * * L5", "0 0 * * 5L")])
def test_what_only_we_accept_has_a_spelling_both_accept(expression: str, same: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(CronSimError):
        CronSim(expression, start)

    ours = timetable(expression, "UTC", anchor=start)

    assert ours.span(start, start + 99 * DAY) == timetable(same, "UTC", anchor=start).span(start, start + 99 * DAY)


def accepted_by_cronsim(expression: str, moment: datetime, zone: str) -> CronSim | None:
    """Its iterator from *moment* on; None if it refuses the expression or finds no occurrence in fifty years."""
    try:
        next(CronSim(expression, moment))
        return CronSim(expression, moment.astimezone(zoneinfo.ZoneInfo(zone)))
    except (CronSimError, StopIteration):
        return None


def next_change(zone: str, moment: datetime) -> datetime | None:
    """To the minute when the clock of *zone* changes next, if it does so within a year."""
    before = offset(zone, moment)
    low, high = moment, next((day for day in year_from(moment) if offset(zone, day) != before), None)
    while high is not None and high - low > MINUTE:
        middle = low + (high - low) / 2
        low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
    return high and high.replace(second=0, microsecond=0)


def year_from(moment: datetime) -> Iterator[datetime]:
    return (moment + number * DAY for number in range(1, 367))


def offset(zone: str, moment: datetime) -> timedelta:
    found = moment.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
    assert found is not None
    return found
