"""A MongoDB server process for tests, on a loopback port of its own, reached over the wire like any other."""

from __future__ import annotations

import select
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pymongo import MongoClient

SERVER = Path(__file__).with_name("mongo_server.py")
START_TIMEOUT = 60.0
"""Seconds until a server must listen; it takes about one, more on a busy machine."""
STOP_TIMEOUT = 15.0


class MongoServer:
    """One server process, from ``with`` to its end; ``kill`` and ``start`` in between make it go away and come back.

    It keeps its port; its data outlive the process where *data_dir* is given, else they are in memory.
    """

    def __init__(self, python: Path, *, data_dir: Path | None = None) -> None:
        self._python = python
        self._data_dir = data_dir
        self._port = 0
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = ""

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        try:
            self.start()
        except BaseException:
            self._log.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        if self._log:
            self._log.close()

    def start(self) -> None:
        """Start the process and return when it answers a ping."""
        assert self._process is None, "the server runs already"
        command = [self._python, SERVER, self._data_dir or ":memory:", str(self._port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        try:
            self.uri = self._listening_at()
            with MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=int(START_TIMEOUT * 1000)) as client:
                client.admin.command("ping")
        except BaseException:
            self.kill()
            raise
        self._port = int(self.uri.partition("?")[0].rstrip("/").rpartition(":")[2])

    def stop(self) -> None:
        """End the process and let it close its files; nothing happens where it does not run."""
        self._end(kill=False)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._end(kill=True)

    def _listening_at(self) -> str:
        assert self._process
        assert self._process.stdout
        said_something, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT)
        if said_something and (line := self._process.stdout.readline()):
            return line.decode().strip()
        raise RuntimeError(f"the MongoDB test server did not start: {self._complaint()}")

    def _complaint(self) -> str:
        if not self._log:
            return "it was never entered"
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-2000:] or f"silent for {START_TIMEOUT:.0f} s"

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        assert process.stdin
        assert process.stdout
        process.stdin.close()  # asks it to end
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            process.stdout.close()
