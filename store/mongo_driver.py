"""The MongoDB driver, tamed: bounded in time, its errors in our words, its types as they are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from pymongo.errors import DocumentTooLarge, PyMongoError
from pymongo.write_concern import WriteConcern

from store.codec import Document
from store.errors import Invalid, StoreUnavailable

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorCollection

Collection: TypeAlias = "AsyncIOMotorCollection[Document]"

TIMEOUTS_MS = {"serverSelectionTimeoutMS": 3_000, "connectTimeoutMS": 3_000, "socketTimeoutMS": 10_000}
"""How long a call waits."""
DURABLE = WriteConcern("majority", j=True, wtimeout=8_000)
"""A majority has the write in its journal, within so many milliseconds."""

P = ParamSpec("P")
T = TypeVar("T")


def timeouts(uri: str) -> dict[str, Any]:
    """The time-outs to connect with; what *uri* says itself goes before ours."""
    return {name: value for name, value in TIMEOUTS_MS.items() if name.lower() not in uri.lower()}


def answered(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let no driver's error out of *method*."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except PyMongoError as error:
            raise StoreUnavailable(f"MongoDB did not answer as it should ({type(error).__name__})") from error
        except DocumentTooLarge as error:
            raise Invalid("The record is larger than MongoDB can keep") from error

    return call


async def found(
    collection: Collection, matching: Document, only: Document | None = None, *, limit: int | None = None, **how: Any
) -> list[Document]:
    """What is found; a limit of 0 finds nothing (to MongoDB it would mean all)."""
    if limit == 0:
        return []
    return await collection.find(matching, only, limit=limit or 0, **how).to_list(None)


async def updated(collection: Collection, matching: Document, update: Document, **how: Any) -> Document | None:
    """``find_one_and_update``, whose type forgets that there may be nothing to update; as it was before by default."""
    document: Any = await collection.find_one_and_update(matching, update, **how)
    return document  # type: ignore[no-any-return]


def gist(error: Exception) -> str:
    """The first sentence of a driver's error: what follows is the driver's view of the cluster."""
    return str(error).partition(", Timeout:")[0].partition(", full error")[0]
