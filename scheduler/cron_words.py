"""A schedule in English. Two cron expressions that match different local times never get the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from scheduler.cron_fields import LAST, CronFields

MONTH_NAMES: Final = (  # not the calendar module's, which are those of the process's locale
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAY_NAMES: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_WORKING_DAYS = (1, 2, 3, 4, 5)
_MOST_TIMES = 6  # up to here the times of a day are named one by one


def interval_in_words(step: timedelta) -> str:
    """As "every 30 minutes"; a day is told in hours too, since a day of the calendar may be longer or shorter."""
    seconds = step // timedelta(seconds=1)
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    number = seconds // size
    words = f"every {unit}" if number == 1 else f"every {number} {unit}s"
    return f"{words} ({seconds // 3600} hours)" if unit == "day" else words


def in_words(fields: CronFields) -> str:
    """The times and days of *fields*, as "at 09:00 on the last day of every month"."""
    times, days = _times(fields.minutes, fields.hours), _days(fields)
    at_set_times = times.startswith("at ")
    if days.startswith("every "):
        return f"{days} {times}" if at_set_times else f"{times} on {days}"
    if days:
        return f"{times} {days}"
    return f"every day {times}" if at_set_times and len(fields.hours) < 24 else times


def _times(minutes: Sequence[int], hours: Sequence[int]) -> str:
    """The times of a day, beginning with "at" or "every"."""
    if len(hours) == 24:
        return "every hour" if tuple(minutes) == (0,) else f"{_minutes(minutes, 'of every hour')}"
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return f"at {_joined([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    since, until = f"{hours[0]:02}:{minutes[0]:02}", f"{hours[-1]:02}:{minutes[-1]:02}"
    if len(minutes) == 1 and (step := _step(hours)):
        return f"every {_count(step, 'hour')} from {since} to {until}"
    if _round_the_hour(minutes) and hours[-1] - hours[0] == len(hours) - 1:
        return f"{_minutes(minutes, '')} from {since} to {until}"
    return _minutes(minutes, f"of {_plural('hour', hours)} {_listed(hours, str)}", of_some_hours=True)


def _minutes(minutes: Sequence[int], of: str, *, of_some_hours: bool = False) -> str:
    """The minutes of an hour, and *of* which hours where that is not plain."""
    if step := _round_the_hour(minutes):
        words = f"every {_count(step, 'minute')}"
        return f"{words} {of}" if of_some_hours else words
    return f"at {_plural('minute', minutes)} {_listed(minutes, str)} {of}"


def _round_the_hour(minutes: Sequence[int]) -> int:
    """The step of minutes that go round the hour evenly from its start, such as ``*/15``, else 0."""
    step = _step(minutes)
    return step if step and minutes[0] == 0 and minutes[-1] + step == 60 else 0


def _days(fields: CronFields) -> str:
    """The days, beginning with "every" or "on"; empty for every day of the year."""
    all_of_month = set(range(1, 32)) <= set(fields.days)
    all_of_week = len(fields.weekdays) == 7
    months = "" if len(fields.months) == 12 else _listed(fields.months, lambda month: MONTH_NAMES[month - 1])
    if (all_of_month and all_of_week) or (fields.either and (all_of_month or all_of_week)):
        return f"every day{_in(months)}" if months else ""
    if all_of_month:
        return _weekdays(fields, months)
    of_month = f"on {_days_of_month(fields.days)} of {months or 'every month'}"
    if all_of_week:
        return of_month
    if fields.either:
        return f"{of_month} and {_weekdays(fields, months)}"
    return f"{of_month} if that is {_one_of_weekdays(fields)}"


def _in(months: str) -> str:
    if not months:
        return ""
    one_run = " to " in months and " and " not in months
    return f" from {months}" if one_run else f" in {months}"


def _days_of_month(days: Sequence[int]) -> str:
    numbers = [day for day in days if day != LAST]
    last = ["last day"] if LAST in days else []
    return f"the {_joined(_runs(numbers, _ordinal) + last)}"


def _weekdays(fields: CronFields, months: str) -> str:
    parts = []
    if fields.weekdays:
        names = "weekday" if fields.weekdays == _WORKING_DAYS else _joined(_names(fields.weekdays))
        parts.append(f"every {names}{_in(months)}")
    if fields.nth_weekdays:
        parts.append(f"on {_nth_weekdays(fields, 'and')} of {months or 'every month'}")
    return " and ".join(parts)


def _one_of_weekdays(fields: CronFields) -> str:
    plain = [f"a {name}" for name in _names(fields.weekdays)]
    nth = [_nth_weekdays(fields, "or")] if fields.nth_weekdays else []
    return _joined([*plain, *nth], "or")


def _nth_weekdays(fields: CronFields, word: str) -> str:
    return _joined([f"the {_NTH[nth]} {WEEKDAY_NAMES[day]}" for day, nth in fields.nth_weekdays], word)


def _names(weekdays: Sequence[int]) -> list[str]:
    """Monday first, as the days of a week are read."""
    return [WEEKDAY_NAMES[day] for day in sorted(weekdays, key=lambda day: (day - 1) % 7)]


def _listed(values: Sequence[int], name: Callable[[int], str]) -> str:
    return _joined(_runs(values, name))


def _runs(values: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """The *values* one by one, except runs, as "1 to 5", and where many have one step, as "1, 3 ... 59"."""
    if _step(values) > 1 and len(values) > _MOST_TIMES:
        return [f"{name(values[0])}, {name(values[1])} ... {name(values[-1])}"]
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts: list[str] = []
    for run in runs:
        parts += [f"{name(run[0])} to {name(run[-1])}"] if len(run) > 2 else [name(value) for value in run]
    return parts


def _step(values: Sequence[int]) -> int:
    """The distance between neighbours where there is one for all, else 0."""
    distances = {later - earlier for earlier, later in pairwise(values)}
    return distances.pop() if len(distances) == 1 else 0


def _joined(parts: Sequence[str], word: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def _count(number: int, unit: str) -> str:
    return unit if number == 1 else f"{number} {unit}s"


def _plural(noun: str, values: Sequence[int]) -> str:
    return noun if len(values) == 1 else f"{noun}s"


def _ordinal(number: int) -> str:
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
