"""Random cron expressions, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

MONTHS = ("JAN", "feb", "Mar", "APR", "may", "jun", "jul", "AUG", "sep", "oct", "NOV", "dec")
WEEKDAYS = ("SUN", "mon", "Tue", "WED", "thu", "fri", "SAT")


@st.composite
def terms(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """One item of a list: a value, a range of two different values, a star, each with or without a step."""

    def value(number: int) -> str:
        spelt = [str(number), f"{number:02}", *names[number - low : number - low + 1]]
        return draw(st.sampled_from(spelt))

    first, last = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True)))
    base = draw(st.sampled_from(["*", value(first), value(first), f"{value(first)}-{value(last)}"]))
    return base + draw(st.sampled_from(["", "", f"/{draw(st.integers(1, high + 2))}"]))


def lists(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, min_size=1, max_size=3).map(",".join)


def field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), lists(terms(low, high, names)))


MINUTES = field(0, 59)
HOURS = st.one_of(field(0, 23), lists(terms(0, 3)))  # the clock is mostly changed in the small hours
DAYS = st.one_of(st.just("*"), st.just("*"), st.just("L"), lists(st.one_of(terms(1, 31), st.just("L"))))
MONTH = st.one_of(st.just("*"), field(1, 12, MONTHS))
NTH = st.builds(lambda day, nth: f"{day}#{nth}", st.sampled_from([*"01234567", *WEEKDAYS]), st.integers(1, 5))
WEEKDAY = st.one_of(
    st.just("*"), st.just("*"), lists(st.one_of(terms(0, 7, WEEKDAYS), NTH, st.integers(0, 7).map("{}L".format)))
)

EXPRESSIONS = st.tuples(MINUTES, HOURS, DAYS, MONTH, WEEKDAY).map(" ".join)
