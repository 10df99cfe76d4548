"""What a schedule means: the expressions that are accepted, when they fire, and the sentences for those refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from scheduler.cron import Span, Timetable, dst_warnings, timetable
from store.errors import Invalid

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def at(text: str) -> datetime:
    """A moment in UTC: "2026-10-25 01:30"."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def of(expression: str, zone: str = "UTC", *, anchor: datetime = NEW_YEAR) -> Timetable:
    return timetable(expression, zone, anchor=anchor)


def upcoming(table: Timetable, after: datetime, count: int) -> list[str]:
    """The next occurrences, as "03-29 01:00" in UTC."""

    def walk() -> list[datetime]:
        found = [table.next_after(after)]
        while len(found) < count:
            found.append(table.next_after(found[-1]))
        return found

    return [f"{moment:%m-%d %H:%M}" for moment in walk()]


class TestFields:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("0 9 * * *", ["01-01 09:00", "01-02 09:00"]),
            ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
            ("5,10-12,50/5 0 * * *", ["01-01 00:05", "01-01 00:10", "01-01 00:11", "01-01 00:12", "01-01 00:50"]),
            ("10-30/10 0 * * *", ["01-01 00:10", "01-01 00:20", "01-01 00:30", "01-02 00:10"]),
            ("0 0 1 mar,JUL *", ["03-01 00:00", "07-01 00:00"]),
            ("0 0 * * Mon-Wed", ["01-05 00:00", "01-06 00:00", "01-07 00:00", "01-12 00:00"]),
            ("0 0 * * fri-sun", ["01-02 00:00", "01-03 00:00", "01-04 00:00", "01-09 00:00"]),
            ("0 0 * * 0", ["01-04 00:00", "01-11 00:00"]),
            ("0 0 * * 7", ["01-04 00:00", "01-11 00:00"]),
            ("0 0 * * 5/2", ["01-02 00:00", "01-04 00:00", "01-09 00:00"]),
            ("0 0 L * *", ["01-31 00:00", "02-28 00:00", "03-31 00:00"]),
            ("0 0 15,L 2 *", ["02-15 00:00", "02-28 00:00"]),
            ("0 0 * * 5L", ["01-30 00:00", "02-27 00:00"]),
            ("0 0 * * L5", ["01-30 00:00", "02-27 00:00"]),
            ("0 0 * * MON#2", ["01-12 00:00", "02-09 00:00"]),
            ("0 0 * * 0#1,7#1", ["01-04 00:00", "02-01 00:00"]),
            ("0 0 * 1 mon#2,fri", ["01-02 00:00", "01-09 00:00", "01-12 00:00", "01-16 00:00"]),
            ("@hourly", ["01-01 01:00", "01-01 02:00"]),
            ("@Daily", ["01-02 00:00", "01-03 00:00"]),
            ("@midnight", ["01-02 00:00", "01-03 00:00"]),
            ("@weekly", ["01-04 00:00", "01-11 00:00"]),
            ("@monthly", ["02-01 00:00", "03-01 00:00"]),
            ("  0\t9  * * *\n", ["01-01 09:00"]),
        ],
    )
    def test_an_expression_fires_when_its_fields_match(self, expression: str, expected: list[str]) -> None:
        assert upcoming(of(expression), NEW_YEAR, len(expected)) == expected

    @pytest.mark.parametrize("expression", ["@yearly", "@annually", "0 0 1 1 *"])
    def test_once_a_year(self, expression: str) -> None:
        assert of(expression).next_after(NEW_YEAR) == at("2027-01-01")

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("0 0 13 1 fri", ["01-02 00:00", "01-09 00:00", "01-13 00:00"]),  # either matches
            ("0 0 13 1 *", ["01-13 00:00"]),
            ("0 0 * 1 fri", ["01-02 00:00", "01-09 00:00"]),
            ("0 0 */2 1 fri", ["01-09 00:00", "01-23 00:00"]),  # odd days that are Fridays
            ("0 0 9-13 1 */5", ["01-09 00:00", "01-11 00:00"]),  # of those days the Sundays and Fridays
            ("0 0 *,13 1 fri", ["01-02 00:00", "01-09 00:00"]),  # the first character decides
            ("0 0 13,* 1 fri", ["01-02 00:00", "01-03 00:00"]),
        ],
    )
    def test_days_of_month_and_week_both_match_where_one_starts_with_a_star(
        self, expression: str, expected: list[str]
    ) -> None:
        assert upcoming(of(expression), NEW_YEAR, len(expected)) == expected

    def test_the_29th_of_february_comes_after_a_leap_year_that_is_left_out(self) -> None:
        assert of("0 0 29 2 *").next_after(at("2096-03-01")) == at("2104-02-29")

    def test_the_rarest_day_there_is_is_found(self) -> None:
        assert of("0 0 * 2 MON#5").next_after(at("2072-03-01")) == at("2112-02-29")  # 2100 is no leap year

    def test_the_next_occurrence_is_strictly_later(self) -> None:
        nine = at("2026-01-01 09:00")

        assert of("0 9 * * *").next_after(nine - timedelta(microseconds=1)) == nine
        assert of("0 9 * * *").next_after(nine) == nine + DAY
        assert of("0 9 * * *").next_after(nine + timedelta(milliseconds=1)) == nine + DAY

    def test_a_moment_in_another_zone_is_the_same_moment(self) -> None:
        tokyo = datetime(2026, 1, 1, 17, 59, tzinfo=timezone(9 * HOUR))

        assert of("0 9 * * *").next_after(tokyo) == at("2026-01-01 09:00")

    def test_equal_schedules_are_equal_and_hash_alike(self) -> None:
        assert of("0 9 * * *", "Europe/Berlin") == of("0 9 * * *", "Europe/Berlin")
        assert len({of("0 9 * * *"), of("0 9 * * *"), of("0 9 * * *", "Asia/Tokyo"), of("every day")}) == 3


