"""A process with all that it starts: begun in a group of its own, and ended with all of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from pathlib import Path

REST_GRACE_S = 2.0
"""How long, once a program has ended, a pipe of its may stay open and silent: then a child that escaped holds it."""
CHUNK = 64 * 1024
"""Bytes of output that are read ahead; beyond twice that the program waits until it is heard."""


class _Protocol(SubprocessStreamProtocol):
    """Tells the moment of exit. ``Process.wait()`` does not, on some Pythons: it waits for the pipes as well."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=CHUNK, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class ProcessGroup:
    """A running program and its children; ``stdin``, ``stdout`` and ``stderr`` are its pipes."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        process = Process(transport, protocol, asyncio.get_running_loop())
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.pid = process.pid  # which is also the id of the group
        self._transport = transport
        self._exited = protocol.exited
        self._rest_killed = False

    @classmethod
    async def start(cls, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> ProcessGroup:
        """OSError: it cannot be started."""
        loop = asyncio.get_running_loop()
        # What create_subprocess_exec() does, but for the protocol.
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(loop),
            *argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        return cls(transport, protocol)

    async def wait(self) -> int:
        """The exit code, negative for a signal, as soon as the program itself has ended."""
        await self._exited.wait()
        code = self._transport.get_returncode()
        assert code is not None
        return code

    async def read(self, pipe: asyncio.StreamReader) -> bytes:
        """The next chunk from one of the pipes; empty at its end.

        A child that made itself a group of its own is out of reach and may hold the pipe for ever: the end has also
        come when the program has ended and nothing was written for a while.
        """
        reading = asyncio.ensure_future(pipe.read(CHUNK))
        ended = asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait({reading}, timeout=REST_GRACE_S)
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()
            ended.cancel()

    async def end(self, grace_s: float) -> None:
        """End what still runs: SIGTERM to all of the group, SIGKILL *grace_s* later; back when it has ended."""
        if not self._exited.is_set():
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._exited.wait()
        self.kill_rest()
        await self._exited.wait()

    def kill_rest(self) -> None:
        """Kill what is left of the group. Once only: later, its id may be that of another."""
        if not self._rest_killed:
            self._rest_killed = True
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of the pipes."""
        # Closing would go on trying to write what is left of the order, for as long as a child holds the other end.
        if self.stdin.transport.get_write_buffer_size():
            self.stdin.transport.abort()
        self._transport.close()

    def _signal(self, number: signal.Signals) -> None:
        # Nobody may be left in the group; macOS says EPERM of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
