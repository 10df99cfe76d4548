from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scheduler.runners import Run
from scheduler.runners.base import Runners
from scheduler.runners.command import CommandRunner
from scheduler.runners.http import HttpRunner
from scheduler.runners.programs import Program
from scheduler.runners.registry import RunnerRegistry, open_runners
from scheduler.runners.targets import HostRules
from store.errors import Invalid
from store.records import JSON, JSONObject
from tests.runners.conftest import SECRETS, Serve
from tests.runners.support import a_run


async def one(run: Run) -> JSON:
    return "one"


async def two(run: Run) -> JSON:
    return "two"


HTTP = HttpRunner(HostRules(), SECRETS)
COMMAND = CommandRunner({"report": Program((sys.executable,), Path(), {})})
REGISTRY: Runners = RunnerRegistry({"ONE": one, "TWO": two}, http=HTTP, command=COMMAND)

URL: JSONObject = {"url": "http://localhost/"}
NAME: JSONObject = {"command": "report"}


async def test_a_python_function_comes_first_then_the_url_then_the_command() -> None:
    assert await REGISTRY.find("ONE", {**URL, **NAME})(a_run()) == "one"
    assert REGISTRY.find("OTHER", {**URL, **NAME}) is HTTP
    assert REGISTRY.find("OTHER", NAME) is COMMAND
    assert REGISTRY.find("OTHER", {"url": None, **NAME}) is COMMAND


def test_the_registered_types_are_listed_sorted() -> None:
    assert REGISTRY.types() == ["ONE", "TWO"]


def test_without_a_runner_the_error_lists_the_types_and_says_how_to_provide_one() -> None:
    with pytest.raises(Invalid) as refused:
        REGISTRY.find("THREE", {})

    assert refused.value.field == "agentType"
    for word in ("'THREE'", "ONE, TWO", "AGENT_MODULES", "configuration.url", "configuration.command", "COMMANDS_FILE"):
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("agent_type", "configuration", "field"),
    [
        ("ONE", {"timeoutMs": -1}, "configuration.timeoutMs"),
        ("OTHER", {"url": "ftp://x"}, "configuration.url"),
        ("OTHER", {**URL, "headers": 5}, "configuration.headers"),
        ("OTHER", {"command": "rm -rf /"}, "configuration.command"),
        ("OTHER", {"command": ["report"]}, "configuration.command"),
    ],
)
def test_a_configuration_that_the_runner_does_not_accept_is_refused_by_field(
    agent_type: str, configuration: JSONObject, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        REGISTRY.find(agent_type, configuration)

    assert refused.value.field == field


def test_an_unknown_command_is_told_what_the_operator_lists() -> None:
    with pytest.raises(Invalid, match="which lists report"):
        REGISTRY.find("OTHER", {"command": "/bin/sh"})


def test_without_a_commands_file_no_command_is_accepted() -> None:
    with pytest.raises(Invalid, match="has no COMMANDS_FILE"):
        RunnerRegistry({}, http=HTTP, command=CommandRunner(None)).find("OTHER", NAME)


async def test_a_server_opens_all_its_runners_from_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    from aiohttp import web

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response("from afar")

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_agents_of_test_registry.py").write_text("async def one(run): return 'own'\nRUNNERS = {'ONE': one}")
    (tmp_path / "commands.json").write_text('{"report": {"argv": ["true"]}}')

    async with open_runners(
        environ=SECRETS,
        samples={"ONE": one, "TWO": two},
        modules=["own_agents_of_test_registry"],
        commands_file=tmp_path / "commands.json",
        allow=["127.0.0.1"],
        points=[],
    ) as registry:
        assert await registry.find("ONE", {})(a_run()) == "own"
        assert registry.types() == ["ONE", "TWO"]
        assert await registry.find("OTHER", {"url": (url := await serve(answer))})(a_run({"url": url})) == "from afar"
        assert await registry.find("OTHER", NAME)(a_run(NAME)) is None
        with pytest.raises(Invalid, match="HTTP_RUNNER_ALLOW"):
            registry.find("OTHER", URL)
