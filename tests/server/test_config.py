"""The configuration: defaults of the contract, and one line for every value that cannot be used."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.config import BadSetting, Config, SocketAuth, read_config, settings
from store.records import MissedRuns

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 5000,
    "mongodb_uri": None,
    "mongodb_db": "neonhub",
    "cors_origin": ("http://localhost:3000",),
    "socket_auth": SocketAuth.REQUIRED,
    "scheduler_auto_start": True,
    "scheduler_check_interval": timedelta(milliseconds=60000),
    "scheduler_max_concurrent": 5,
    "scheduler_max_retries": 3,
    "scheduler_backoff_base": timedelta(milliseconds=1000),
    "scheduler_backoff_max": timedelta(milliseconds=300000),
    "scheduler_run_timeout": timedelta(milliseconds=3600000),
    "scheduler_lease": timedelta(milliseconds=30000),
    "scheduler_missed_runs": MissedRuns.ONCE,
    "scheduler_timezone": "UTC",
    "session_retention_days": timedelta(days=90),
    "session_retention_count": 10000,
    "shutdown_grace": timedelta(milliseconds=10000),
    "rate_limit_max": 100,
    "rate_limit_window": timedelta(seconds=900),
    "socket_max_per_user": 5,
    "socket_recovery": timedelta(seconds=120),
    "socket_buffer": 1048576,
    "log_level": "info",
    "log_format": "text",
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_the_defaults_are_those_of_the_contract(name: str, value: object) -> None:
    assert getattr(read_config({}), name) == value


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_config({"PORT": "", "MONGODB_URI": " "}) == Config()


def test_durations_are_read_in_the_unit_of_their_variable() -> None:
    config = read_config({"SCHEDULER_LEASE": "1500", "SOCKET_RECOVERY": "90", "SESSION_RETENTION_DAYS": "7"})

    assert config.scheduler_lease == timedelta(seconds=1.5)
    assert config.socket_recovery == timedelta(seconds=90)
    assert config.session_retention_days == timedelta(days=7)


@pytest.mark.parametrize(
    ("name", "text", "accepts"),
    [
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("SCHEDULER_LEASE", "30s", "(milliseconds)"),
        ("SCHEDULER_LEASE", "1e400", "(milliseconds)"),
        ("SCHEDULER_MAX_CONCURRENT", "0", "a whole number from 1"),
        ("SCHEDULER_AUTO_START", "maybe", "true or false"),
        ("SCHEDULER_MISSED_RUNS", "ALL", "one of ONCE, SKIP"),
        ("SCHEDULER_TIMEZONE", "Mars/Olympus", "an IANA time zone"),
        ("SCHEDULER_TIMEZONE", "../etc/passwd", "an IANA time zone"),
        ("CORS_ORIGIN", "*", "origins such as http://localhost:3000"),
        ("CORS_ORIGIN", "http://a.example/path", "origins such as http://localhost:3000"),
        ("SOCKET_AUTH", "none", "one of required, optional"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("MONGODB_URI", "localhost:27017", "mongodb://"),
        ("REDIS_URL", "localhost", "redis://"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_variable_and_what_it_accepts(
    name: str, text: str, accepts: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        read_config({name: text})

    message = str(refused.value)
    assert message.startswith(f"{name}: ")
    assert accepts in message
    assert "\n" not in message


def test_other_machines_are_not_served_with_a_secret_nobody_chose() -> None:
    with pytest.raises(BadSetting, match="JWT_SECRET: must be set"):
        read_config({"HOST": "0.0.0.0"})

    assert read_config({"HOST": "0.0.0.0", "JWT_SECRET": "a secret somebody chose"}).host == "0.0.0.0"


def test_a_longest_backoff_below_the_first_one_is_refused() -> None:
    with pytest.raises(BadSetting, match="SCHEDULER_BACKOFF_MAX"):
        read_config({"SCHEDULER_BACKOFF_BASE": "2000", "SCHEDULER_BACKOFF_MAX": "1000"})


def test_every_setting_has_a_name_of_its_own_and_a_purpose() -> None:
    names = [setting.name for setting, _ in settings()]

    assert len(set(names)) == len(names)
    assert all(setting.purpose and setting.accepts for setting, _ in settings())
