"""What must not be shown of a configuration: secrets are stored and reach the runner, and are masked elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from store.errors import Invalid
from store.records import JSON, JSONObject

MASK = "***"
SHORTEST_SECRET = 4
"""Characters below which a value is not hidden in texts: it would make them unreadable and protect nothing."""
SHORTEST_CREDENTIAL = 8
"""The same for the last word of a header's value, the ``xyz`` in ``Bearer xyz``."""

_SECRET_KEY = re.compile("password|secret|token|key", re.IGNORECASE)
_REFERENCE_KEYS = frozenset({"secretHeader"})
"""Keys that are masked by their name but hold only the name of a secret, which an error may have to tell."""
_CREDENTIAL_HEADER = re.compile("authorization|proxy-authorization|cookie", re.IGNORECASE)
"""Request headers that are credentials by definition (RFC 9110 11.6.2, RFC 6265), whatever their name holds."""

Hide: TypeAlias = Callable[[str], str]


def is_secret(key: str, *, within: str | None = None) -> bool:
    """Whether what stands under *key* is masked; *within* is the key of the object that holds it."""
    if within == "headers" and _CREDENTIAL_HEADER.fullmatch(key):
        return True
    return _SECRET_KEY.search(key) is not None


def masked(configuration: JSONObject) -> JSONObject:
    """A deep copy with ``"***"`` in place of every value whose key names a secret, at any depth."""
    return _masked_object(configuration, within=None)


def merged(patch: JSONObject, stored: JSONObject) -> JSONObject:
    """*patch* with each mask it carries replaced by what *stored* holds there: the way back of ``masked()``.

    A ``"***"`` under a key that is not masked is itself. In a list, an entry takes its secrets from the stored entry
    that looks the same when masked, else from the one in the same place if the list kept its length.

    Raises:
        Invalid: a mask stands where nothing is stored, or secrets were to go along to another host than the one they
            were stored for, which would show them to whoever may edit an agent.
    """
    result = _merged_object(patch, stored, path="configuration", within=None)
    if result != patch and _origin(patch) != _origin(stored):
        raise Invalid(
            'The target changed: write out the secrets in place of "***", they are not sent to another host unseen.',
            field="configuration.url",
        )
    return result


def secrets_in(configuration: JSONObject) -> set[str]:
    """The texts that ``masked()`` would mask: every string and number under a secret key, at any depth."""
    return set(_secrets(configuration, within=None, secret=False))


def hiding(secrets: Iterable[str]) -> Hide:
    """A function that puts ``"***"`` in place of these texts, as they are or as JSON escapes them."""
    forms = {form for text in secrets for form in (text, json.dumps(text)[1:-1]) if len(text) >= SHORTEST_SECRET}
    if not forms:
        return lambda text: text
    # The longest first: where one secret holds another, nothing of the longer one stays behind.
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def hidden(value: JSON, hide: Hide) -> JSON:
    """A copy of *value* with ``hide`` applied to every string in it, keys left as they are."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: hidden(inner, hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [hidden(inner, hide) for inner in value]
    return value


def _masked_object(source: JSONObject, *, within: str | None) -> JSONObject:
    return {
        key: MASK if is_secret(key, within=within) else _masked_value(value, within=key)
        for key, value in source.items()
    }


def _masked_value(value: JSON, *, within: str | None) -> JSON:
    if isinstance(value, dict):
        return _masked_object(value, within=within)
    if isinstance(value, list):
        return [_masked_value(inner, within=None) for inner in value]
    return value


def _merged_object(patch: JSONObject, stored: JSON, *, path: str, within: str | None) -> JSONObject:
    known = stored if isinstance(stored, dict) else {}
    result: JSONObject = {}
    for key, value in patch.items():
        if value == MASK and is_secret(key, within=within):
            if key not in known:
                raise _nothing_stored(f"{path}.{key}")
            result[key] = known[key]
        else:
            result[key] = _merged_value(value, known.get(key), path=f"{path}.{key}", within=key)
    return result


def _merged_value(value: JSON, stored: JSON, *, path: str, within: str | None) -> JSON:
    if isinstance(value, dict):
        return _merged_object(value, stored, path=path, within=within)
    if isinstance(value, list):
        known = stored if isinstance(stored, list) else []
        return [
            _merged_value(inner, _counterpart(value, index, known), path=f"{path}.{index}", within=None)
            for index, inner in enumerate(value)
        ]
    return value


def _counterpart(entries: list[JSON], index: int, stored: list[JSON]) -> JSON:
    alike = [place for place, entry in enumerate(stored) if _masked_value(entry, within=None) == entries[index]]
    if index in alike or (not alike and len(entries) == len(stored)):
        return stored[index]
    return stored[alike[0]] if len(alike) == 1 else None


def _nothing_stored(path: str) -> Invalid:
    return Invalid(f'{path} is the mask "***", but no value is stored for it: write the value out.', field=path)


def _origin(configuration: JSONObject) -> str | None:
    url = configuration.get("url")
    # Without the path: scheme, host and port say who reads what is posted.
    return "/".join(url.split("/", 3)[:3]).lower() if isinstance(url, str) else None


def _secrets(value: JSON, *, within: str | None, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _REFERENCE_KEYS:
                yield from _secrets(inner, within=key, secret=secret or is_secret(key, within=within))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, within=within, secret=secret)
    elif secret and isinstance(value, str):
        yield value
        yield from (word for word in value.split()[1:] if len(word) >= SHORTEST_CREDENTIAL)
    elif secret and value is not None and not isinstance(value, bool):
        yield str(value)
