"""Which runner runs an agent: its type's Python function, else its URL, else its command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

from scheduler.runners.base import Runner
from scheduler.runners.command import CommandRunner
from scheduler.runners.http import HttpRunner
from scheduler.runners.http_settings import check_timeout
from scheduler.runners.modules import runners_from_modules
from scheduler.runners.programs import load_programs
from scheduler.runners.python import PythonAgent, python_runner
from scheduler.runners.targets import HostRules
from store.errors import Invalid
from store.records import JSONObject


class RunnerRegistry:
    """Implements ``Runners``."""

    def __init__(self, python: Mapping[str, PythonAgent], *, http: HttpRunner, command: CommandRunner) -> None:
        self._python = {agent_type: python_runner(function) for agent_type, function in python.items()}
        self._http = http
        self._command = command

    def find(self, agent_type: str, configuration: JSONObject) -> Runner:
        check_timeout(configuration)
        if (runner := self._python.get(agent_type)) is not None:
            return runner
        if configuration.get("url") is not None:
            self._http.check(configuration)
            return self._http
        if configuration.get("command") is not None:
            self._command.check(configuration)
            return self._command
        raise Invalid(self._nothing_for(agent_type), field="agentType")

    def types(self) -> list[str]:
        return sorted(self._python)

    def commands(self) -> list[str]:
        """The names that ``configuration.command`` may have, sorted."""
        return self._command.names()

    def _nothing_for(self, agent_type: str) -> str:
        return (
            f"No runner is registered for agentType {agent_type!r}; registered: {', '.join(self.types()) or 'none'}. "
            "To provide one, register a Python function for it in a module listed in AGENT_MODULES, or give the agent "
            "a configuration.url (an HTTP endpoint) or a configuration.command (a program listed in COMMANDS_FILE)."
        )


@asynccontextmanager
async def open_runners(
    *,
    environ: Mapping[str, str],
    samples: Mapping[str, PythonAgent],
    modules: Iterable[str] = (),
    commands_file: Path | None = None,
    allow: Iterable[str] = (),
    points: Iterable[EntryPoint] | None = None,
) -> AsyncIterator[RunnerRegistry]:
    """All runners of a server, from its settings, until the block ends.

    A registered function replaces the sample of the same type. ``environ`` is the server's environment: the HTTP
    runner takes ``AGENT_SECRET_...`` from it, commands a few harmless variables.

    Raises:
        Invalid: naming ``AGENT_MODULES``, ``COMMANDS_FILE`` or ``HTTP_RUNNER_ALLOW`` and what is wrong there.
    """
    programs = load_programs(commands_file, environ) if commands_file is not None else None
    http = HttpRunner(HostRules.of(allow), environ)
    registry = RunnerRegistry(
        {**samples, **runners_from_modules(modules, points)}, http=http, command=CommandRunner(programs)
    )
    await http.start()
    try:
        yield registry
    finally:
        await http.close()