class TestFaultsOfCroniter:
    """What croniter 7.0.0 does on its own account, and must not do through us."""

    @pytest.mark.parametrize("field", ["6-6", "06-6", "6-6/1", "6-6/5"])
    def test_a_range_of_one_value_is_that_value(self, field: str) -> None:
        assert upcoming(of(f"0 {field} * * *"), NEW_YEAR, 2) == ["01-01 06:00", "01-02 06:00"]

    @pytest.mark.parametrize("field", ["mon-mon", "1-1", "Mon-1"])
    def test_a_range_of_one_name_is_that_day(self, field: str) -> None:
        assert upcoming(of(f"0 0 * * {field}"), NEW_YEAR, 2) == ["01-05 00:00", "01-12 00:00"]

    def test_a_fixed_time_in_the_repeated_hour_fires_once(self) -> None:
        table = of("30 2 * * *", "Europe/Berlin")

        assert upcoming(table, at("2026-10-24 12:00"), 2) == ["10-25 00:30", "10-26 01:30"]


class TestChangesOfTheClock:
    """Berlin skips 02:00 to 03:00 on 2026-03-29 and repeats it on 2026-10-25, both at 01:00 UTC."""

    def test_a_skipped_time_fires_at_the_first_moment_after(self) -> None:
        table = of("30 2 * * *", "Europe/Berlin")

        assert upcoming(table, at("2026-03-28 00:00"), 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]

    def test_all_times_of_the_skipped_hour_fire_as_one(self) -> None:
        table = of("0,20,40 2,3 * * *", "Europe/Berlin")

        assert upcoming(table, at("2026-03-29 00:00"), 4) == [
            "03-29 01:00",
            "03-29 01:20",
            "03-29 01:40",
            "03-30 00:00",
        ]

    def test_within_the_second_pass_of_a_repeated_hour_a_fixed_time_is_tomorrow(self) -> None:
        table = of("30 2 * * *", "Europe/Berlin")

        assert upcoming(table, at("2026-10-25 01:10"), 1) == ["10-26 01:30"]

    def test_steps_tick_through_both_passes_of_a_repeated_hour(self) -> None:
        table = of("*/15 * * * *", "Europe/Berlin")

        moments = upcoming(table, at("2026-10-24 23:59"), 12)

        assert moments[0] == "10-25 00:00"
        assert moments[-1] == "10-25 02:45"

    def test_steps_make_no_burst_after_a_skipped_hour(self) -> None:
        table = of("*/30 2 * * *", "Europe/Berlin")

        assert upcoming(table, at("2026-03-28 01:30"), 1) == ["03-30 00:00"]

    def test_hourly_goes_on_every_hour_all_year(self) -> None:
        table = of("@hourly", "Europe/Berlin")

        span = table.span(NEW_YEAR, NEW_YEAR + 365 * DAY - SECOND)

        assert span == Span(365 * 24, NEW_YEAR, NEW_YEAR + 365 * DAY - HOUR)

    def test_a_day_that_a_zone_left_out_counts_as_skipped_time(self) -> None:
        table = of("0 9 * * *", "Pacific/Apia")  # went from the 29th of December 2011 to the 31st

        assert upcoming(table, at("2011-12-29 12:00"), 3) == ["12-29 19:00", "12-30 10:00", "12-30 19:00"]


