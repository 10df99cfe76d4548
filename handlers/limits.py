"""How many requests a user may make: fixed windows, each beginning with the user's first request after the last."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user has left: ``remaining`` requests until the window ends in ``reset_s`` seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class RateLimits:
    """At most *limit* requests per user in *window_s* seconds; 0 switches the limit off.

    A fixed window costs the same for a limit of ten and of ten million, and tells exactly when to come back.
    *storage* may be one that several processes share.
    """

    def __init__(self, limit: int, window_s: int, *, storage: Storage | None = None) -> None:
        self.limit, self.window_s = limit, window_s
        self._item = RateLimitItemPerSecond(limit, window_s) if limit else None
        self._limiter = FixedWindowRateLimiter(storage or MemoryStorage())

    async def count(self, user_id: str) -> Standing | None:
        """Count one request of *user_id* and tell where that leaves them; None where there is no limit."""
        if self._item is None:
            return None
        allowed = await self._limiter.hit(self._item, user_id)
        stats = await self._limiter.get_window_stats(self._item, user_id)
        reset_s = min(max(math.ceil(stats.reset_time - time.time()), 1), self.window_s)
        return Standing(allowed, self.limit, max(stats.remaining, 0), reset_s)

    def untouched(self) -> Standing | None:
        """Where somebody stands who has made no request: for answers to those we could not tell apart."""
        return Standing(True, self.limit, self.limit, self.window_s) if self.limit else None
