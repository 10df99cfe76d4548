"""Time as the scheduler sees it: a clock that production reads from the machine and tests hold in their hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

from store.records import milliseconds

LONGEST_SLEEP_S = 3600.0


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment: aware, UTC, whole milliseconds."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return when *moment* has come (at once when it is past). May return early; never late by design."""
        ...


class SystemClock:
    """The machine's wall clock. A sleep is cut into hours, so that a stepped clock is noticed within one."""

    def now(self) -> datetime:
        return milliseconds(datetime.now(UTC))

    async def sleep_until(self, moment: datetime) -> None:
        # now() is cut to milliseconds, so waking within the last one would find nothing due: sleep it out.
        remaining = (moment - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(min(max(remaining, 0.0), LONGEST_SLEEP_S))
