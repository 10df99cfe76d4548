"""What a session keeps of a run's result: a text of bounded length."""

from __future__ import annotations

import json

from scheduler.masking import Hide
from store.records import SUMMARY_LIMIT


def summary(result: object, hide: Hide = lambda text: text) -> str | None:
    """*result* as text, cut at ``SUMMARY_LIMIT`` characters: a string as it is, None as None, all else as JSON.

    *hide* sees the text before it is cut, so that no half of a secret stays.

    A Python runner may return what JSON does not know; then it is its ``str()``.
    """
    if result is None:
        return None
    text = result if isinstance(result, str) else _as_json(result)
    return storable(hide(text)[:SUMMARY_LIMIT])


def storable(text: str) -> str:
    """*text* without what JSON can carry and databases refuse: NUL, and lone surrogates (each becomes ``?``)."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _as_json(result: object) -> str:
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return str(result)
