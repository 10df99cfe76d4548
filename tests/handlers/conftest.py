from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.stack import Stack, running


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A server without a rate limit, its scheduler at work, its clock held at 2024-01-01T08:00:00Z."""
    async with running(tmp_path / "data") as stack:
        yield stack
