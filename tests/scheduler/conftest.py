from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.base import Store
from tests.support.stack import Stack, World, a_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A data folder and a clock at 2024-01-01T08:00:00Z; servers are started in it by the test."""
    async with a_world(tmp_path / "data") as world:
        yield world


@pytest.fixture
async def stack(world: World) -> Stack:
    """One server at work in ``world``."""
    return await world.server()


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A ``world`` whose servers share a database: MongoDB as it is, or SQLite as if several could have it."""
    if request.param == "sqlite":
        async with a_world(tmp_path / "data") as world:
            yield world
        return
    uri, name = request.getfixturevalue("mongo_uri"), request.getfixturevalue("mongo_db")

    async def open_store(folder: Path) -> Store:
        from store.mongo import MongoStore

        return await MongoStore.open(uri, name)

    async with a_world(tmp_path, open_store) as world:
        yield world
