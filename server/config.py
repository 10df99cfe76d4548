"""The configuration: one frozen record, built once at the start from the environment and ``.env``."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from server import readers
from server.readers import Reader
from store.errors import ServiceError
from store.records import MissedRuns

T = TypeVar("T")


class BadSetting(ServiceError):
    """A variable has a value that cannot be used; the message is one line that names it and what it accepts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, how its text is read, what it accepts in words, and what it is for."""

    name: str
    read: Callable[[str], Any]
    accepts: str
    purpose: str


def _setting(name: str, reader: Reader[T], default: T, purpose: str) -> T:
    read, accepts = reader
    value: T = field(default=default, metadata={"setting": Setting(name, read, accepts, purpose)})
    return value


class SocketAuth(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. Each field's metadata holds its ``Setting``: ``settings()`` lists them."""

    host: str = _setting("HOST", readers.text(), "127.0.0.1", "address to listen on")
    port: int = _setting("PORT", readers.integer(0, 65535), 5000, "port to listen on; 0 takes a free one")
    mongodb_uri: str | None = _setting(
        "MONGODB_URI", readers.optional(), None, "MongoDB to keep everything in; unset: the embedded store in DATA_DIR"
    )
    mongodb_db: str = _setting("MONGODB_DB", readers.text(), "neonhub", "the MongoDB database")
    data_dir: Path = _setting(
        "DATA_DIR", readers.path("a folder"), Path("./data"), "where the embedded store and keys live"
    )
    redis_url: str | None = _setting(
        "REDIS_URL",
        readers.optional(),
        None,
        "Redis that carries events between several server processes; unset: one process",
    )
    jwt_secret: str | None = _setting(
        "JWT_SECRET", readers.optional(), None, "key of HS256 tokens; unset: one is made and kept in DATA_DIR"
    )
    jwt_public_key: str | None = _setting(
        "JWT_PUBLIC_KEY",
        readers.optional(),
        None,
        "PEM public key, or a file that holds it: tokens are RS256 or ES256 then",
    )
    cors_origin: tuple[str, ...] = _setting(
        "CORS_ORIGIN",
        readers.origins(),
        ("http://localhost:3000",),
        "origins whose pages may use the API and the sockets",
    )
    socket_auth: SocketAuth = _setting(
        "SOCKET_AUTH", readers.choice(SocketAuth), SocketAuth.REQUIRED, "optional: sockets without a token may listen"
    )
    scheduler_auto_start: bool = _setting(
        "SCHEDULER_AUTO_START", readers.switch(), True, "false: serve, but run nothing"
    )
    scheduler_check_interval: timedelta = _setting(
        "SCHEDULER_CHECK_INTERVAL",
        readers.span("milliseconds", 10, DAY_MS),
        timedelta(minutes=1),
        "the longest the scheduler sleeps",
    )
    scheduler_max_concurrent: int = _setting(
        "SCHEDULER_MAX_CONCURRENT", readers.integer(1, 10_000), 5, "runs at a time in this process"
    )
    scheduler_max_retries: int = _setting(
        "SCHEDULER_MAX_RETRIES", readers.integer(0, 1000), 3, "retries after a failure, before the agent is in ERROR"
    )
    scheduler_backoff_base: timedelta = _setting(
        "SCHEDULER_BACKOFF_BASE",
        readers.span("milliseconds", 1, DAY_MS),
        timedelta(seconds=1),
        "wait before the first retry",
    )
    scheduler_backoff_max: timedelta = _setting(
        "SCHEDULER_BACKOFF_MAX",
        readers.span("milliseconds", 1, DAY_MS),
        timedelta(minutes=5),
        "longest wait before a retry",
    )
    scheduler_run_timeout: timedelta = _setting(
        "SCHEDULER_RUN_TIMEOUT",
        readers.span("milliseconds", 1, 30 * DAY_MS),
        timedelta(hours=1),
        "how long a run may take that has no configuration.timeoutMs",
    )
    scheduler_lease: timedelta = _setting(
        "SCHEDULER_LEASE",
        readers.span("milliseconds", 1000, DAY_MS),
        timedelta(seconds=30),
        "how long a crashed server keeps its agents from running elsewhere",
    )
    scheduler_missed_runs: MissedRuns = _setting(
        "SCHEDULER_MISSED_RUNS",
        readers.choice(MissedRuns),
        MissedRuns.ONCE,
        "what becomes of occurrences missed in downtime",
    )
    scheduler_timezone: str = _setting("SCHEDULER_TIMEZONE", readers.zone(), "UTC", "zone of schedules that name none")
    session_retention_days: timedelta = _setting(
        "SESSION_RETENTION_DAYS", readers.span("days", 1, 36_500), timedelta(days=90), "how long sessions are kept"
    )
    session_retention_count: int = _setting(
        "SESSION_RETENTION_COUNT", readers.integer(1, 10_000_000), 10_000, "how many sessions of an agent are kept"
    )
    shutdown_grace: timedelta = _setting(
        "SHUTDOWN_GRACE",
        readers.span("milliseconds", 0, DAY_MS),
        timedelta(seconds=10),
        "how long runs may go on after SIGTERM",
    )
    rate_limit_max: int = _setting(
        "RATE_LIMIT_MAX",
        readers.integer(0, 1_000_000_000),
        100,
        "requests of a user per window; 0 switches the limit off",
    )
    rate_limit_window: timedelta = _setting(
        "RATE_LIMIT_WINDOW", readers.span("seconds", 1, 86_400), timedelta(seconds=900), "length of the window"
    )
    socket_max_per_user: int = _setting(
        "SOCKET_MAX_PER_USER", readers.integer(0, 1_000_000), 5, "sockets of a user at a time; 0 switches the limit off"
    )
    socket_recovery: timedelta = _setting(
        "SOCKET_RECOVERY",
        readers.span("seconds", 0, 86_400),
        timedelta(seconds=120),
        "how long a lost client can come back and miss nothing; 0 switches recovery off",
    )
    socket_buffer: int = _setting(
        "SOCKET_BUFFER", readers.integer(16_384, 1 << 30), 1 << 20, "bytes that may wait for one slow socket"
    )
    socket_io_uring: bool = _setting(
        "SOCKET_IO_URING", readers.switch(), True, "write events by io_uring where the kernel lets us"
    )
    log_level: LogLevel = _setting("LOG_LEVEL", readers.choice(LogLevel), LogLevel.INFO, "least level that is logged")
    log_format: LogFormat = _setting("LOG_FORMAT", readers.choice(LogFormat), LogFormat.TEXT, "how log lines look")
    agent_modules: tuple[str, ...] = _setting(
        "AGENT_MODULES", readers.names(), (), "Python modules that register agent runners"
    )
    commands_file: Path | None = _setting(
        "COMMANDS_FILE", readers.path("a file"), None, "JSON file that lists the programs agents may run"
    )
    http_runner_allow: tuple[str, ...] = _setting(
        "HTTP_RUNNER_ALLOW", readers.names(), (), "hosts that HTTP agents may call; unset: any that is not refused"
    )
    sample_agents: bool = _setting(
        "SAMPLE_AGENTS", readers.switch(), True, "add two sample agents to a new embedded store"
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def settings() -> Iterator[tuple[Setting, object]]:
    """Every variable with its default, in the order of the documentation."""
    for item in fields(Config):
        yield item.metadata["setting"], item.default


def read_config(environ: Mapping[str, str]) -> Config:
    """Build the configuration; a variable that is unset or empty takes its default.

    Raises:
        BadSetting: a value cannot be read, or two do not go together.
    """
    values: dict[str, Any] = {}
    for item in fields(Config):
        setting: Setting = item.metadata["setting"]
        text = environ.get(setting.name, "").strip()
        if text:
            values[item.name] = _read(setting, text)
    config = Config(**values)
    _check(config)
    return config


def _read(setting: Setting, text: str) -> object:
    try:
        return setting.read(text)
    except (ValueError, OverflowError):
        shown = "this value" if "SECRET" in setting.name or "URI" in setting.name else repr(text)
        raise BadSetting(f"{setting.name}: {shown} cannot be used; it accepts {setting.accepts}") from None


def _check(config: Config) -> None:
    if not config.is_local and config.jwt_secret is None and config.jwt_public_key is None:
        raise BadSetting(
            f"JWT_SECRET: must be set (or JWT_PUBLIC_KEY) when HOST is {config.host}: other machines can reach it there"
        )
    if config.scheduler_backoff_max < config.scheduler_backoff_base:
        raise BadSetting("SCHEDULER_BACKOFF_MAX: must not be less than SCHEDULER_BACKOFF_BASE")
    if config.mongodb_uri and not config.mongodb_uri.startswith(("mongodb://", "mongodb+srv://")):
        raise BadSetting("MONGODB_URI: it accepts mongodb://... or mongodb+srv://...")
    if config.redis_url and not config.redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise BadSetting("REDIS_URL: it accepts redis://..., rediss://... or unix://...")
