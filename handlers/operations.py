"""What a route takes and answers, said once: the validation and the API's documentation both read it from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from marshmallow import Schema, ValidationError

from handlers.bodies import check_text, read_object
from handlers.errors import Handler, InvalidFields
from store.errors import Invalid
from store.records import JSONObject

BODY: web.RequestKey[Any] = web.RequestKey("body", object)
"""What the operation's body schema made of the request's body."""
QUERY: web.RequestKey[Any] = web.RequestKey("query", object)
"""What the operation's query schema made of the request's query string."""

_ATTRIBUTE = "__operation__"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: what it tells, and the schema of its JSON (None: text, or any object)."""

    description: str
    schema: Schema | None = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One handler, as clients see it. ``errors`` are the statuses beside those that every route may answer."""

    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    body: Schema | None = None
    body_required: bool = True
    query: Schema | None = None
    errors: tuple[int, ...] = field(default=())
    wants_token: bool = True


H = TypeVar("H", bound=Callable[..., Awaitable[web.StreamResponse]])


def operation(
    summary: str,
    *,
    tag: str,
    answers: Mapping[int, Answer],
    body: Schema | None = None,
    body_required: bool = True,
    query: Schema | None = None,
    errors: tuple[int, ...] = (),
    wants_token: bool = True,
) -> Callable[[H], H]:
    """Declare a handler: its input arrives validated in ``request[BODY]`` and ``request[QUERY]``.

    *wants_token* only tells: which paths want one is settled in ``handlers.middlewares``.
    """

    def declared(handler: H) -> H:
        described = Operation(
            summary=summary,
            tag=tag,
            answers=answers,
            description=" ".join((handler.__doc__ or "").split()),
            body=body,
            body_required=body_required,
            query=query,
            errors=errors,
            wants_token=wants_token,
        )
        setattr(handler, _ATTRIBUTE, described)
        return handler

    return declared


def operation_of(handler: object) -> Operation | None:
    """What was declared of a handler, None for one that is no part of the documented API."""
    declared: Operation | None = getattr(handler, _ATTRIBUTE, None)
    return declared


@web.middleware
async def validate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse with 400 what the operation's schemas refuse; the handler sees only what they made of the rest."""
    declared = operation_of(request.match_info.handler)
    if declared is not None and declared.query is not None:
        request[QUERY] = load(declared.query, _query(request))
    if declared is not None and declared.body is not None:
        request[BODY] = load(declared.body, await read_object(request, required=declared.body_required))
    return await handler(request)


def load(schema: Schema, data: JSONObject) -> Any:
    """What *schema* makes of *data*; ``InvalidFields`` names every field it refuses."""
    try:
        return schema.load(data)
    except ValidationError as error:
        raise InvalidFields(_flat(error)) from error


def _query(request: web.Request) -> JSONObject:
    values: JSONObject = {}
    for name, value in request.query.items():
        if name in values:
            raise Invalid(f"{name} is given twice.", field=name)
        check_text(value)
        values[name] = value
    return values


def _flat(error: ValidationError) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    return [(field, message) for field, messages in found.items() for message in messages]
