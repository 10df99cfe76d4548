"""The Postman collection: made of the API's document, and run by newman against a live server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.postman import COLLECTION, ENVIRONMENT, made
from tests.support.postman_tour import TOUR
from tests.support.server_process import server_process
from tests.support.tools import JS_TESTS, node

NEWMAN = JS_TESTS / "node_modules" / "newman" / "bin" / "newman.js"


def test_the_committed_files_are_what_make_docs_makes() -> None:
    for path, text in made().items():
        assert path.read_text() == text, "run `make docs` and commit what it changed"


def test_every_route_of_the_document_is_in_it_once_and_its_token_is_a_variable() -> None:
    collection = json.loads(COLLECTION.read_text())

    requests = [item["request"] for folder in collection["item"][1:] for item in folder["item"]]
    assert len({item["name"] for folder in collection["item"] for item in folder["item"]}) == len(requests) + len(TOUR)
    assert len(requests) > 25
    assert all(request["url"]["raw"].startswith("{{baseUrl}}/") for request in requests)
    assert collection["auth"]["bearer"][0]["value"] == "{{token}}"
    variables = {value["key"]: value for value in json.loads(ENVIRONMENT.read_text())["values"]}
    assert variables.keys() == {"baseUrl", "token"}
    assert variables["token"]["value"] == ""


@pytest.mark.node
def test_newman_runs_all_of_it_against_a_server_as_it_comes(tmp_path: Path) -> None:
    with server_process(tmp_path, RATE_LIMIT_MAX="100") as server:
        report = tmp_path / "report.json"
        newman = subprocess.run(
            [
                node() or "node", str(NEWMAN), "run", str(COLLECTION), "--environment", str(ENVIRONMENT),
                "--env-var", f"baseUrl={server.url}", "--env-var", f"token={server.token()}",
                "--reporters", "json", "--reporter-json-export", str(report),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    run: Any = json.loads(report.read_text())["run"]
    assert [f"{failure['source']['name']}: {failure['error']['message']}" for failure in run["failures"]] == []
    assert newman.returncode == 0, newman.stderr
    assert {execution["item"]["name"] for execution in run["executions"]} >= {step.name for step in TOUR}
    assert run["stats"]["assertions"]["total"] > 70