class TestIntervals:
    @pytest.mark.parametrize(
        ("expression", "step"),
        [
            ("every 30 minutes", timedelta(minutes=30)),
            ("every minute", timedelta(minutes=1)),
            ("every 1 minute", timedelta(minutes=1)),
            ("EVERY  90\tSeconds", timedelta(seconds=90)),
            ("every second", timedelta(seconds=1)),
            ("every 6 hours", timedelta(hours=6)),
            ("every 1 days", timedelta(days=1)),
            ("every 3650 days", timedelta(days=3650)),
        ],
    )
    def test_an_interval_counts_from_its_anchor(self, expression: str, step: timedelta) -> None:
        anchor = at("2026-01-01 10:00:07.123")
        table = of(expression, anchor=anchor)

        assert table.next_after(anchor) == anchor + step
        assert table.next_after(anchor + step) == anchor + 2 * step
        assert table.next_after(anchor + 41 * step + SECOND / 2) == anchor + 42 * step

    def test_before_its_anchor_the_first_occurrence_is_one_interval_after_it(self) -> None:
        assert of("every 2 hours").next_after(NEW_YEAR - 9 * DAY) == NEW_YEAR + 2 * HOUR

    def test_a_day_is_24_hours_whatever_the_clocks_do(self) -> None:
        table = of("every 1 days", "Europe/Berlin", anchor=at("2026-03-28 08:00"))

        assert upcoming(table, at("2026-03-28 08:00"), 2) == ["03-29 08:00", "03-30 08:00"]

    def test_an_anchor_in_another_zone_gives_occurrences_in_utc(self) -> None:
        anchor = datetime(2026, 1, 1, 9, tzinfo=timezone(9 * HOUR))

        assert of("every hour", anchor=anchor).next_after(anchor).tzinfo is UTC

    @pytest.mark.parametrize(
        ("first", "last", "expected"),
        [
            (0, 60, Span(2, NEW_YEAR + timedelta(minutes=30), NEW_YEAR + HOUR)),
            (30, 30, Span(1, NEW_YEAR + timedelta(minutes=30), NEW_YEAR + timedelta(minutes=30))),
            (-600, 29, None),
            (31, 59, None),
            (60, 0, None),
        ],
    )
    def test_a_span_of_an_interval_holds_both_its_ends(self, first: int, last: int, expected: Span | None) -> None:
        start, end = NEW_YEAR + timedelta(minutes=first), NEW_YEAR + timedelta(minutes=last)

        assert of("every 30 minutes").span(start, end) == expected


