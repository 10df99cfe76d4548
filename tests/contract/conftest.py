"""The store under test: each backend in turn, empty. No test here skips one or overrides a rule for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.base import Store
from store.open import open_store


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    uri, name = None, ""
    if request.param == "mongo":
        uri, name = request.getfixturevalue("mongo_uri"), request.getfixturevalue("mongo_db")
    async with open_store(mongodb_uri=uri, mongodb_db=name, data_dir=tmp_path) as store:
        yield store
