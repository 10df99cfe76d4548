"""The command line under test: run in this process, in a folder and an environment of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.cli import main
from server.config import settings
from store.records import Agent, AgentFilter
from store.sqlite import SqliteStore


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


class Command:
    """``python -m server ...`` as ``main()`` sees it. ``data_dir`` is where its store is, and does not exist yet."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data_dir = data_dir
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Done:
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse ends the process by itself
            code = int(end.code or 0)
        captured = self._capsys.readouterr()
        return Done(code, captured.out, captured.err)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    for setting, _ in settings():
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Command(tmp_path / "data", capsys)
    root.handlers[:], root.level = handlers, level


def stored(data_dir: Path) -> dict[str, Agent]:
    """The agents in the embedded store, by id."""

    async def read() -> dict[str, Agent]:
        store = await SqliteStore.open(data_dir)
        try:
            page = await store.list_agents(AgentFilter(), limit=100, offset=0)
            return {agent.id: agent for agent in page.items}
        finally:
            await store.close()

    return asyncio.run(read())
