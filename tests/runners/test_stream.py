from __future__ import annotations

import json
from typing import Any

import pytest

from scheduler.masking import hiding
from scheduler.runners.result import summary
from scheduler.runners.stream import (
    LOG_LIMIT,
    METRICS_LIMIT,
    TEXT_LIMIT,
    EventDecoder,
    Intake,
    LineSplitter,
    parse_json,
    stream_object,
)
from store.records import SUMMARY_LIMIT, JSONObject, Progress
from tests.runners.support import Heard, a_run

INFINITE = float("inf")


def lines_of(*chunks: bytes, limit: int = 10) -> list[tuple[bytes, bool]]:
    splitter = LineSplitter(limit)
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [(line.data, line.cut) for line in [*found, *splitter.end()]]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_the_same_however_the_bytes_arrive(size: int) -> None:
    data = b"one\r\ntwo\n\nlast"
    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    assert lines_of(*chunks) == [(b"one", False), (b"two", False), (b"", False), (b"last", False)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_overlong_line_is_cut_once_and_the_next_is_whole(size: int) -> None:
    data = b"x" * 35 + b"\nnext\n"
    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    assert lines_of(*chunks) == [(b"x" * 10, True), (b"next", False)]


def test_a_line_that_just_fits_is_not_cut() -> None:
    assert lines_of(b"x" * 10 + b"\n") == [(b"x" * 10, False)]


def test_a_progress_bar_that_overwrites_itself_is_its_last_state() -> None:
    [line] = LineSplitter().feed(b"10 %\r20 %\r30 %\r\n")

    assert line.text == "30 %"


def test_bytes_that_are_not_text_are_replaced() -> None:
    [line] = LineSplitter().feed(b"caf\xe9\n")

    assert line.text == "caf\N{REPLACEMENT CHARACTER}"


def test_the_data_lines_of_an_event_belong_together_and_comments_do_not() -> None:
    decoder = EventDecoder()

    fed = [decoder.feed(line) for line in [": ping", "event: news", 'data: {"a":', "data:1}", "id: 7", "", ""]]

    assert [text for text in fed if text] == ['{"a":\n1}']


def test_an_event_without_its_empty_line_is_there_at_the_end() -> None:
    decoder = EventDecoder()
    decoder.feed('data: {"result": 1}')

    assert decoder.end() == '{"result": 1}'
    assert decoder.end() is None


def test_an_event_of_endless_data_lines_is_refused() -> None:
    decoder = EventDecoder(limit=10)
    decoder.feed("data: 12345")

    with pytest.raises(ValueError, match="more than 10 bytes"):
        decoder.feed("data: 123456")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "[" * 100_000, "{", "", "9" * 5000])
def test_what_is_not_json_to_everyone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        parse_json(text)


def test_a_number_beyond_64_bits_is_a_float_so_that_any_database_takes_it() -> None:
    value = parse_json("[9223372036854775807, 9223372036854775808]")

    assert value == [2**63 - 1, float(2**63)]
    assert isinstance(value, list)
    assert [type(number) for number in value] == [int, float]


@pytest.mark.parametrize(
    "news",
    [{"progress": 40}, {"log": {"level": "info"}}, {"log": "text"}, {"result": None}, {"error": "x"}, {"error": {}}],
)
def test_an_object_of_the_stream_form_is_recognised_on_stdout(news: JSONObject) -> None:
    assert stream_object(json.dumps(news)) == news


@pytest.mark.parametrize(
    "text",
    [
        "progress: 40",
        "40",
        '["result"]',
        '{"progress": "40"}',
        '{"progress": true}',
        '{"error": null}',
        '{"level": "error", "error": "a log line of its own"}',
        '{"result": ',
    ],
)
def test_any_other_line_on_stdout_is_none(text: str) -> None:
    assert stream_object(text) is None


async def taken(*news: JSONObject, secrets: tuple[str, ...] = ()) -> tuple[Intake, Heard, JSONObject]:
    heard = Heard()
    run = a_run(sink=heard)
    intake = Intake(run, hiding(secrets))
    for one in news:
        await intake.take(one)
    return intake, heard, run.metrics


