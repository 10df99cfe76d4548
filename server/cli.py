"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import textwrap
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from dotenv import dotenv_values

from handlers.auth import Role, TokenInvalid, Tokens
from server.config import BadSetting, Config, Setting, read_config, settings
from server.importing import read_rows, write_rows
from server.keys import open_tokens
from server.logs import configure_logs
from server.parts import assemble, runners_of
from server.process import opened_store, serve
from store.errors import ServiceError

TTL = re.compile(r"(\d{1,6})\s*([smhdw])", re.IGNORECASE)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST_TTL = timedelta(days=3650)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for; return the process's exit code (2: it cannot be done as asked)."""
    options = _parser().parse_args(arguments)
    try:
        environ = environment()
        config = read_config(environ)
        if options.command == "token":
            print(_token(open_tokens(config), options))
            return 0
        configure_logs(config.log_level, as_json=config.log_format == "json")
        return _run(import_agents(config, environ, options) if options.command == "import" else serve(config, environ))
    except (ServiceError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 2


def environment() -> Mapping[str, str]:
    """The process's environment, on top of what ``.env`` in the working directory sets."""
    from_file = {name: value for name, value in dotenv_values(Path(".env")).items() if value is not None}
    return {**from_file, **os.environ}


def _run(work: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _token(tokens: Tokens, options: argparse.Namespace) -> str:
    """A new token, which this server accepts: an empty user id, say, would make one that it does not."""
    token = tokens.mint(options.user, Role(options.role), options.ttl)
    try:
        tokens.verify(token)
    except TokenInvalid as error:
        raise BadSetting(f"{options.user!r} cannot be a user id: it needs 1 to 256 printable characters") from error
    return token


async def import_agents(config: Config, environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Read and check the whole file, then write; print what was done. A dry run opens no store."""
    lines = _lines(options.file)
    async with runners_of(config, environ) as runners:
        rows = read_rows(lines, runners, config.scheduler_timezone)
    if options.dry_run:
        print(f"agents that can be imported: {len(rows)}; nothing was written")
        return 0
    async with opened_store(config) as store, assemble(config, store, open_tokens(config), environ) as parts:
        written, left = await write_rows(rows, store, parts.service, replace=options.replace)
    print(f"agents imported: {written}; there already, and left alone: {left}")
    return 0


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file} cannot be read: {error}") from error
    return text.split("\n")  # splitlines() would also split at U+2028 and others, which PostgreSQL does not escape


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description="Runs agents on cron schedules and shows what happens, live. Without a command: start the server.",
        epilog=_variables(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("run", help="start the server (the default)", description="Start the server.")
    importing = commands.add_parser(
        "import",
        help="add agents and schedules from a file of JSON lines",
        description="Add agents and schedules from the Node backend's tables: one JSON object a line, such as psql's "
        "row_to_json makes. All lines are checked before the first is written. Stop the server first, unless it keeps "
        "its data in MongoDB.",
    )
    importing.add_argument("file", type=Path, help="the file")
    importing.add_argument("--dry-run", action="store_true", help="check the file, write nothing")
    importing.add_argument("--replace", action="store_true", help="bring agents that are there already up to the file")
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
        text = shown(setting, default)
        lines.append(f"  {setting.name}" + (f" = {text}" if text else ""))
        lines += textwrap.wrap(
            f"{setting.purpose}; {setting.accepts}", 100, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def shown(setting: Setting, default: object) -> str:
    """A variable's default as it would be written; empty where there is none."""
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
