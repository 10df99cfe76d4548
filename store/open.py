"""Which backend answers: MongoDB where one is named, else the embedded store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from store.base import Store
from store.sqlite import SqliteStore


@asynccontextmanager
async def open_store(*, mongodb_uri: str | None, mongodb_db: str, data_dir: Path) -> AsyncIterator[Store]:
    """The store, open as long as the block runs.

    Raises:
        Conflict: another process uses *data_dir*, or a newer version of this server wrote it.
        StoreUnavailable: the database cannot be reached now (after a few seconds at most), or the folder not used.
    """
    store = await _open(mongodb_uri, mongodb_db, data_dir)
    try:
        yield store
    finally:
        await store.close()


async def _open(mongodb_uri: str | None, mongodb_db: str, data_dir: Path) -> Store:
    if not mongodb_uri:
        return await SqliteStore.open(data_dir)
    from store.mongo import MongoStore  # the driver takes a quarter of a second to import: not where it is not used

    return await MongoStore.open(mongodb_uri, mongodb_db)
