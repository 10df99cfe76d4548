"""What agents outside this process say while they run: lines, the JSON objects in them, and what these mean.

The stream form, one object a line (or an SSE event), is the same for HTTP agents and commands::

    {"progress": 40, "message": "...", "currentStep": 2, "totalSteps": 5}
    {"log": {"level": "warning", "message": "..."}}
    {"result": ..., "metrics": {...}}
    {"error": "..."}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from scheduler.masking import Hide, hidden
from scheduler.runners.base import Run
from scheduler.runners.result import storable
from store.records import JSON, JSONObject

LINE_LIMIT = 1024 * 1024
"""Bytes of one line: the longest result a stream can carry."""
TEXT_LIMIT = 8 * 1024
"""Characters kept of one log line, progress message or error."""
LOG_LIMIT = 10_000
"""Log lines kept of one run; what comes after is dropped, with one line that says so."""
LINES_A_TURN = 50
"""Lines taken before everybody else gets a turn of the event loop: a chatty agent holds nobody up."""
METRICS_LIMIT = 64 * 1024
"""Characters of a run's metrics as JSON."""
STREAM_KEYS = frozenset({"progress", "message", "currentStep", "totalSteps", "log", "result", "metrics", "error"})
LARGEST_INT = 2**63 - 1

_LEVELS = {"warn": "warning", "err": "error", "critical": "error", "fatal": "error", "trace": "debug"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; ``cut`` says that it was longer than the limit and the rest of it is gone."""

    data: bytes
    cut: bool = False

    @property
    def text(self) -> str:
        """The line as text; of a terminal's progress bar, which overwrites itself with CR, the last state."""
        text = self.data.decode("utf-8", "replace").rstrip("\r").rsplit("\r", 1)[-1]
        return f"{text}..." if self.cut else text


class LineSplitter:
    """Cuts a byte stream at LF (or CRLF) into lines, and never holds more than *limit* bytes and one chunk."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that *chunk* completes; an overlong one as soon as it exceeds the limit."""
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            if not self._pending and not self._skipping and len(part) <= self._limit:
                yield Line(part.removesuffix(b"\r"))  # as most are: whole, and within the limit
                continue
            self._pending += part
            if not self._skipping:
                yield self._take()
            self._pending.clear()
            self._skipping = False
        self._pending += rest
        if self._skipping:
            self._pending.clear()
        elif len(self._pending) > self._limit:
            yield self._take()
            self._skipping = True

    def end(self) -> Iterator[Line]:
        """The last line, if the stream ended without a line end."""
        if self._pending:
            yield self._take()

    def _take(self) -> Line:
        cut = len(self._pending) > self._limit
        data = bytes(self._pending[: self._limit])
        self._pending.clear()
        return Line(data if cut else data.removesuffix(b"\r"), cut)


class EventDecoder:
    """Puts the data lines of ``text/event-stream`` (WHATWG HTML 9.2.6) together; event names and ids mean nothing."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._data: list[str] = []
        self._size = 0

    def feed(self, line: str) -> str | None:
        """The data of the event that *line* completes. ValueError: an event's data exceeds the limit."""
        if not line:
            return self.end()
        name, _, value = line.partition(":")
        if name == "data":
            self._size += len(value)
            if self._size > self._limit:
                raise ValueError(f"an event holds more than {self._limit} bytes")
            self._data.append(value.removeprefix(" "))
        return None

    def end(self) -> str | None:
        """The data of an event that the stream's end cut off from its empty line, else None."""
        data, self._data, self._size = "\n".join(self._data), [], 0
        return data or None


class Texts:
    """Cuts a stream into its JSON texts, one a line or, in a stream of *events*, one an event."""

    def __init__(self, *, events: bool) -> None:
        self._lines = LineSplitter()
        self._events = EventDecoder() if events else None

    def feed(self, chunk: bytes) -> Iterator[str]:
        """What each line that *chunk* completes brings to an end: a text, or "" for none.

        ValueError: a line or an event exceeds the limit.
        """
        return map(self._ended_by, self._lines.feed(chunk))

    def end(self) -> Iterator[str]:
        """The texts that the end of the stream completes."""
        texts = [self._ended_by(line) for line in self._lines.end()]
        if self._events is not None:
            texts.append(self._events.end() or "")
        return filter(None, texts)

    def _ended_by(self, line: Line) -> str:
        if line.cut:
            raise ValueError(f"a line holds more than {LINE_LIMIT} bytes")
        text = line.data.decode("utf-8", "replace")
        return text.strip() if self._events is None else self._events.feed(text) or ""


def parse_json(data: str | bytes) -> JSON:
    """*data* as strict JSON. ValueError also for what Python's parser lets pass: NaN, infinities, endless nesting."""
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    try:
        return cast(JSON, _DECODER.decode(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def stream_object(text: str) -> JSONObject | None:
    """The JSON object that *text* is, if it has the stream form and nothing else; else None.

    A program's own structured log line may well have an ``error`` key: beside others it is not the stream form.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and is_news(value) and value.keys() <= STREAM_KEYS else None


def is_news(value: JSONObject) -> bool:
    """Whether an object is one of the four of the stream form."""
    if "result" in value or value.get("error") is not None:
        return True
    return _is_number(value.get("progress")) or isinstance(value.get("log"), str | dict)


class Intake:
    """Takes a run's news, hands progress and logs on, and keeps how it ended.

    Secrets are hidden from everything that passes. ``result`` and ``error`` are the last ones that were told.
    """

    def __init__(self, run: Run, hide: Hide) -> None:
        self._run = run
        self._hide = hide
        self._logged = 0
        self.ended = False
        self.result: JSON = None
        self.error: str | None = None

    async def take(self, news: JSONObject) -> None:
        """Act on one object of the stream form; an object may hold progress, a log line and a result at once."""
        if _is_number(percent := news.get("progress")):
            await self._progress(cast(float, percent), news)
        log = news.get("log")
        if isinstance(log, str | dict):
            await self._log(log)
        if (error := news.get("error")) is not None:
            self.ended, self.error = True, self.text(_error_text(error))
        elif "result" in news:
            self.ended, self.error, self.result = True, None, hidden(news["result"], self._hide)
            self._keep_metrics(news.get("metrics"))

    async def log(self, level: str, message: str) -> None:
        """Add a log line, until the run has had its share of them."""
        self._logged += 1
        if self._logged <= LOG_LIMIT:
            await self._run.log(level, self.text(message))
        elif self._logged == LOG_LIMIT + 1:
            await self._run.log("warning", f"This run has logged {LOG_LIMIT} lines; further ones are not kept.")

    def text(self, text: str) -> str:
        """*text* as it may be shown: secrets hidden, cut, and in a form that any database takes."""
        # Hidden before it is cut: a secret cut in half would no longer be found.
        text = storable(self._hide(text))
        return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}..."

    async def _progress(self, percent: float, news: JSONObject) -> None:
        message = news.get("message")
        await self._run.progress(
            percent,
            self.text(message) if isinstance(message, str) else "",
            step=_step(news.get("currentStep")),
            of=_step(news.get("totalSteps")),
        )

    async def _log(self, log: str | JSONObject) -> None:
        if isinstance(log, str):
            await self.log("info", log)
            return
        level, message = str(log.get("level", "info")).lower(), log.get("message", "")
        await self.log(_LEVELS.get(level, level), message if isinstance(message, str) else json.dumps(message))

    def _keep_metrics(self, metrics: JSON) -> None:
        if isinstance(metrics, dict):
            text = storable(json.dumps(hidden(metrics, self._hide), ensure_ascii=False))
            if len(text) <= METRICS_LIMIT and "\\u0000" not in text:  # which no document's key may hold
                self._run.metrics.update(cast(JSONObject, parse_json(text)))


def excerpt(text: str, limit: int = 300) -> str:
    """The first part of *text* on one line, for a sentence that quotes it."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _step(value: JSON) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _error_text(error: JSON) -> str:
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        error = error["message"]
    text = error if isinstance(error, str) else json.dumps(error)
    return text.strip() or "The agent reported an error without a text."


def _refuse(constant: str) -> JSON:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is out of range")
    return value


def _bounded(digits: str) -> int | float:
    # Beyond 64 bits a database would refuse it; clients read JSON numbers as doubles anyway.
    if len(digits) > 20 or abs(value := int(digits)) > LARGEST_INT:
        return _finite(digits)
    return value


# One for all: json.loads() would make one for each text.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)
