"""The programs that agents may run, as the operator listed them in ``COMMANDS_FILE``.

A JSON object; a client names one of its keys and can change nothing about what it starts::

    {"report": {"argv": ["./report.sh", "--all"], "cwd": "/srv/reports", "env": {"REGION": "eu"}}}

``cwd`` (optional) is relative to the folder of the file, which is also its default; ``env`` (optional) is added to
the few variables that every program gets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from store.errors import Invalid
from store.records import JSON, JSONObject

VARIABLE = "COMMANDS_FILE"
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a program gets of the server's environment. No more: the rest holds the server's own secrets."""
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEYS = frozenset({"argv", "cwd", "env"})


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: ``env`` is the whole environment, ``own_env`` the part that the file lists."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    own_env: Mapping[str, str] = field(default_factory=dict)


def load_programs(path: Path, environ: Mapping[str, str]) -> dict[str, Program]:
    """Read and check the file, down to whether each program exists and each folder is one.

    Raises:
        Invalid: naming ``COMMANDS_FILE``, the entry and what it accepts.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise _bad(path, f"is not JSON: {error}.") from error
    if not isinstance(listed, dict):
        raise _bad(path, 'must hold an object such as {"report": {"argv": ["/usr/local/bin/report"]}}.')
    inherited = {name: environ[name] for name in INHERITED if name in environ}
    inherited.setdefault("PATH", DEFAULT_PATH)
    return {name: _Entry(path, name).program(entry, inherited) for name, entry in listed.items()}


class _Entry:
    """One entry of the file, with what an error about it has to name."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def program(self, entry: JSON, inherited: Mapping[str, str]) -> Program:
        if not _NAME.fullmatch(self._name):
            raise self._bad("is not a name: letters, digits, dot, underscore and hyphen, 64 at most.")
        if not isinstance(entry, dict):
            raise self._bad('must be an object such as {"argv": ["/usr/local/bin/report"]}.')
        if unknown := sorted(entry.keys() - _KEYS):
            raise self._bad(f"has an unknown key {unknown[0]!r}; known are argv, cwd and env.")
        own = self._env(entry.get("env"))
        env = {**inherited, **own}
        cwd = self._cwd(entry.get("cwd"))
        return Program(self._argv(entry.get("argv"), cwd, env["PATH"]), cwd, env, own)

    def _argv(self, given: JSON, cwd: Path, search: str) -> tuple[str, ...]:
        if not isinstance(given, list) or not given or not all(_is_text(word) for word in given) or not given[0]:
            raise self._bad("needs argv, a list of strings that starts with the program.")
        program, *arguments = cast(list[str], given)
        # Looked for where the program will run: a path with a slash is relative to its folder, not to the server's.
        found = shutil.which(str(cwd / program) if os.sep in program else program, path=search)
        if found is None:
            raise self._bad(f"the program {program!r} was not found, or is not executable.")
        return (found, *arguments)

    def _cwd(self, given: JSON) -> Path:
        if given is not None and (not _is_text(given) or not given):
            raise self._bad("cwd must be a path.")
        cwd = self._path.absolute().parent / cast(str, given or "")
        if not cwd.is_dir():
            raise self._bad(f"cwd {str(cwd)!r} is not a folder.")
        return cwd

    def _env(self, given: JSON) -> dict[str, str]:
        if given is None:
            return {}
        if not isinstance(given, dict) or not all(
            name and "=" not in name and _is_text(name) and _is_text(value) for name, value in given.items()
        ):
            raise self._bad("env must be an object of strings.")
        return cast(dict[str, str], dict(given))

    def _bad(self, message: str) -> Invalid:
        return _bad(self._path, f"{self._name!r}: {message}")


def _is_text(value: JSON) -> bool:
    return isinstance(value, str) and "\0" not in value


def _unique(pairs: list[tuple[str, JSON]]) -> JSONObject:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name!r} stands there twice")
    return dict(pairs)


def _bad(path: Path, message: str) -> Invalid:
    return Invalid(f"{VARIABLE} ({path}): {message}", field=VARIABLE)
