"""Runs agents that are programs: one process a run, told what to do on stdin, heard on stdout and stderr."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from scheduler.masking import hiding, secrets_in
from scheduler.runners.base import Run, RunFailed
from scheduler.runners.http import order
from scheduler.runners.process import REST_GRACE_S, ProcessGroup
from scheduler.runners.programs import Program
from scheduler.runners.stream import LINES_A_TURN, Intake, Line, LineSplitter, excerpt, stream_object
from scheduler.runners.waiting import see_through
from store.errors import Invalid
from store.records import JSON, JSONObject

TERM_GRACE_S = 5.0
"""From SIGTERM, on which a program may put its things in order, to SIGKILL."""
LAST_WORDS_S = 5.0
"""How long what a cancelled program said in its end may take to be taken from us."""
LAST_LINES = 10
"""Lines of stderr that a failure quotes."""
LAST_LINE_LIMIT = 300
"""Characters quoted of one of them."""
STDERR_LEVEL = "warning"
"""Many programs write there what is not an error; whether it was one, the exit code tells."""

_OnLine: TypeAlias = Callable[[Line], Awaitable[None]]


class CommandRunner:
    """The runner of every agent with a ``configuration.command``, the name of one of the operator's programs."""

    def __init__(self, programs: Mapping[str, Program] | None, *, term_grace_s: float = TERM_GRACE_S) -> None:
        """``None``: the server has no ``COMMANDS_FILE``."""
        self._programs = programs
        self._term_grace_s = term_grace_s

    def names(self) -> list[str]:
        """The operator's programs, sorted."""
        return sorted(self._programs or ())

    def check(self, configuration: JSONObject) -> None:
        """Raises Invalid for a name that the operator has not listed."""
        self._program(configuration)

    async def __call__(self, run: Run) -> JSON:
        """Start the program and return its result; also when cancelled, return only when it has really ended."""
        program = self._program(run.configuration)
        hide = hiding(secrets_in(run.configuration) | secrets_in(dict(program.own_env)))
        try:
            process = await ProcessGroup.start(program.argv, cwd=program.cwd, env=program.env)
        except OSError as error:
            raise RunFailed(f"{_name(run)} cannot be started: {error.strerror or error}.") from error
        conversation = _Conversation(process, Intake(run, hide))
        talk = asyncio.create_task(conversation.hold(run), name=f"command of {run.session_id}")
        try:
            await asyncio.wait({talk})
        finally:
            await see_through(self._end(process, talk))
        return conversation.outcome(talk.result(), _name(run))

    async def _end(self, process: ProcessGroup, talk: asyncio.Task[int]) -> None:
        """End the process, if it has not, and hear its last words."""
        await process.end(self._term_grace_s)
        await asyncio.wait({talk}, timeout=LAST_WORDS_S)
        talk.cancel()
        await asyncio.wait({talk})
        if not talk.cancelled():
            talk.exception()  # looked at: whoever cancelled us does not ask for it
        process.close()

    def _program(self, configuration: JSONObject) -> Program:
        name = configuration.get("command")
        if self._programs is None:
            raise _invalid("this server has no COMMANDS_FILE, in which its operator lists the programs agents may run.")
        if not isinstance(name, str) or name not in self._programs:
            listed = ", ".join(sorted(self._programs)) or "nothing"
            raise _invalid(f"must be the name of a program in the server's COMMANDS_FILE, which lists {listed}.")
        return self._programs[name]


class _Conversation:
    """What is said between us and one process, from the order on stdin to the last line."""

    def __init__(self, process: ProcessGroup, intake: Intake) -> None:
        self._process = process
        self._intake = intake
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    async def hold(self, run: Run) -> int:
        """Give the order, take the news as fast as it is taken from us, and return the exit code."""
        process = self._process
        try:
            async with asyncio.TaskGroup() as tasks:
                giving = tasks.create_task(self._give(run))
                hearing = {
                    tasks.create_task(self._hear(process.stdout, self._on_stdout)),
                    tasks.create_task(self._hear(process.stderr, self._on_stderr)),
                }
                code = await process.wait()
                giving.cancel()
                # With the program the run is over: what it left running has this long for its last words.
                await asyncio.wait(hearing, timeout=REST_GRACE_S)
                process.kill_rest()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return code

    def outcome(self, code: int, name: str) -> JSON:
        """The result, or RunFailed with what the program said of it, its exit code and its last words."""
        error = self._intake.error
        if code == 0:
            if error is not None:
                raise RunFailed(error)
            return self._intake.result
        ended = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        why = ": ".join(part for part in (f"{name} {ended}", "\n".join(self._last)) if part)
        raise RunFailed(f"{error} ({why})" if error else why)

    async def _give(self, run: Run) -> None:
        stdin = self._process.stdin
        try:
            stdin.write(json.dumps(order(run)).encode() + b"\n")
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            pass  # a program need not read what it is told
        except RuntimeError:
            if not stdin.is_closing():  # uvloop's way to say that the pipe is gone already
                raise

    async def _hear(self, pipe: asyncio.StreamReader, on_line: _OnLine) -> None:
        splitter = LineSplitter()
        while chunk := await self._process.read(pipe):
            for number, line in enumerate(splitter.feed(chunk), 1):
                await on_line(line)
                if number % LINES_A_TURN == 0:
                    await asyncio.sleep(0)
        for line in splitter.end():
            await on_line(line)

    async def _on_stdout(self, line: Line) -> None:
        text = line.text
        news = None if line.cut else stream_object(text)
        if news is not None:
            await self._intake.take(news)
        elif text.strip():
            await self._intake.log("info", text)

    async def _on_stderr(self, line: Line) -> None:
        text = line.text
        if text.strip():
            self._last.append(excerpt(self._intake.text(text), LAST_LINE_LIMIT))
            await self._intake.log(STDERR_LEVEL, text)


def _name(run: Run) -> str:
    return f"The command {run.configuration.get('command')!r}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _invalid(message: str) -> Invalid:
    return Invalid(f"configuration.command: {message}", field="configuration.command")
