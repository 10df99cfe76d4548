"""``python -m server import``: the Node backend's tables become agents and schedules, wholly or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.runners.base import Run, Runner
from server.importing import ImportFailed, Row, read_rows
from store.errors import Invalid
from store.records import JSON, JSONObject, MissedRuns, Overlap, Priority
from store.sqlite import SqliteStore
from tests.server.conftest import Command, stored

SNAKE = {
    "id": "ck123",
    "name": "Writer",
    "type": "CONTENT",
    "description": "Writes posts",
    "config": {"url": "http://127.0.0.1:7000/", "apiToken": "t"},
    "status": "ACTIVE",
    "project_id": 12,
    "schedule_expression": "0 9 * * MON-FRI",
    "schedule_enabled": True,
    "schedule_priority": 3,
    "schedule_timezone": "Europe/Berlin",
    "next_run_at": "2024-01-01T08:00:00",
    "retry_count": 2,
    "created_at": "2023-01-01T00:00:00",
}
CAMEL = {
    "id": "ck123",
    "name": "Writer",
    "agentType": "CONTENT",
    "description": "Writes posts",
    "configuration": {"url": "http://127.0.0.1:7000/", "apiToken": "t"},
    "projectId": "12",
    "scheduleExpression": "0 9 * * MON-FRI",
    "scheduleEnabled": True,
    "schedulePriority": "HIGH",
    "scheduleTimezone": "Europe/Berlin",
}


class AnyWithUrl:
    """Finds a runner for whatever has a URL."""

    def find(self, agent_type: str, configuration: JSONObject) -> Runner:
        if "url" not in configuration:
            raise Invalid(f"No runner is registered for {agent_type}.", field="agentType")
        return self._run

    def types(self) -> list[str]:
        return []

    async def _run(self, run: Run) -> JSON:
        raise NotImplementedError


def rows_of(*lines: str | dict[str, Any]) -> list[Row]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return read_rows(texts, AnyWithUrl(), "UTC")


def faults_of(*lines: str | dict[str, Any]) -> list[str]:
    with pytest.raises(ImportFailed) as failed:
        rows_of(*lines)
    return str(failed.value).split("\n")


class TestReading:
    @pytest.mark.parametrize("columns", [SNAKE, CAMEL], ids=["snake case", "camel case"])
    def test_columns_are_known_by_both_spellings(self, columns: dict[str, Any]) -> None:
        (row,) = rows_of(columns)

        assert (row.agent_id, row.agent.name, row.agent.agent_type) == ("ck123", "Writer", "CONTENT")
        assert row.agent.configuration == {"url": "http://127.0.0.1:7000/", "apiToken": "t"}
        assert row.agent.project_id == "12"
        assert row.schedule is not None
        assert row.schedule.expression == "0 9 * * MON-FRI"
        assert row.schedule.priority is Priority.HIGH
        assert row.schedule.timezone == "Europe/Berlin"
        assert row.schedule.enabled

    def test_an_agent_without_an_expression_has_no_schedule(self) -> None:
        rows = rows_of(CAMEL | {"scheduleExpression": None}, CAMEL | {"id": "b", "scheduleExpression": ""})

        assert [row.schedule for row in rows] == [None, None]

    def test_a_disabled_schedule_stays_disabled(self) -> None:
        (row,) = rows_of(CAMEL | {"scheduleEnabled": False})

        assert row.schedule is not None
        assert not row.schedule.enabled

    def test_ids_that_are_numbers_become_text(self) -> None:
        (row,) = rows_of(CAMEL | {"id": 7, "managerId": 8})

        assert (row.agent_id, row.agent.id, row.agent.manager_id) == ("7", "7", "8")

    def test_empty_lines_are_passed_over(self) -> None:
        assert [row.agent_id for row in rows_of("", CAMEL, "  ", CAMEL | {"id": "b"}, "")] == ["ck123", "b"]

    def test_every_line_at_fault_is_named_with_its_reason(self) -> None:
        faults = faults_of(
            CAMEL,
            "[1]",
            "{nonsense",
            '{"id": "c", "name": "C", "agentType": "CONTENT", "configuration": {"a": NaN}}',
            "[" * 100_000,
            CAMEL,
            {key: value for key, value in CAMEL.items() if key != "id"},
            CAMEL | {"id": "with space", "name": ""},
            CAMEL | {"id": "d", "configuration": {}},
            CAMEL | {"id": "e", "scheduleExpression": "0 0 9 * * *"},
            CAMEL | {"id": "f", "scheduleTimezone": "Mars/Olympus"},
            CAMEL | {"id": "g", "schedulePriority": 9},
            CAMEL | {"id": "h", "schedulePriority": True},
            CAMEL | {"id": "i", "scheduleExpression": "0 0 30 2 *"},
        )

        assert faults[0] == "line 2: it must be a JSON object, {...}."
        assert faults[1].startswith("line 3: it is not JSON: ")
        assert faults[2] == "line 4: NaN is not a JSON number."
        assert faults[3] == "line 5: The JSON is nested deeper than 32 levels."
        assert faults[4] == "line 6: id ck123 stands in line 1 already"
        assert faults[5].startswith("line 7: id is missing")
        assert faults[6].startswith("line 8: id must be 1 to 64 of the characters")
        assert "name must not be empty" in faults[6]
        assert faults[7] == "line 9: No runner is registered for CONTENT."
        assert "exactly five are accepted" in faults[8]
        assert faults[9].startswith("line 11: ")
        assert "Mars/Olympus" in faults[9]
        assert faults[10] == "line 12: priority must be one of LOW, NORMAL, HIGH or CRITICAL"
        assert faults[11] == "line 13: priority must be one of LOW, NORMAL, HIGH or CRITICAL"
        assert faults[12].startswith("line 14: ")
        assert faults[13] == "13 lines cannot be imported; nothing was written"
        assert len(faults) == 14


class TestCommand:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[..., Path]:
        def write(*rows: dict[str, Any]) -> Path:
            path = tmp_path / "agents.jsonl"
            path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
            return path

        return write

    def test_agents_and_schedules_are_in_the_store_afterwards(
        self, command: Command, write: Callable[..., Path]
    ) -> None:
        done = command("import", str(write(SNAKE, CAMEL | {"id": "plain", "scheduleExpression": None})))

        assert (done.code, done.out) == (0, "agents imported: 2; there already, and left alone: 0\n")
        writer, plain = stored(command.data_dir)["ck123"], stored(command.data_dir)["plain"]
        assert writer.configuration["apiToken"] == "t"
        assert writer.priority is Priority.HIGH
        assert writer.schedule is not None
        assert writer.schedule.timezone == "Europe/Berlin"
        assert (writer.schedule.overlap, writer.schedule.missed_runs) == (Overlap.SKIP, MissedRuns.ONCE)
        assert writer.next_run_at is not None
        assert plain.schedule is None

    def test_a_store_that_an_import_made_gets_no_sample_agents(
        self, command: Command, write: Callable[..., Path]
    ) -> None:
        command("import", str(write(CAMEL)))

        assert list(stored(command.data_dir)) == ["ck123"]

    def test_a_dry_run_checks_the_file_and_leaves_no_trace(self, command: Command, write: Callable[..., Path]) -> None:
        done = command("import", "--dry-run", str(write(CAMEL)))

        assert (done.code, done.out) == (0, "agents that can be imported: 1; nothing was written\n")
        assert not command.data_dir.exists()

    def test_one_line_at_fault_keeps_the_whole_file_out(self, command: Command, write: Callable[..., Path]) -> None:
        done = command("import", str(write(CAMEL, CAMEL | {"id": "b", "scheduleExpression": "nonsense"})))

        assert done.code == 2
        assert "line 2: " in done.err
        assert "nothing was written" in done.err
        assert not command.data_dir.exists()

    def test_agents_that_are_there_already_are_left_alone(self, command: Command, write: Callable[..., Path]) -> None:
        command("import", str(write(CAMEL)))

        done = command("import", str(write(CAMEL | {"name": "Other"}, CAMEL | {"id": "b"})))

        assert done.out == "agents imported: 1; there already, and left alone: 1\n"
        assert stored(command.data_dir)["ck123"].name == "Writer"

    def test_replace_brings_them_up_to_the_file(self, command: Command, write: Callable[..., Path]) -> None:
        command("import", str(write(CAMEL, CAMEL | {"id": "b"}, CAMEL | {"id": "c"})))
        without = {key: value for key, value in CAMEL.items() if not key.startswith("schedule")}

        done = command(
            "import",
            "--replace",
            str(
                write(
                    CAMEL | {"name": "Other", "scheduleExpression": "0 10 * * *", "projectId": None},
                    without | {"id": "b"},
                    CAMEL | {"id": "c", "scheduleExpression": None},
                )
            ),
        )

        assert done.out == "agents imported: 3; there already, and left alone: 0\n"
        agents = stored(command.data_dir)
        changed, untold, emptied = agents["ck123"], agents["b"], agents["c"]
        assert (changed.name, changed.project_id) == ("Other", None)
        assert changed.schedule is not None
        assert changed.schedule.expression == "0 10 * * *"
        assert untold.schedule is not None  # a file without the column says nothing about it
        assert emptied.schedule is None

    def test_a_line_separator_inside_a_text_does_not_end_the_line(
        self, command: Command, write: Callable[..., Path]
    ) -> None:
        done = command("import", str(write(CAMEL | {"description": "one\u2028two\x85three"})))

        assert done.code == 0, done.err
        assert stored(command.data_dir)["ck123"].description == "one\u2028two\x85three"

    def test_a_byte_order_mark_is_no_part_of_the_first_line(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "windows.jsonl"
        path.write_text(json.dumps(CAMEL) + "\r\n", encoding="utf-8-sig")

        assert command("import", str(path)).code == 0

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "not UTF-8"])
    def test_a_file_that_cannot_be_read_is_named(self, command: Command, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "agents.jsonl"
        if content is not None:
            path.write_bytes(content)

        done = command("import", str(path))

        assert done.code == 2
        assert done.err.startswith(f"{path} cannot be read: ")

    async def test_a_store_that_a_server_has_open_is_left_alone(
        self, command: Command, write: Callable[..., Path]
    ) -> None:
        command.data_dir.mkdir()
        server = await SqliteStore.open(command.data_dir)
        try:
            done = await asyncio.to_thread(command, "import", str(write(CAMEL)))

            assert done.code == 2
            assert "is used by another server" in done.err
        finally:
            await server.close()
