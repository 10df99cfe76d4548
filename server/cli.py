"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import uvloop
from dotenv import dotenv_values

from handlers.auth import Role
from server.config import Config, Setting, read_config, settings
from server.keys import open_tokens
from server.logs import configure_logs
from server.process import serve
from store.errors import ServiceError

TTL = re.compile(r"(\d{1,6})\s*([smhdw])", re.IGNORECASE)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST_TTL = timedelta(days=3650)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for; return the process's exit code (2: it cannot be done as asked)."""
    options = _parser().parse_args(arguments)
    try:
        config = read_config(environment())
        if options.command == "token":
            print(open_tokens(config).mint(options.user, Role(options.role), options.ttl))
            return 0
        configure_logs(config.log_level, as_json=config.log_format == "json")
        return _run(config)
    except (ServiceError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 2


def environment() -> Mapping[str, str]:
    """The process's environment, on top of what ``.env`` in the working directory sets."""
    from_file = {name: value for name, value in dotenv_values(Path(".env")).items() if value is not None}
    return {**from_file, **os.environ}


def _run(config: Config) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(config))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description="Runs agents on cron schedules and shows what happens, live. Without a command: start the server.",
        epilog=_variables(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("run", help="start the server (the default)", description="Start the server.")
    token = commands.add_parser(
        "token",
        help="print a token for the API and the sockets",
        description="Print a JWT signed with JWT_SECRET, or with the secret kept in DATA_DIR.",
    )
    token.add_argument("--user", required=True, help="user id, such as alice")
    token.add_argument("--role", choices=[role.value for role in Role], default="USER", help="default: USER")
    token.add_argument("--ttl", type=_ttl, default="1d", help="how long it is valid: 15m, 12h, 7d; default: 1d")
    return parser


def _ttl(text: str) -> timedelta:
    match = TTL.fullmatch(text.strip())
    span = timedelta(**{UNITS[match[2].lower()]: int(match[1])}) if match else timedelta(0)
    if not timedelta(0) < span <= LONGEST_TTL:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 15m, 12h, 7d (at most ten years)")
    return span


def _variables() -> str:
    """The variables, their defaults and what they are for, as the end of ``--help``."""
    lines = ["variables (from the environment or .env):"]
    for setting, default in settings():
        shown = _shown(setting, default)
        lines.append(f"  {setting.name}" + (f" = {shown}" if shown else ""))
        lines += textwrap.wrap(
            f"{setting.purpose}; {setting.accepts}", 100, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def _shown(setting: Setting, default: object) -> str:
    match default:
        case None | ():
            return ""
        case bool():
            return str(default).lower()
        case timedelta():
            units = next(unit for unit in ("milliseconds", "seconds", "days") if f"({unit})" in setting.accepts)
            return f"{default / timedelta(**{units: 1}):.0f}"
        case tuple():
            return ",".join(default)
    return str(default)
