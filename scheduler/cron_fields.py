"""What a cron expression says: five fields of text become sets of numbers, or a sentence about what is wrong.

croniter 7 expands the fields; this is the only module that imports it. Each term is checked and rewritten first,
because croniter also accepts what Debian's cron does not, or reads it otherwise:

- ``6-6`` means every value to it: a range of one value is handed over as that value;
- ``5/2`` as a day of the week is only Friday to it, as Saturday is its last day: it gets ``5-7/2``;
- ``fri-mon``, ``1-l``, ``1-5#2``, ``15w``, ``?``, seconds, years, ``R`` and ``H`` all pass: refused here;
- ``mon#2,fri`` is refused: the two kinds of term are handed over apart;
- ``0 0 30 2 *`` passes: ``scheduler/cron.py`` refuses what never fires.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from croniter import CroniterError, croniter

from store.errors import Invalid

LAST: Final = -1
"""In ``days`` the last day of the month, as an ordinal of ``nth_weekdays`` the last such weekday of the month."""

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_MAX_LENGTH = 1000  # a list of all sixty minutes, all hours, days, months and weekdays has some 400 characters
_COUNTS = {0: "no", 1: "one field", 2: "two", 3: "three", 4: "four", 6: "six", 7: "seven"}


@dataclass(frozen=True, slots=True)
class CronFields:
    """The meaning of one expression; every tuple is sorted and free of duplicates.

    ``weekdays`` counts from Sunday, 0. ``nth_weekdays`` holds (weekday, 1 to 5 or LAST). ``days`` may hold LAST.

    ``either``: a day matches when the day of the month *or* the day of the week does, else both must. As in Debian's
    cron 3.0pl1 (entry.c, DOM_STAR and DOW_STAR; cron.c, find_jobs) and in cronsim, what counts is the first
    character of the two fields: both must match as soon as one of them starts with ``*``, ``*/2`` included.

    ``elapsed``: the minute or the hour starts with ``*``, so the expression follows elapsed time across a change of
    the clock; without, it names fixed times (MIN_STAR and HR_STAR there; cron(8), "daylight savings").
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    nth_weekdays: tuple[tuple[int, int], ...]
    either: bool
    elapsed: bool


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    noun: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """The value *text* names, be it a number or a name such as ``mon``."""
        if text in self.names:
            return self.names.index(text) + self.low
        if not re.fullmatch(r"[0-9]{1,4}", text):
            raise _invalid(f'"{text}" is not {self.noun}: {self.accepts()}')
        if not self.low <= int(text) <= self.high:
            raise _invalid(f"{int(text)} is not {self.noun}: {self.accepts()}")
        return int(text)

    def accepts(self) -> str:
        named = f", or {self.names[0].upper()} to {self.names[-1].upper()}" if self.names else ""
        last = ", or L alone for the last day" if self is _DAY else ""
        sunday = " (0 and 7 are Sunday)" if self is _WEEKDAY else ""
        return (
            f"the {self.name} field takes {self.low} to {self.high}{sunday}{named}{last}, as lists, ranges and steps."
        )


_MINUTE = _Field("minute", "a minute", 0, 59)
_HOUR = _Field("hour", "an hour", 0, 23)
_DAY = _Field("day-of-month", "a day of the month", 1, 31)
_MONTH = _Field("month", "a month", 1, 12, MONTHS)
_WEEKDAY = _Field("day-of-week", "a day of the week", 0, 7, WEEKDAYS)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)

_TERM = re.compile(r"(?P<low>[^-/]+)(-(?P<high>[^-/]+))?(/(?P<step>[^/]+))?")
_RANDOM = re.compile(r"[hr](\([^)]*\))?(/.*)?")
_NTH_WEEKDAY = re.compile(r"(?P<day>[a-z0-9]+)#(?P<nth>[1-5])")
_LAST_WEEKDAY = re.compile(r"l(?P<after>[0-7])|(?P<before>[0-7])l")


def parse_cron(expression: str) -> CronFields:
    """Read five cron fields or one of MACROS; upper and lower case are the same.

    Raises:
        Invalid: it is neither; the message says which part is wrong and what is accepted there.
    """
    texts = _split(expression)
    terms = [
        [_checked(term, field) for term in text.split(",")]  # a list of terms, each as croniter is to see it
        for text, field in zip(texts, _FIELDS, strict=True)
    ]
    nth = [term for term in terms[4] if _is_nth(term)]
    terms[4] = [term for term in terms[4] if not _is_nth(term)]
    minutes, hours, days, months, weekdays = _expand(terms, expression)
    return CronFields(
        minutes, hours, days, months, weekdays, _expand_nth(nth),
        either=not (texts[2].startswith("*") or texts[4].startswith("*")),
        elapsed=texts[0].startswith("*") or texts[1].startswith("*"),
    )  # fmt: skip


