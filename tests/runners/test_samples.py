from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from scheduler import samples
from scheduler.runners.python import python_runner
from scheduler.samples import FileInventory, SystemSurvey, sample_agents, sample_runners
from store.records import AGENT_ID, JSON
from tests.runners.support import Heard, a_run, ended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(30):
        (tmp_path / f"file{number}.txt").write_text(str(number))
    for skipped in (".git", "__pycache__", "data"):
        (tmp_path / skipped).mkdir()
        (tmp_path / skipped / "not-counted").write_text("x")
    return tmp_path


async def result_of(function: FileInventory | SystemSurvey, heard: Heard) -> JSON:
    return await python_runner(function)(a_run(sink=heard))


async def test_an_inventory_tells_how_far_it_is_and_what_has_changed(folder: Path) -> None:
    heard, again = Heard(), Heard()
    inventory = FileInventory(folder)

    assert await result_of(inventory, heard) == "30 files, 0.0 MB; the first inventory since the server started"
    (folder / "file1.txt").write_text("changed")
    (folder / "file2.txt").unlink()
    (folder / "new.txt").touch()
    second = await result_of(inventory, again)

    assert second == "30 files, 0.0 MB; 1 changed, 1 new, 1 removed since the last inventory"
    assert again.lines[1:] == ["New: new.txt", "Changed: file1.txt", "Removed: file2.txt"]
    assert len(heard.percents) >= 10
    assert heard.percents == sorted(heard.percents)
    assert heard.percents[-1] == 100


async def test_an_inventory_of_an_empty_folder_is_one(tmp_path: Path) -> None:
    assert await result_of(FileInventory(tmp_path), Heard()) == (
        "0 files, 0.0 MB; the first inventory since the server started"
    )


async def test_a_cancelled_inventory_ends_and_forgets_nothing(folder: Path) -> None:
    inventory = FileInventory(folder)
    await result_of(inventory, Heard())

    class Slow(Heard):
        async def progress(self, progress: object) -> None:
            task.cancel()

    task = asyncio.create_task(python_runner(inventory)(a_run(sink=Slow())))
    assert isinstance(await ended(task), asyncio.CancelledError)

    assert "0 changed, 0 new, 0 removed" in str(await result_of(inventory, Heard()))


async def test_a_survey_measures_the_machine_and_knows_the_surveys_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "SAMPLE_S", 0.01)
    heard = Heard()
    survey = SystemSurvey(tmp_path)

    first = str(await result_of(survey, heard))
    second = str(await result_of(survey, Heard()))

    assert re.fullmatch(r"Processor \d+% \(peak \d+%\), memory \d+%, disk \d+%", first)
    assert re.fullmatch(r".*; processor over the last 1 surveys: \d+%", second)
    assert len(heard.percents) == samples.SAMPLES >= 10
    assert heard.logs


def test_each_sample_agent_has_a_runner_and_a_schedule_of_a_minute() -> None:
    runners = sample_runners()

    for agent, schedule in sample_agents():
        assert agent.agent_type in runners
        assert agent.id
        assert AGENT_ID.fullmatch(agent.id)
        assert schedule.expression == "* * * * *"
