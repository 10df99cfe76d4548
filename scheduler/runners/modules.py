"""Where Python agents come from: modules named in ``AGENT_MODULES``, and entry points of installed packages.

A module registers in one of two ways, or both::

    from scheduler.runners import Run, agent

    @agent("CRM_SYNC")
    async def sync(run: Run) -> str: ...

    RUNNERS = {"CRM_REPORT": report}

Nothing is recorded anywhere when the module is imported; what it holds is collected once, at the server's start.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from scheduler.runners.python import PythonAgent, python_runner
from store.errors import Invalid

GROUP = "neonhub.runners"
VARIABLE = "AGENT_MODULES"
AGENT_TYPE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
"""Upper snake case (matched whole)."""

_MARK = "__neonhub_agent_types__"

F = TypeVar("F", bound=Callable[..., Any])


def agent(agent_type: str) -> Callable[[F], F]:
    """Mark a function as the runner of *agent_type*; it stays what it is, and may carry several marks."""
    if not AGENT_TYPE.fullmatch(agent_type):
        raise ValueError(f"an agent type is upper snake case, such as CRM_SYNC, not {agent_type!r}")

    def mark(function: F) -> F:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), agent_type))
        return function

    return mark


def runners_from_modules(modules: Iterable[str], points: Iterable[EntryPoint] | None = None) -> dict[str, PythonAgent]:
    """The functions that these modules and entry points register, by agent type.

    ``points`` defaults to the group ``neonhub.runners`` of what is installed: the entry point's name is the agent
    type, its object the function. Imports the modules.

    Raises:
        Invalid: naming ``AGENT_MODULES`` and the module, or the entry point and its package, and what is wrong.
    """
    found: dict[str, PythonAgent] = {}
    origins: dict[str, str] = {}
    for origin, agent_type, function in _registrations(modules, points):
        if agent_type in found and found[agent_type] is not function:
            raise _bad(origin, f"{agent_type} is already registered by {origins[agent_type]}.")
        _check(origin, agent_type, function)
        found[agent_type], origins[agent_type] = function, origin
    return found


def _registrations(
    modules: Iterable[str], points: Iterable[EntryPoint] | None
) -> Iterator[tuple[str, str, PythonAgent]]:
    for name in modules:
        origin = f"{VARIABLE}: module {name}"
        registered = list(_registered_in(_loaded(origin, partial(importlib.import_module, name))))
        if not registered:
            raise _bad(
                origin,
                'registers no agent: mark a function with @agent("MY_TYPE"), '
                "or define RUNNERS, a dict from agent type to function.",
            )
        for agent_type, function in registered:
            yield origin, agent_type, function
    for point in entry_points(group=GROUP) if points is None else points:
        package = f" of the package {point.dist.name}" if point.dist else ""
        origin = f"Entry point {point.name} in {GROUP}{package}"
        yield origin, point.name, _loaded(origin, point.load)


def _registered_in(module: Any) -> Iterator[tuple[str, PythonAgent]]:
    runners = getattr(module, "RUNNERS", {})
    if isinstance(runners, Mapping):
        yield from runners.items()
    for value in list(vars(module).values()):
        # By __dict__, not getattr: a module may hold objects that claim to have any attribute.
        marks = getattr(value, "__dict__", {}).get(_MARK, ()) if callable(value) else ()
        for agent_type in marks:
            yield agent_type, value


def _loaded(origin: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does when imported
        raise _bad(origin, f"cannot be imported: {type(error).__name__}: {error}") from error


def _check(origin: str, agent_type: object, function: object) -> None:
    if not isinstance(agent_type, str) or not AGENT_TYPE.fullmatch(agent_type):
        raise _bad(origin, f"{agent_type!r} is not an agent type: those are upper snake case, such as CRM_SYNC.")
    if not callable(function):
        raise _bad(origin, f"what it registers for {agent_type} is not a function.")
    try:
        python_runner(function)
    except TypeError as error:
        raise _bad(origin, f"the function for {agent_type} cannot run: {error}.") from None


def _bad(origin: str, message: str) -> Invalid:
    return Invalid(f"{origin}: {message}", field=VARIABLE if origin.startswith(VARIABLE) else GROUP)
