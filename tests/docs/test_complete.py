"""The documents are complete: every route, event, variable and metric stands in them, and what they say is so."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from handlers.app import API_VERSION
from handlers.asyncapi import COMMANDS, REFUSALS
from handlers.earlier_events import EARLIER_EVENTS
from handlers.errors import STATUS
from handlers.events import EVENTS
from handlers.metrics import Metrics
from handlers.openapi import ERRORS, openapi
from handlers.schemas import ScheduleBody
from scheduler.cron import describe, timetable
from server.cli import shown
from server.config import settings
from server.realtime import RealtimeServer
from server.socket_metrics import SocketMetrics
from store.errors import Invalid
from store.records import Outcome
from tests.handlers.stack import running
from tests.support.documents import API, DOCS, OPERATIONS, README, anchors, blocks, documents, links, rows
from tests.support.tools import ROOT, node


def codes(cell: str) -> list[str]:
    """What a cell shows as code."""
    return re.findall(r"`([^`]+)`", cell)


async def test_every_route_is_in_the_description_of_the_api_and_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, scheduling=False) as stack:
        document: Any = openapi(stack.app, API_VERSION)

    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    pages = {"GET /api/docs", "GET /", "GET /socket.io/socket.io.js"}
    sections = ("## Agents", "## Schedules", "## Sessions", "## Scheduler", "## Around it")
    told = [codes(cells[0])[0] for section in sections for cells in rows(API, section) if "/" in cells[0]]
    assert sorted(told) == sorted(routes | pages)


def test_every_status_of_an_error_is_described() -> None:
    told = {int(cells[0]) for cells in rows(API, "## Errors")}

    assert told >= set(STATUS.values()) | set(ERRORS)


def test_every_event_is_described_with_each_field_of_its_payload() -> None:
    told = {codes(cells[0])[0]: cells[1] for cells in rows(API, "### Events")}

    assert told.keys() == {event.name for event in EVENTS}
    for event in EVENTS:
        assert set(codes(told[event.name])) >= event.payload().fields.keys(), event.name


def test_every_event_of_earlier_clients_is_described_with_each_field_of_its_payload() -> None:
    told = {tuple(codes(cells[0] + cells[1])): set(codes(cells[2])) for cells in rows(API, "### Earlier clients")}

    for event in EARLIER_EVENTS:
        assert told[event.namespace, event.name] >= event.payload().fields.keys(), event.name
    for command in COMMANDS:
        if command.namespace != "/" or command.name.endswith("-updates"):
            assert (command.namespace, command.name) in told


def test_every_subscription_and_every_refusal_is_described() -> None:
    told = {codes(cells[0])[0] for cells in rows(API, "### Subscribing")}
    current = {command.name for command in COMMANDS if ":" in command.name and command.namespace == "/"}

    assert told == current
    assert {codes(cells[1])[0]: codes(cells[0])[0] for cells in rows(API, "### Connecting")} == REFUSALS


def test_every_field_of_a_schedule_and_every_outcome_is_described() -> None:
    fields = {codes(cells[0])[0] for cells in rows(API, "## Schedules")}
    outcomes = {code for cells in rows(API, "## Sessions") for code in codes(cells[0])}

    assert fields >= ScheduleBody().fields.keys()
    assert outcomes >= {outcome.value for outcome in Outcome}


def test_every_variable_is_described_with_its_default() -> None:
    told = {codes(cells[0])[0]: cells[1] for cells in rows(OPERATIONS, "## Configuration")}

    expected = {
        setting.name: f"`{text}`" if (text := shown(setting, default)) else "" for setting, default in settings()
    }
    assert told == expected


def test_every_metric_is_described_with_its_labels() -> None:
    told = {codes(cells[0])[0]: set(codes(cells[1])) for cells in rows(OPERATIONS, "## Metrics")}

    metrics = Metrics()
    metrics.registry.register(SocketMetrics(RealtimeServer().metrics))
    metrics.request("GET", "/", 200, 0.001)
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.registry.collect()
    }
    assert told.keys() == families
    labels = {
        sample.name.removesuffix("_count"): sample.labels.keys()
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count"))
    }
    assert all(told[name] == found for name, found in labels.items())


class TestCron:
    def test_each_expression_means_what_the_table_says(self) -> None:
        table = [cells for cells in rows(API, "### Cron expressions") if "`" in cells[0]]
        accepted = [cells for cells in table if not _refused(codes(cells[0])[0])]

        assert len(accepted) > 20
        for cells in accepted:
            for expression in codes(cells[0]):
                assert describe(expression, "UTC") == f"{cells[1]}, UTC", expression

    def test_each_that_is_refused_is_refused_with_these_words(self) -> None:
        table = [cells for cells in rows(API, "### Cron expressions") if "`" in cells[0]]
        refused = {codes(cells[0])[0]: cells[1] for cells in table if _refused(codes(cells[0])[0])}

        assert len(refused) > 15
        for expression, why in refused.items():
            with pytest.raises(Invalid, match=re.escape(why)):
                timetable(expression, "UTC", anchor=datetime.now(UTC))

    def test_intervals_are_accepted_as_shown(self) -> None:
        section = API.read_text().partition("### Intervals\n")[2].partition("###")[0]
        shown = [code for code in codes(section) if code.startswith("every ")]

        assert len(shown) > 4
        assert all(describe(expression, "UTC") for expression in shown)

    def test_the_changes_of_the_clock_are_as_the_table_says(self) -> None:
        zone = ZoneInfo("Europe/Berlin")

        def fires(expression: str, day: datetime, until: int) -> list[str]:
            times, moment, found = timetable(expression, "Europe/Berlin", anchor=day), day.astimezone(UTC), []
            moment += timedelta(hours=1)
            while (local := times.next_after(moment).astimezone(zone)).hour < until and local.day == day.day:
                found.append(f"{local:%H:%M}")
                moment = local.astimezone(UTC)
            return found

        spring, autumn = datetime(2024, 3, 31, tzinfo=zone), datetime(2024, 10, 27, tzinfo=zone)
        assert fires("30 2 * * *", spring, 24) == ["03:00"]
        assert fires("30 2 * * *", autumn, 24) == ["02:30"]
        assert fires("*/30 * * * *", spring, 4)[:2] == ["01:30", "03:00"]
        assert fires("*/30 * * * *", autumn, 3)[1:] == ["02:00", "02:30", "02:00", "02:30"]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
class TestEveryPage:
    def test_its_links_lead_somewhere(self, path: Path) -> None:
        for link in links(path):
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link

    def test_its_json_is_json(self, path: Path) -> None:
        for block in blocks(path, "json"):
            json.loads(block.text)

    def test_its_python_compiles(self, path: Path) -> None:
        for block in blocks(path, "python"):
            compile(block.text, f"{path.name}:{block.line}", "exec")

    @pytest.mark.node
    def test_its_javascript_parses(self, path: Path) -> None:
        for block in blocks(path, "javascript"):
            checked = subprocess.run(
                [node() or "node", "--check", "--input-type=module", "-"],
                input=block.text, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert checked.returncode == 0, f"{path.name}:{block.line}: {checked.stderr}"

    def test_its_commands_exist(self, path: Path) -> None:
        targets = set(re.findall(r"\bmake ([a-z-]+)", "".join(block.text for block in blocks(path, "sh", ""))))
        makefile = (ROOT / "Makefile").read_text()

        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_document_is_reachable_from_the_readme() -> None:
    seen, open_pages = set(), [README]
    while open_pages:
        page = open_pages.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        open_pages += [
            (page.parent / link.partition("#")[0]).resolve() for link in links(page) if not link.startswith("#")
        ]

    assert seen >= set(DOCS.rglob("*.md"))


def _refused(expression: str) -> bool:
    try:
        describe(expression, "UTC")
    except Invalid:
        return True
    return False