async def test_progress_is_held_to_a_hundred_and_steps_that_are_no_numbers_are_none() -> None:
    _, heard, _ = await taken(
        {"progress": 40, "message": "half", "currentStep": 2, "totalSteps": 5},
        {"progress": 400, "message": 7, "currentStep": "2", "totalSteps": -1},
    )

    assert heard.progress_told == [Progress(40.0, "half", 2, 5), Progress(100.0, "", None, None)]


async def test_one_object_may_hold_progress_a_log_line_and_the_result() -> None:
    intake, heard, metrics = await taken(
        {"progress": 100, "log": {"level": "WARN", "message": "almost"}, "result": [1], "metrics": {"rows": 3}}
    )

    assert (heard.percents, heard.logs) == ([100.0], [("warning", "almost")])
    assert (intake.ended, intake.result, intake.error, metrics) == (True, [1], None, {"rows": 3})


@pytest.mark.parametrize(
    ("error", "text"),
    [("no disk", "no disk"), ({"message": "no disk", "code": 5}, "no disk"), ({"code": 5}, '{"code": 5}'), (5, "5")],
)
async def test_an_error_is_its_text_or_its_message(error: Any, text: str) -> None:
    intake, _, _ = await taken({"error": error})

    assert intake.error == text


async def test_an_error_without_a_text_still_says_something() -> None:
    intake, _, _ = await taken({"error": " "})

    assert intake.error == "The agent reported an error without a text."


async def test_a_log_level_nobody_knows_is_info_and_a_message_may_be_an_object() -> None:
    _, heard, _ = await taken({"log": {"level": "loud", "message": {"a": 1}}}, {"log": "bare"})

    assert heard.logs == [("info", '{"a": 1}'), ("info", "bare")]


async def test_a_flood_of_log_lines_ends_with_one_that_says_so() -> None:
    heard = Heard()
    intake = Intake(a_run(sink=heard), hiding(()))
    for number in range(LOG_LIMIT + 50):
        await intake.log("info", str(number))

    assert len(heard.logs) == LOG_LIMIT + 1
    assert heard.lines[-2] == str(LOG_LIMIT - 1)
    assert "further ones are not kept" in heard.lines[-1]


async def test_secrets_are_hidden_from_all_that_passes() -> None:
    news: JSONObject = {
        "progress": 1,
        "message": "with sk-1234",
        "log": "sk-1234",
        "result": {"key": "sk-1234"},
        "metrics": {"id": "sk-1234"},
    }

    intake, heard, metrics = await taken(news, secrets=("sk-1234",))

    assert heard.progress_told[0].message == "with ***"
    assert heard.lines == ["***"]
    assert (intake.result, metrics) == ({"key": "***"}, {"id": "***"})


async def test_a_secret_at_the_edge_of_a_cut_is_hidden_whole() -> None:
    intake, _, _ = await taken(secrets=("sk-1234",))

    text = intake.text("x" * (TEXT_LIMIT - 3) + "sk-1234")

    assert "sk" not in text


async def test_metrics_too_large_to_keep_with_a_session_are_not_kept() -> None:
    _, _, metrics = await taken({"result": 1, "metrics": {"all": "x" * METRICS_LIMIT}})

    assert metrics == {}


async def test_what_no_database_takes_is_taken_out_of_texts() -> None:
    intake, heard, metrics = await taken({"log": "a\0b\ud800c"}, {"result": 1, "metrics": {"m": "\ud800"}})

    assert heard.lines == ["ab?c"]
    assert metrics == {"m": "?"}
    assert summary("a\0b\ud800c") == "ab?c"
    assert intake.ended


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, None),
        ("as it is", "as it is"),
        ("", ""),
        ({"posts": 5, "ä": [True, None]}, '{"posts": 5, "ä": [true, null]}'),
        (5, "5"),
        (
            {
                1,
            },
            "{1}",
        ),
        (INFINITE, "inf"),
    ],
)
def test_a_result_is_kept_as_text(result: object, text: str | None) -> None:
    assert summary(result) == text


def test_a_long_result_is_cut() -> None:
    assert summary("x" * 5000) == "x" * SUMMARY_LIMIT
    assert len(summary(list(range(1000))) or "") == SUMMARY_LIMIT
