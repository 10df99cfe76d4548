"""Marshmallow fields that take a value only in the form the contract names: no ``"true"``, no ``"5"``, no ``1``.

Each message completes a sentence that begins with the field's name: ``limit must be a whole number from 1 to 100``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from marshmallow import ValidationError, fields

MISSING = {"required": "is required", "null": "must not be null; leave it out instead"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters but tab, line feed and carriage return."""
_INTEGER = re.compile("-?[0-9]{1,18}")


class Text(fields.String):
    """A string, trimmed, of *shortest* to *longest* characters. A line unless ``lines`` allows line breaks."""

    default_error_messages = MISSING

    def __init__(
        self,
        longest: int,
        *,
        shortest: int = 1,
        lines: bool = False,
        pattern: str | None = None,
        form: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.longest, self.shortest, self.lines = longest, shortest, lines
        self.pattern, self.form = pattern, form
        self.metadata.setdefault("maxLength", longest)
        if shortest:
            self.metadata.setdefault("minLength", shortest)
        if pattern is not None:
            self.metadata.setdefault("pattern", f"^{pattern}$")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        text = value.strip()
        if len(text) < self.shortest:
            raise ValidationError("must not be empty")
        if len(text) > self.longest:
            raise ValidationError(f"must have at most {self.longest} characters, not {len(text)}")
        if _CONTROL.search(text) or (not self.lines and re.search(r"[\n\r\t]", text)):
            raise ValidationError("must not hold control characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            raise ValidationError(self.form)
        return text


class Flag(fields.Boolean):
    """A JSON boolean, and nothing that merely resembles one."""

    default_error_messages = MISSING

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false, as a JSON boolean")
        return value


class QueryFlag(fields.Boolean):
    """``true`` or ``false`` in a query string."""

    default_error_messages = MISSING

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("must be true or false")
        return bool(value == "true")


class QueryInteger(fields.Integer):
    """A whole number in a query string, of ASCII digits, from *least* to *most*."""

    default_error_messages = MISSING

    def __init__(self, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.least, self.most = least, most
        self.metadata.update(minimum=least, maximum=most)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if _INTEGER.fullmatch(value) is None or not self.least <= int(value) <= self.most:
            raise ValidationError(f"must be a whole number from {self.least} to {self.most}")
        return int(value)


class OneOf(fields.Field):
    """A member of an enum by *name* (``HIGH``) or, where the wire has it so, by value (``timed_out``)."""

    default_error_messages = MISSING

    def __init__(self, kind: type[Enum], *, by_value: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.choices = {str(member.value) if by_value else member.name: member for member in kind}
        self.metadata.update(type="string", enum=list(self.choices))

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Enum:
        if not isinstance(value, str) or value not in self.choices:
            raise ValidationError(f"must be one of {listed(self.choices)}")
        return self.choices[value]


class SomeOf(OneOf):
    """Members of an enum in a query string, separated by commas: ``failed,timed_out``."""

    def __init__(self, kind: type[Enum], **options: Any) -> None:
        super().__init__(kind, **options)
        del self.metadata["enum"]
        self.metadata.update(pattern="^({0})(,({0}))*$".format("|".join(self.choices)))

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> frozenset[Enum]:
        names = [name.strip() for name in value.split(",")]
        if not all(name in self.choices for name in names):
            raise ValidationError(f"must be one or several of {listed(self.choices)}, separated by commas")
        return frozenset(self.choices[name] for name in names)


class Moment(fields.Field):
    """A time in ISO 8601; without an offset it is UTC."""

    default_error_messages = MISSING

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.metadata.update(type="string", format="date-time")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        # A "+" that nobody escaped in a query string arrives as a space.
        value = re.sub(r"(T.*) (\d\d:?\d\d)$", r"\1+\2", value)
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError("must be a time such as 2024-01-01T09:00:00.000Z") from error


class JSONObjectField(fields.Field):
    """Any JSON object."""

    default_error_messages = MISSING

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.metadata.update(type="object", additionalProperties=True)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be a JSON object, {...}")
        return value


def listed(names: Iterable[str]) -> str:
    """``A, B or C``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
