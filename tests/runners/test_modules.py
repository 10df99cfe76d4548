from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from scheduler.runners import agent
from scheduler.runners.modules import GROUP, runners_from_modules
from store.errors import Invalid

numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module that can be imported, with a name nobody else has, and returns the name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        name = f"agents_for_test_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


MARKED = """
from scheduler.runners import agent

@agent("CRM_SYNC")
@agent("CRM_RESYNC")
async def sync(run): ...
"""


def test_marked_functions_and_those_in_runners_are_collected(module: Callable[[str], str]) -> None:
    listed = module("def report(run): ...\nRUNNERS = {'CRM_REPORT': report}\n")

    found = runners_from_modules([module(MARKED), listed], [])

    assert sorted(found) == ["CRM_REPORT", "CRM_RESYNC", "CRM_SYNC"]


def test_a_marked_function_stays_a_plain_function() -> None:
    def work(run: object) -> int:
        return 5

    assert agent("WORK")(work) is work


def test_a_function_seen_through_two_modules_is_one_registration(module: Callable[[str], str]) -> None:
    first = module(MARKED)
    second = module(f"from {first} import sync\n")

    assert sorted(runners_from_modules([first, second], [])) == ["CRM_RESYNC", "CRM_SYNC"]


def test_entry_points_register_by_their_name(module: Callable[[str], str]) -> None:
    point = EntryPoint("CRM_REPORT", f"{module('async def report(run): ...')}:report", GROUP)

    assert list(runners_from_modules([], [point])) == ["CRM_REPORT"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(1)", "SystemExit"),
        ("def (", "SyntaxError"),
        ("", r'registers no agent: mark a function with @agent\("MY_TYPE"\)'),
        ("RUNNERS = [print]", "registers no agent"),
        ("RUNNERS = {'crmSync': print}", "'crmSync' is not an agent type"),
        ("RUNNERS = {5: print}", "5 is not an agent type"),
        ("RUNNERS = {'CRM': 5}", "is not a function"),
        ("RUNNERS = {'CRM': lambda: 5}", "must take one argument, the run"),
        ("from scheduler.runners import agent\n@agent('crm')\ndef f(run): ...", "upper snake case"),
    ],
)
def test_a_module_that_registers_nothing_of_use_stops_the_start_by_name(
    module: Callable[[str], str], source: str, says: str
) -> None:
    name = module(source)

    with pytest.raises(Invalid, match=says) as refused:
        runners_from_modules([name], [])

    assert str(refused.value).startswith(f"AGENT_MODULES: module {name}: ")


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(Invalid, match=r"AGENT_MODULES: module no_such\.agents: cannot be imported"):
        runners_from_modules(["no_such.agents"], [])


def test_two_functions_for_one_type_are_refused_and_both_places_named(module: Callable[[str], str]) -> None:
    first = module("RUNNERS = {'CRM': lambda run: 1}")
    second = module("RUNNERS = {'CRM': lambda run: 2}")

    with pytest.raises(Invalid, match=f"module {second}: CRM is already registered by .*module {first}"):
        runners_from_modules([first, second], [])


def test_a_bad_entry_point_is_named() -> None:
    with pytest.raises(Invalid, match=r"Entry point CRM in neonhub\.runners: cannot be imported"):
        runners_from_modules([], [EntryPoint("CRM", "no_such_package:run", GROUP)])


def test_objects_that_claim_every_attribute_are_not_taken_for_agents(module: Callable[[str], str]) -> None:
    source = "from unittest import mock\nanything = mock.MagicMock()\nRUNNERS = {'CRM': lambda run: 1}\n"

    assert list(runners_from_modules([module(source)], [])) == ["CRM"]
