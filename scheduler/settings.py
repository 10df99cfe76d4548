"""The numbers the scheduler runs by, with the defaults of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from store.records import MissedRuns


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """``max_retries`` retries follow a failure, each after ``min(backoff_base * 2**(n-1), backoff_max)``.

    ``check_interval`` is the longest the loop sleeps; ``lease`` how long a claim holds without being renewed;
    ``grace`` how long runs may go on at shutdown; ``retention`` and ``keep_sessions`` bound an agent's history.
    """

    max_concurrent: int = 5
    check_interval: timedelta = timedelta(minutes=1)
    max_retries: int = 3
    backoff_base: timedelta = timedelta(seconds=1)
    backoff_max: timedelta = timedelta(minutes=5)
    run_timeout: timedelta = timedelta(hours=1)
    lease: timedelta = timedelta(seconds=30)
    missed_runs: MissedRuns = MissedRuns.ONCE
    timezone: str = "UTC"
    retention: timedelta = timedelta(days=90)
    keep_sessions: int = 10_000
    grace: timedelta = timedelta(seconds=10)
