"""Waiting for whichever comes first, without leaving a task behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first_of(*awaitables: Awaitable[Any]) -> None:
    """Return when the first of *awaitables* is done; cancel the others and see them end.

    A future or task that is handed in is left alone: only what was made here is cancelled, and only what that raised
    is raised here.
    """
    own = [asyncio.ensure_future(item) for item in awaitables if not asyncio.isfuture(item)]
    given = [item for item in awaitables if asyncio.isfuture(item)]
    try:
        await asyncio.wait([*own, *given], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in own:
            future.cancel()
        await asyncio.gather(*own, return_exceptions=True)
    for future in own:
        if not future.cancelled():
            future.result()
