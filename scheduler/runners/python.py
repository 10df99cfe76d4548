"""Runs agents that are Python functions: coroutines on the event loop, plain functions each in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, cast

from scheduler.runners.base import Run, RunFailed, Runner
from scheduler.runners.waiting import see_through
from store.records import JSON, Agent, JSONObject

T = TypeVar("T")


class ThreadRun:
    """A run as a plain function sees it, in its thread: the same as ``Run``, with calls that block.

    A thread cannot be stopped from outside, so a cancelled run (stop, time-out, shutdown) has to end itself:
    ``progress()`` and ``check()`` raise ``asyncio.CancelledError`` then, as every ``await`` does in a coroutine, and
    ``cancelled`` tells. Until the function has returned, the run counts as running and nothing is retried.
    """

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._loop = loop
        self._cancelled = threading.Event()

    @property
    def agent(self) -> Agent:
        return self._run.agent

    @property
    def session_id(self) -> str:
        return self._run.session_id

    @property
    def attempt(self) -> int:
        return self._run.attempt

    @property
    def context(self) -> JSONObject:
        return self._run.context

    @property
    def configuration(self) -> JSONObject:
        return self._run.configuration

    @property
    def metrics(self) -> JSONObject:
        return self._run.metrics

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise ``asyncio.CancelledError`` if the run was cancelled."""
        if self.cancelled:
            raise asyncio.CancelledError

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a cancellation: that is raised at once."""
        self._cancelled.wait(seconds)
        self.check()

    def progress(self, percent: float, message: str = "", *, step: int | None = None, of: int | None = None) -> None:
        """As ``Run.progress``; raises ``asyncio.CancelledError`` if the run was cancelled."""
        self.check()
        self._on_loop(self._run.progress(percent, message, step=step, of=of))

    def log(self, level: str, message: str) -> None:
        """As ``Run.log``; works in a cancelled run too, for its last words."""
        self._on_loop(self._run.log(level, message))

    def cancel(self) -> None:
        self._cancelled.set()

    def _on_loop(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop).result()
        except concurrent.futures.CancelledError:  # the loop is ending and cancels what is left
            raise asyncio.CancelledError from None
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            call.close()
            raise asyncio.CancelledError from None


PythonAgent: TypeAlias = Callable[[Run], Awaitable[JSON]] | Callable[[ThreadRun], JSON]
"""What a module registers: a coroutine function that takes a ``Run``, or a plain one that takes a ``ThreadRun``."""


def python_runner(function: PythonAgent) -> Runner:
    """The runner for a registered function. TypeError: it cannot be called with one argument, the run."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError("a generator does nothing when called: return the result instead of yielding")
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise TypeError(f"it must take one argument, the run: {error}") from None
    except ValueError:  # built-in callables that do not tell their signature: the first run will
        pass
    call: Any = function
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return _Coroutine(call)
    return _InThread(call)


class _Coroutine:
    def __init__(self, function: Callable[[Run], Awaitable[JSON]]) -> None:
        self._function = function

    async def __call__(self, run: Run) -> JSON:
        try:
            return await self._function(run)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise _contained(error) from error


class _InThread:
    def __init__(self, function: Callable[[ThreadRun], JSON]) -> None:
        self._function = function

    async def __call__(self, run: Run) -> JSON:
        """Run the function in a thread; also when cancelled, return only when that thread is through with it."""
        loop = asyncio.get_running_loop()
        seen = ThreadRun(run, loop)
        work = _Work(self._function, seen, loop)
        # Not the loop's executor: its threads are waited for at exit, and one stuck agent would take a seat for ever.
        threading.Thread(
            target=contextvars.copy_context().run, args=(work.do,), name=f"agent {run.agent.id}", daemon=True
        ).start()
        try:
            await work.ended.wait()
        except asyncio.CancelledError:
            seen.cancel()
            await see_through(work.ended.wait())
            raise
        return work.outcome()


class _Work:
    """A function call in a thread, and what became of it."""

    def __init__(self, function: Callable[[ThreadRun], JSON], run: ThreadRun, loop: asyncio.AbstractEventLoop) -> None:
        self._function = function
        self._run = run
        self._loop = loop
        self._result: JSON = None
        self._error: BaseException | None = None
        self.ended = asyncio.Event()

    def do(self) -> None:
        try:
            self._result = self._function(self._run)
        except BaseException as error:  # noqa: BLE001 - handed over to the loop, all of it
            self._error = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has gone, nobody waits any more
            self._loop.call_soon_threadsafe(self.ended.set)

    def outcome(self) -> JSON:
        if isinstance(self._error, Exception | asyncio.CancelledError):
            raise self._error
        if self._error is not None:
            raise _contained(self._error) from self._error
        result: Any = self._result
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise RunFailed("The agent's function returned an awaitable: it must be declared with async def.")
        return cast(JSON, result)


def _contained(error: BaseException) -> RunFailed:
    """The failure of a run that raised what is meant to end a whole process: ``sys.exit()``, KeyboardInterrupt."""
    if isinstance(error, SystemExit):
        return RunFailed(f"The agent called sys.exit({'' if error.code is None else repr(error.code)}).")
    return RunFailed(f"The agent raised {type(error).__name__}{f': {error}' if str(error) else ''}.")