def _split(expression: str) -> list[str]:
    if len(expression) > _MAX_LENGTH:
        raise _invalid(f"A cron expression has at most {_MAX_LENGTH} characters, this one has {len(expression)}.")
    text = expression.strip().lower()
    if text.startswith("@") and text not in MACROS:
        raise _invalid(f'"{text[:40]}" is not accepted: {", ".join(MACROS)} are, or five cron fields, or an interval.')
    texts = re.findall(r"[^ \t]+", MACROS.get(text, text))
    if len(texts) != len(_FIELDS):
        raise _invalid(_wrong_count(text, len(texts)))
    return texts


def _wrong_count(text: str, count: int) -> str:
    if not text:
        return (
            'The expression is empty: give five cron fields such as "0 9 * * 1-5", or an interval, "every 30 minutes".'
        )
    fields = f"{_COUNTS.get(count, count)} field{'s' if count != 1 else ''}"
    without = ", without seconds or years" if count > len(_FIELDS) else ""
    return (
        f'"{text[:60]}" has {fields}: exactly five are accepted (minute, hour, day of month, month, day of week)'
        f'{without}, or an interval such as "every 30 minutes".'
    )


def _checked(term: str, field: _Field) -> str:
    """*term* in a form that croniter reads as Debian's cron would."""
    if _RANDOM.fullmatch(term):
        raise _invalid(f'"{term}" in the {field.name} field is random or hashed: name the time it shall run at.')
    if term == "?":
        raise _invalid(f'"?" in the {field.name} field is not standard cron: write "*".')
    if field is _DAY and term == "l":
        return term
    if field is _WEEKDAY and ("#" in term or "l" in term):
        return _checked_nth(term)
    if not term:
        raise _invalid(f"The {field.name} field has a comma with nothing before or after it.")
    match = _TERM.fullmatch(term)
    if match is None or (field is _DAY and match["low"] == "l") or (match["low"] == "*" and match["high"] is not None):
        raise _invalid(f'"{term}" does not read: {field.accepts()}')
    low, high, step = match["low"], match["high"], match["step"]
    if step is not None and not re.fullmatch(r"0*[1-9][0-9]{0,3}", step):
        raise _invalid(f'"{term}" in the {field.name} field: the step after "/" is a whole number from 1 on.')
    if low == "*":
        return term
    return _checked_range(term, field, low, high, step)


def _checked_range(term: str, field: _Field, low: str, high: str | None, step: str | None) -> str:
    first = field.number(low)
    if high is None:
        last = field.high if step else first  # cronsim and croniter: "5/20" is "5-59/20"
    elif field is _WEEKDAY and high == "sun":
        last = 7  # "fri-sun" has one meaning
    else:
        last = field.number(high)
    if last < first:
        raise _invalid(
            f'"{term}" in the {field.name} field runs backwards: '
            f"write {first}-{field.high - (field is _WEEKDAY)},{field.low}-{last}."
        )
    if first == last:
        return str(first)
    return f"{first}-{last}/{step or 1}"


def _checked_nth(term: str) -> str:
    if match := _NTH_WEEKDAY.fullmatch(term):
        return f"{_WEEKDAY.number(match['day'])}#{match['nth']}"
    if match := _LAST_WEEKDAY.fullmatch(term):
        return f"l{match['after'] or match['before']}"
    raise _invalid(
        f'"{term}" in the day-of-week field does not read: "MON#2" is the second Monday of the month (1 to 5), '
        f'"5L" the last Friday.'
    )


def _is_nth(term: str) -> bool:
    return "#" in term or "l" in term


def _expand(terms: list[list[str]], expression: str) -> list[tuple[int, ...]]:
    """The numbers of the five fields; of the last, which may have no plain terms left, the days from Sunday."""
    weekdays = terms[4]
    try:
        expanded, _ = croniter.expand(" ".join(",".join(field) or "*" for field in terms))
    except CroniterError as error:  # nothing that passed our own checks should end here
        raise _invalid(f'"{expression[:60]}" is not a cron expression that can be read.') from error
    numbers = [_numbers(values, field) for values, field in zip(expanded, _FIELDS, strict=True)]
    return numbers if weekdays else [*numbers[:4], ()]


def _numbers(values: list[object], field: _Field) -> tuple[int, ...]:
    if "*" in values:
        return tuple(range(field.low, 7 if field is _WEEKDAY else field.high + 1))
    return tuple(sorted({LAST if value == "l" else int(str(value)) for value in values}))


def _expand_nth(terms: list[str]) -> tuple[tuple[int, int], ...]:
    if not terms:
        return ()
    _, nth = croniter.expand(f"0 0 * * {','.join(terms)}")
    return tuple(sorted((day, LAST if which == "l" else which) for day, all_of in nth.items() for which in all_of))


def _invalid(message: str) -> Invalid:
    return Invalid(message, field="cronExpression")
