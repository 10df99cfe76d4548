"""What images are made of, as far as that can be told without Docker: the files, the steps, the health check."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import read_config, settings
from tests.support.server_process import SECRET, ServerProcess, server_process
from tests.support.tools import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: Any = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_steps_are_those_of_make_setup() -> None:
    makefile = (ROOT / "Makefile").read_text()
    flags = re.search(r"^NPM_CI = npm ci (.*(?:\\\n.*)*)$", makefile, re.MULTILINE)

    npm = re.search(r"^RUN npm ci (.*)$", DOCKERFILE, re.MULTILINE)
    assert flags is not None
    assert npm is not None
    assert set(npm[1].split()) <= set(flags[1].split())
    assert "-r requirements.txt" in makefile
    assert "-r requirements.txt" in DOCKERFILE


def test_the_last_stage_compiles_and_installs_nothing_and_is_not_root() -> None:
    last = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[-1]

    assert not re.search(r"\b(pip|npm|apt-get|apk)\b", last)
    user = re.search(r"^USER (\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0


def test_what_is_copied_is_all_that_the_server_needs(tmp_path: Path) -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in kept:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | _image_environment()

    answer = subprocess.run(
        [sys.executable, "-m", "server", "token", "--user", "me"],
        cwd=tmp_path, env=environ | {"JWT_SECRET": SECRET}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(".") == 2


class TestHealthCheck:
    def test_a_server_that_is_well_is_healthy(self, tmp_path: Path) -> None:
        with server_process(tmp_path) as server:
            assert _health(server) == 0

    def test_a_server_that_does_not_answer_is_not(self, tmp_path: Path) -> None:
        with server_process(tmp_path) as server:
            server.kill()
            server.ended()

            assert _health(server) != 0


class TestCompose:
    def test_every_variable_of_the_server_is_one_it_knows_and_takes(self) -> None:
        given: dict[str, str] = COMPOSE["services"]["server"]["environment"]

        assert given.keys() <= {setting.name for setting, _ in settings()}
        values = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text) for name, text in given.items()}
        config = read_config(_image_environment() | values)
        assert config.mongodb_uri is not None
        assert config.mongodb_uri.endswith("?replicaSet=rs0")
        assert "rs0" in COMPOSE["services"]["mongo"]["command"]

    def test_there_is_no_secret_in_it(self) -> None:
        assert COMPOSE["services"]["server"]["environment"]["JWT_SECRET"].startswith("${JWT_SECRET:?")

    @pytest.mark.parametrize("service", ["mongo", "redis"])
    def test_the_server_waits_until_what_it_needs_is_healthy(self, service: str) -> None:
        assert COMPOSE["services"]["server"]["depends_on"][service] == {"condition": "service_healthy"}
        assert COMPOSE["services"][service]["healthcheck"]["test"]


def _image_environment() -> dict[str, str]:
    found = re.search(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    pairs = dict(word.split("=", 1) for word in shlex.split(found[1].replace("\\\n", " ")))
    return {name: value for name, value in pairs.items() if name != "PATH"}


def _health(server: ServerProcess) -> int:
    found = re.search(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    _, *arguments = json.loads(found[1])
    environ = {**os.environ, "PORT": server.url.rpartition(":")[2]}
    return subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, check=False).returncode
