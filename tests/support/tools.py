"""What some tests need from the machine besides Python, where it is found, and the reason where it is not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from server.realtime.ring import Ring

ROOT = Path(__file__).resolve().parents[2]
JS_TESTS = ROOT / "tests" / "js"
MONGO_VENV = Path(os.environ.get("MONGO_VENV", ROOT / ".venv-mongo"))

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def mongo_python() -> Path | None:
    """The interpreter that can run ``mongo_server.py``; made by ``make test`` where it finds Python 3.13."""
    python = MONGO_VENV / "bin" / "python"
    return python if python.exists() and (MONGO_VENV / ".installed").exists() else None


def node() -> str | None:
    """Node.js: the machine's own, or the one that ``make`` installs into the environment where there is none."""
    return shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))


def chromium() -> str | None:
    """A Chromium or Chrome that can run headless: ``CHROMIUM``, or the first on PATH."""
    names = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES)
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _mongo_missing() -> str | None:
    if os.environ.get("MONGODB_TEST_URI") or mongo_python():
        return None
    return (
        "no MongoDB server. `make test` sets one up where it finds Python 3.13 or newer: install that, or name the"
        " interpreter in MONGO_TEST_PYTHON, or name a running server in MONGODB_TEST_URI"
    )


def _node_missing() -> str | None:
    if node() is None:
        return "no Node.js. Install it, or let `make test` fetch it with pip"
    if (JS_TESTS / "package.json").exists() and not (JS_TESTS / "node_modules").exists():
        return "the packages of tests/js are not installed: `make test` fetches them with npm"
    return None


def _browser_missing() -> str | None:
    return None if chromium() else "no Chromium. Install it (`apt-get install chromium`), or name it in CHROMIUM"


def redis_server() -> str | None:
    """The Redis server program."""
    return shutil.which("redis-server")


def _redis_missing() -> str | None:
    return None if redis_server() else "no Redis server. Install it (`apt-get install redis-server`)"


def _curl_missing() -> str | None:
    return None if shutil.which("curl") else "no curl. Install it (`apt-get install curl`)"


def _io_uring_missing() -> str | None:
    try:
        Ring().close()
    except OSError as error:
        return f"no io_uring: {error}. Containers forbid it by default, and kernels before Linux 5.6 have none or half"
    return None


NEEDS: Mapping[str, Callable[[], str | None]] = {
    "mongo": _mongo_missing,
    "node": _node_missing,
    "browser": _browser_missing,
    "curl": _curl_missing,
    "redis": _redis_missing,
    "io_uring": _io_uring_missing,
}
"""Marker of a test to what tells why the machine cannot run it; None where it can."""
