from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stack import Stack, World, a_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A data folder and a clock at 2024-01-01T08:00:00Z; servers are started in it by the test."""
    async with a_world(tmp_path / "data") as world:
        yield world
        assert [event for stack in world.stacks for event in stack.news.untrue] == []


@pytest.fixture
async def stack(world: World) -> Stack:
    """One server at work in ``world``."""
    return await world.server()