class TestSpans:
    def test_a_span_holds_both_its_ends(self) -> None:
        nine = at("2026-01-01 09:00")

        assert of("0 9 * * *").span(nine, nine + 2 * DAY) == Span(3, nine, nine + 2 * DAY)
        assert of("0 9 * * *").span(nine, nine) == Span(1, nine, nine)

    def test_a_span_without_occurrences_is_none(self) -> None:
        nine = at("2026-01-01 09:00")

        assert of("0 9 * * *").span(nine + timedelta(microseconds=1), nine + DAY - timedelta(microseconds=1)) is None
        assert of("0 9 * * *").span(nine + DAY, nine) is None

    def test_years_of_every_minute_are_counted_to_the_minute(self) -> None:
        end = at("2036-01-01")

        span = of("* * * * *", "Europe/Berlin").span(NEW_YEAR, end)

        assert span == Span((end - NEW_YEAR) // timedelta(minutes=1) + 1, NEW_YEAR, end)

    def test_times_that_fell_together_after_a_gap_count_once(self) -> None:
        span = of("0,30 2,3 * * *", "Europe/Berlin").span(at("2026-03-29 00:00"), at("2026-03-29 12:00"))

        assert span == Span(2, at("2026-03-29 01:00"), at("2026-03-29 01:30"))


class TestWarnings:
    def test_a_time_that_will_be_skipped_or_repeated_is_told(self) -> None:
        assert dst_warnings(of("30 2 * * *", "Europe/Berlin"), NEW_YEAR) == [
            "On 2026-03-29 02:30 does not exist in Europe/Berlin: this run fires at 03:00.",
            "On 2026-10-25 02:30 comes twice in Europe/Berlin: this run fires only the first time.",
        ]

    def test_several_times_are_told_in_one_sentence(self) -> None:
        assert dst_warnings(of("0-59/20 2 * * *", "MET"), NEW_YEAR) == [
            "On 2026-03-29 02:00 to 02:40 (3 times) do not exist in MET: one run for all of them fires at 03:00.",
            "On 2026-10-25 02:00 to 02:40 (3 times) come twice in MET: each fires only the first time.",
        ]

    def test_a_run_that_moves_to_another_day_is_told_with_its_date(self) -> None:
        assert dst_warnings(of("0 9 * * *", "Pacific/Apia"), at("2011-12-20"), days=20) == [
            "On 2011-12-30 09:00 does not exist in Pacific/Apia: this run fires at 2011-12-31 00:00."
        ]

    @pytest.mark.parametrize("expression", ["0 9 * * *", "*/5 2 * * *", "@hourly", "30 2 * * fri", "every 30 minutes"])
    def test_a_schedule_that_no_change_touches_has_no_warnings(self, expression: str) -> None:
        assert dst_warnings(of(expression, "Europe/Berlin"), NEW_YEAR) == []

    def test_only_the_days_asked_for_are_looked_at(self) -> None:
        table = of("30 2 * * *", "Europe/Berlin")

        assert len(dst_warnings(table, NEW_YEAR, days=100)) == 1
        assert dst_warnings(table, NEW_YEAR, days=80) == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("expression", "says"),
        [
            ("", "The expression is empty"),
            ("* * * *", "has four fields: exactly five are accepted"),
            ("0 0 * * * *", "has six fields: exactly five are accepted"),
            ("0 0 * * * * 2027", "has seven fields"),
            ("tomorrow", "has one field"),
            ("61 * * * *", "61 is not a minute: the minute field takes 0 to 59"),
            ("0 24 * * *", "24 is not an hour"),
            ("0 0 0 * *", "0 is not a day of the month"),
            ("0 0 32 * *", "32 is not a day of the month"),
            ("0 0 * 13 *", "13 is not a month"),
            ("0 0 * foo *", '"foo" is not a month: the month field takes 1 to 12, or JAN to DEC'),
            ("0 0 * * 8", "8 is not a day of the week"),
            ("0 0 * * mo", '"mo" is not a day of the week'),
            ("٣ * * * *", "is not a minute"),
            ("1.5 * * * *", '"1.5" is not a minute'),
            ("-5 * * * *", '"-5" does not read'),
            ("1-2-3 * * * *", '"1-2-3" does not read'),
            ("*-5 * * * *", '"*-5" does not read'),
            ("1,,2 * * * *", "comma with nothing before or after it"),
            ("*/0 * * * *", "the step after"),
            ("*/x * * * *", "the step after"),
            ("1/2/3 * * * *", "does not read"),
            ("0 22-2 * * *", '"22-2" in the hour field runs backwards: write 22-23,0-2.'),
            ("0 0 * nov-feb *", "write 11-12,1-2."),
            ("0 0 * * fri-mon", "write 5-6,0-1."),
            ("R * * * *", '"r" in the minute field is random or hashed'),
            ("R(0-30) * * * *", "is random or hashed"),
            ("H/15 * * * *", "is random or hashed"),
            ("0 H(0-7) * * *", "is random or hashed"),
            ("0 0 ? * *", '"?" in the day-of-month field is not standard cron: write "*".'),
            ("0 0 15W * *", '"15w" is not a day of the month'),
            ("0 0 LW * *", '"lw" is not a day of the month'),
            ("0 0 L-3 * *", '"l-3" does not read'),
            ("L * * * *", '"l" is not a minute'),
            ("0 0 * * L", '"l" in the day-of-week field does not read'),
            ("0 0 * * mon#6", '"mon#6" in the day-of-week field does not read'),
            ("0 0 * * 1-5#2", "does not read"),
            ("0 0 * * 9#2", "9 is not a day of the week"),
            ("@reboot", '"@reboot" is not accepted: @hourly, @daily'),
            ("@every 5m", "is not accepted"),
            ("0 0 30 2 *", '"0 0 30 2 *" never fires'),
            ("0 0 31 4,6,9,11 *", "never fires"),
            ("0 0 30 2 */7", "never fires: no day"),
            ("0 0 */31 * mon#5", "never fires"),
            ("every 5 weeks", '"every 5 weeks" is not an interval'),
            ("every", "is not an interval"),
            ("every 1.5 hours", "is not an interval"),
            ("every -1 hours", "is not an interval"),
            ("every 0 minutes", "an interval is from 1 to 5256000 minutes"),
            ("every 3651 days", "an interval is from 1 to 3650 days"),
            ("every 999999999999 days", "an interval is from 1 to 3650 days"),
            ("," * 1001, "at most 1000 characters"),
        ],
    )
    def test_a_refusal_says_what_is_wrong(self, expression: str, says: str) -> None:
        with pytest.raises(Invalid) as refusal:
            of(expression)

        assert says in str(refusal.value)
        assert str(refusal.value)[-1] in ".?"
        assert refusal.value.field == "cronExpression"

    @pytest.mark.parametrize(
        ("zone", "says"),
        [
            ("Europe/Berln", 'did you mean "Europe/Berlin"?'),
            ("europe/berlin", 'did you mean "Europe/Berlin"?'),
            ("../etc/passwd", "is not a time zone"),
            ("Europe/../Europe/Berlin", "is not a time zone"),
            ("/usr/share/zoneinfo/UTC", "is not a time zone"),
            ("Europe", "is not a time zone"),
            ("right/UTC", "is not a time zone"),
            ("localtime", "is not a time zone"),
            ("UTC\0", "is not a time zone"),
            ("UTC\n", "is not a time zone"),
            ("", "is not a time zone"),
            ("X" * 5000, "is not a time zone"),
        ],
    )
    def test_an_unknown_zone_is_refused(self, zone: str, says: str) -> None:
        with pytest.raises(Invalid) as refusal:
            of("0 9 * * *", zone)

        assert says in str(refusal.value)
        assert len(str(refusal.value)) < 200
        assert refusal.value.field == "timezone"

    @pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+5", "EST5EDT", "America/Argentina/Ushuaia", "US/Eastern"])
    def test_every_kind_of_iana_name_is_accepted(self, zone: str) -> None:
        assert of("0 9 * * *", zone).zone == zone
