"""Request bodies: strict JSON in, or an error that says what is wrong with them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from aiohttp import web

from store.errors import Invalid
from store.records import JSON, JSONObject

DEEPEST = 32
"""Levels of nesting in a body; the stores and the masking walk them recursively."""
LARGEST_INTEGER = 2**63 - 1
"""What every store can keep."""
_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs: legal in JSON, and in no database."""


async def read_object(request: web.Request, *, required: bool) -> JSONObject:
    """The request's JSON object; ``{}`` for an empty body where none is required.

    Raises:
        Invalid: not UTF-8, not JSON, not an object, or JSON that JavaScript or a database would read differently.
        HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge: another content type; a body over the limit.
    """
    raw = await request.read()
    if not raw.strip():
        if required:
            raise Invalid("The body is empty; send a JSON object.")
        return {}
    if not _is_json(request):
        raise web.HTTPUnsupportedMediaType(text="The body must be JSON; set Content-Type: application/json.")
    return parse_object(raw)


def parse_object(raw: bytes, *, what: str = "The body") -> JSONObject:
    """*raw* as a JSON object (RFC 8259), refused where implementations differ: duplicate keys, NaN, huge numbers.

    *what* it is begins the sentence of an ``Invalid``.
    """
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise Invalid(f"{what} is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise Invalid(f"{what} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a JSON object, {{...}}.")
    check_text(value)
    return value


def check_text(value: JSON) -> None:
    """``Invalid`` for characters that no database keeps, and for nesting deeper than ``DEEPEST``."""
    for text in _texts(value, 1):
        if _UNPRINTABLE.search(text):
            raise Invalid("The characters U+0000 and lone surrogates (U+D800 to U+DFFF) cannot be kept.")


def _is_json(request: web.Request) -> bool:
    kind = request.content_type
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _texts(value: JSON, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise _too_deep()
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth + 1)


def _too_deep() -> Invalid:
    return Invalid(f"The JSON is nested deeper than {DEEPEST} levels.")


def _unique(pairs: list[tuple[str, JSON]]) -> JSONObject:
    result: JSONObject = {}
    for key, value in pairs:
        if key in result:
            raise Invalid(f"{_shown(key)} is given twice.", field=_shown(key))
        result[key] = value
    return result


def _no_constant(name: str) -> JSON:
    raise Invalid(f"{name} is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Invalid(f"The number {_shown(text)} is too large.")
    return number


def _integer(text: str) -> int:
    # The length first: Python takes quadratic time for digits, and refuses more than 4300 of them.
    if len(text) > 20 or abs(number := int(text)) > LARGEST_INTEGER:
        raise Invalid(f"The number {_shown(text)} is too large; integers go up to {LARGEST_INTEGER}.")
    return number


def _shown(text: str) -> str:
    """*text* short enough for an error, without what cannot be written as UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 40 else text[:40] + "..."
