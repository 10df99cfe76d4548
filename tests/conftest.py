"""What every test can use, and a loud word at the end about what could not be run on this machine."""

from __future__ import annotations

import itertools
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pymongo import MongoClient

from tests.support.mongo import MongoServer
from tests.support.tools import NEEDS, mongo_python

REQUIRE_ALL = os.environ.get("REQUIRE_ALL", "") not in ("", "0")
"""A test that cannot run is a failure, not a skip; .ci/run says so."""

NOT_RUN = pytest.StashKey[Counter[str]]()

settings.register_profile("default", deadline=None)  # how fast the machine is decides over no test
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_RUN] = Counter()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine lacks the means for, or fail it where nothing may be skipped."""
    for marker, missing in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            item.config.stash[NOT_RUN][f"marked `{marker}`: {reason}"] += 1
            if REQUIRE_ALL:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With REQUIRE_ALL nothing at all may be skipped, whatever the reason."""
    if REQUIRE_ALL and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not run and what would make it run."""
    if config.stash[NOT_RUN]:
        terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
        for what, count in config.stash[NOT_RUN].items():
            terminalreporter.line(f"{count} test{'s' if count > 1 else ''} {what}", red=True)
    if REQUIRE_ALL and _skipped(config):
        terminalreporter.line(f"REQUIRE_ALL is set and {_skipped(config)} were skipped: this is a failure", red=True)


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """A MongoDB server for the whole run: the one in MONGODB_TEST_URI, else a process of our own. Mark: ``mongo``."""
    if uri := os.environ.get("MONGODB_TEST_URI"):
        yield uri
        return
    with MongoServer(_mongo_python()) as server:
        yield server.uri


@pytest.fixture(scope="session")
def mongo_databases(mongo_uri: str) -> Iterator[Iterator[str]]:
    """Database names that no other test and no other run uses; dropped at the end of the run."""
    run = secrets.token_hex(4)
    used: list[str] = []

    def names() -> Iterator[str]:
        for number in itertools.count(1):
            used.append(f"neonhub_test_{run}_{number}")
            yield used[-1]

    yield names()
    with MongoClient[dict[str, object]](mongo_uri) as client:
        for name in used:
            client.drop_database(name)


@pytest.fixture
def mongo_db(mongo_databases: Iterator[str]) -> str:
    """The name of an empty database at ``mongo_uri`` that belongs to this test alone."""
    return next(mongo_databases)


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[MongoServer]:
    """A MongoDB server that belongs to this test alone, to be killed and started again. Mark: ``mongo``."""
    data_dir = tmp_path / "mongo"
    data_dir.mkdir()
    with MongoServer(_mongo_python(), data_dir=data_dir) as server:
        yield server


def _mongo_python() -> Path:
    python = mongo_python()
    if python is None:
        pytest.skip("no MongoDB server of our own can be started: `make test` sets one up with Python 3.13")
    return python
