"""Schedules in English: readable where people look, and never the same for two schedules that differ."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from itertools import product

import pytest
from hypothesis import given, settings

from scheduler.cron import describe, timetable
from scheduler.cron_wall import wall_times
from scheduler.zones import DAY_S
from store.errors import Invalid
from tests.scheduler.cron_expressions import EXPRESSIONS


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/30 * * * *", "every 30 minutes"),
        ("0 * * * *", "every hour"),
        ("*/90 * * * *", "every hour"),
        ("30 * * * *", "at minute 30 of every hour"),
        ("*/7 * * * *", "at minutes 0, 7 ... 56 of every hour"),
        ("5,20,40 * * * *", "at minutes 5, 20 and 40 of every hour"),
        ("0-29 * * * *", "at minutes 0 to 29 of every hour"),
        ("0 9 * * *", "every day at 09:00"),
        ("0 6-6 * * *", "every day at 06:00"),
        ("0,30 9,17 * * *", "every day at 09:00, 09:30, 17:00 and 17:30"),
        ("0 */2 * * *", "every 2 hours from 00:00 to 22:00"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
        ("*/15 9-17 * * mon-fri", "every 15 minutes from 09:00 to 17:45 on every weekday"),
        ("*/5 9 * * *", "every 5 minutes from 09:00 to 09:55"),
        ("* 9,17 * * *", "every minute of hours 9 and 17"),
        ("5,20 9-17 * * *", "every day at minutes 5 and 20 of hours 9 to 17"),
        ("0 9 * * 1-5", "every weekday at 09:00"),
        ("0 9 * * sun,mon", "every Monday and Sunday at 09:00"),
        ("0 9 * 1,7 sat", "every Saturday in January and July at 09:00"),
        ("0 9 * 3-10 *", "every day from March to October at 09:00"),
        ("0 9 L * *", "at 09:00 on the last day of every month"),
        ("0 9 1,15,L * *", "at 09:00 on the 1st, 15th and last day of every month"),
        ("0 9 2-4,11-13,21-23 2 *", "at 09:00 on the 2nd to 4th, 11th to 13th and 21st to 23rd of February"),
        ("0 9 * * mon#2", "at 09:00 on the second Monday of every month"),
        ("0 9 * 3 5L", "at 09:00 on the last Friday of March"),
        ("0 9 * * mon#2,wed", "every Wednesday and on the second Monday of every month at 09:00"),
        ("0 9 13 * fri", "at 09:00 on the 13th of every month and every Friday"),
        ("0 9 */2 * fri", "at 09:00 on the 1st, 3rd ... 31st of every month if that is a Friday"),
        (
            "0 9 */10 * 1,2#1",
            "at 09:00 on the 1st, 11th, 21st and 31st of every month if that is a Monday or the first Tuesday",
        ),
        ("0 9 1-31 * mon", "every day at 09:00"),
        ("0 0 29 2 *", "at 00:00 on the 29th of February"),
        ("@weekly", "every Sunday at 00:00"),
    ],
)
def test_a_cron_expression_reads_as_english_with_its_zone(expression: str, words: str) -> None:
    assert describe(expression, "Europe/Berlin") == f"{words}, Europe/Berlin"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("every 30 minutes", "every 30 minutes"),
        ("every 1 hours", "every hour"),
        ("every second", "every second"),
        ("every 90 seconds", "every 90 seconds"),
        ("every 120 minutes", "every 2 hours"),
        ("every 1 days", "every day (24 hours)"),
        ("every 2 days", "every 2 days (48 hours)"),
    ],
)
def test_an_interval_reads_as_english(expression: str, words: str) -> None:
    assert describe(expression, "Europe/Berlin") == words


@pytest.mark.parametrize(
    ("expression", "zone"), [("0 0 30 2 *", "UTC"), ("0 9 * * *", "Mars/Base"), ("every 0 days", "UTC")]
)
def test_what_is_no_schedule_has_no_words(expression: str, zone: str) -> None:
    with pytest.raises(Invalid):
        describe(expression, zone)


@settings(derandomize=True, max_examples=500, deadline=None, database=None)
@given(EXPRESSIONS)
def test_every_expression_that_is_accepted_has_words(expression: str) -> None:
    try:
        timetable(expression, "UTC", anchor=datetime(2026, 1, 1, tzinfo=UTC))
    except Invalid:
        return

    words = describe(expression, "UTC")

    assert re.fullmatch(r"(every|at) [A-Za-z0-9:., ]+, UTC", words)
    assert "  " not in words


MINUTES = ["*", "0", "5", "*/2", "*/7", "*/30", "0,30", "0,15,45", "1-59/2", "0-29", "0-3", "0-3,7", "0,2,3", "58,59"]
HOURS = ["*", "0", "9", "9,17", "9-17", "9-11", "*/2", "*/3", "1-23/2", "0-22", "0-3,5", "1,2,4", "8-17/3", "22,23"]
DAYS = ["*", "1", "1,2", "1-3", "*/2", "*/3", "1-31", "L", "1,L", "1-30", "29-31"]
MONTHS = ["*", "2", "1,3", "1-3", "*/2"]
WEEKDAYS = ["*", "0", "1", "1-5", "1,5", "0-6", "*/2", "1#1", "1#1,2", "5L", "5L,1#2", "1,1#1"]


def test_two_ways_to_spell_times_share_words_only_where_they_mean_the_same() -> None:
    by_words: dict[str, set[tuple[tuple[int, ...], ...]]] = {}
    for minutes, hours in product(MINUTES, HOURS):
        fields = wall_times(f"{minutes} {hours} * * *").fields
        by_words.setdefault(describe(f"{minutes} {hours} * * *", "UTC"), set()).add((fields.minutes, fields.hours))

    assert [words for words, meanings in by_words.items() if len(meanings) > 1] == []


def test_two_ways_to_spell_days_share_words_only_where_they_mean_the_same() -> None:
    by_words: dict[str, set[tuple[int, ...]]] = {}
    for days, months, weekdays in product(DAYS, MONTHS, WEEKDAYS):
        expression = f"0 9 {days} {months} {weekdays}"
        by_words.setdefault(describe(expression, "UTC"), set()).add(days_of_2028(expression))

    assert [words for words, meanings in by_words.items() if len(meanings) > 1] == []


def days_of_2028(expression: str) -> tuple[int, ...]:
    """All days of a leap year that match."""
    low, high = ((date(year, 1, 1) - date(1970, 1, 1)).days * DAY_S for year in (2028, 2029))
    found = []
    while (match := wall_times(expression).first(low, high)) is not None:
        found.append(match // DAY_S)
        low = match + 1
    return tuple(found)
