from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.runners import Run, RunFailed, ThreadRun
from scheduler.runners.python import python_runner
from store.records import JSON
from tests.runners.support import PATIENCE_S, Heard, a_run, ended
from tests.support.tools import ROOT


def running(function: Any, sink: Heard | None = None) -> asyncio.Task[JSON]:
    async def run() -> JSON:
        return await python_runner(function)(a_run({"n": 1}, sink=sink, context={"why": "test"}))

    return asyncio.create_task(run())


async def test_a_coroutine_gets_the_run_and_its_return_value_is_the_result() -> None:
    heard = Heard()

    async def work(run: Run) -> JSON:
        await run.progress(50, "half", step=1, of=2)
        await run.log("info", "working")
        return [run.agent.id, run.configuration, run.context, run.attempt]

    assert await running(work, heard) == ["agent-1", {"n": 1}, {"why": "test"}, 1]
    assert heard.percents == [50.0]
    assert heard.logs == [("info", "working")]


async def test_a_plain_function_runs_in_a_daemon_thread_with_calls_that_block() -> None:
    heard = Heard()
    threads: list[threading.Thread] = []

    def work(run: ThreadRun) -> JSON:
        threads.append(threading.current_thread())
        run.progress(50, "half", step=1, of=2)
        seen: list[JSON] = [*heard.percents]
        run.log("warning", "working")
        run.metrics["rows"] = 3
        return [run.agent.id, run.session_id, run.configuration, run.context, run.attempt, run.cancelled, seen]

    assert await running(work, heard) == ["agent-1", "session-1", {"n": 1}, {"why": "test"}, 1, False, [50.0]]
    assert heard.logs == [("warning", "working")]
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


async def test_objects_and_partials_are_told_apart_by_what_calling_them_does() -> None:
    class Async:
        async def __call__(self, run: Run) -> JSON:
            return threading.current_thread() is threading.main_thread()

    class Plain:
        def __call__(self, run: ThreadRun) -> JSON:
            return threading.current_thread() is threading.main_thread()

    async def with_two(on_loop: bool, run: Run) -> JSON:
        return on_loop and threading.current_thread() is threading.main_thread()

    assert await running(Async()) is True
    assert await running(functools.partial(with_two, True)) is True
    assert await running(Plain()) is False


@pytest.mark.parametrize("error", [ValueError("no luck"), StopIteration("odd")], ids=repr)
async def test_what_a_thread_raises_is_the_failure(error: Exception) -> None:
    def work(run: ThreadRun) -> JSON:
        raise error

    raised: BaseException | None = None
    try:
        await python_runner(work)(a_run())
    except Exception as caught:  # noqa: BLE001
        raised = caught

    assert raised is error or (isinstance(raised, RuntimeError) and raised.__cause__ is error)


class EndOfAll(BaseException):
    """What some libraries raise to end a whole process."""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyboardInterrupt("now"), EndOfAll("all")], ids=repr)
async def test_what_is_meant_to_end_a_process_ends_the_run_only(error: BaseException) -> None:
    async def coroutine(run: Run) -> JSON:
        raise error

    def plain(run: ThreadRun) -> JSON:
        raise error

    for function in (coroutine, plain):
        with pytest.raises(RunFailed, match=f"The agent raised {type(error).__name__}.*{error}"):
            await running(function)


async def test_an_agent_that_exits_fails_its_run_and_not_the_server() -> None:
    async def coroutine(run: Run) -> JSON:
        sys.exit(3)

    def plain(run: ThreadRun) -> JSON:
        sys.exit("bye")

    for function, says in ((coroutine, r"sys\.exit\(3\)"), (plain, r"sys\.exit\('bye'\)")):
        with pytest.raises(RunFailed, match=says):
            await running(function)


async def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_async() -> None:
    async def inner() -> None: ...

    with pytest.raises(RunFailed, match="async def"):
        await running(lambda run: inner())


async def test_a_cancelled_run_is_over_only_when_its_thread_has_ended() -> None:
    started, may_end, left = threading.Event(), threading.Event(), threading.Event()

    def stubborn(run: ThreadRun) -> JSON:
        started.set()
        may_end.wait(PATIENCE_S)
        left.set()
        return "too late"

    task = running(stubborn)
    await asyncio.to_thread(started.wait, PATIENCE_S)

    for _ in range(3):  # however often it is cancelled
        task.cancel()
        await asyncio.wait({task}, timeout=0.01)
        assert not task.done()

    may_end.set()
    assert isinstance(await ended(task), asyncio.CancelledError)
    assert left.is_set()


@pytest.mark.parametrize("how", ["check", "progress", "wait", "cancelled"])
async def test_a_thread_learns_of_the_cancellation_and_can_still_log_its_last_words(how: str) -> None:
    heard = Heard()

    def polite(run: ThreadRun) -> JSON:
        run.log("info", "started")
        try:
            if how == "wait":
                run.wait(PATIENCE_S)
            while not (how == "cancelled" and run.cancelled):
                if how == "check":
                    run.check()
                if how == "progress":
                    run.progress(1)
        finally:
            run.log("info", "cleaned up")
        return None

    task = running(polite, heard)
    await heard.until(lambda: heard.lines == ["started"])

    task.cancel()

    assert isinstance(await ended(task), asyncio.CancelledError)
    assert heard.lines == ["started", "cleaned up"]


async def test_a_coroutine_is_cancelled_where_it_waits_and_may_clean_up() -> None:
    heard = Heard()

    async def work(run: Run) -> JSON:
        await run.log("info", "started")
        try:
            await asyncio.Event().wait()
        finally:
            await run.log("info", "cleaned up")
        return None

    task = running(work, heard)
    await heard.until(lambda: heard.lines == ["started"])

    task.cancel()

    assert isinstance(await ended(task), asyncio.CancelledError)
    assert heard.lines == ["started", "cleaned up"]


def no_argument() -> JSON: ...


def two_arguments(run: ThreadRun, more: int) -> JSON: ...


def generator(run: ThreadRun) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [no_argument, two_arguments, generator])
def test_a_function_that_cannot_run_is_refused_when_it_is_registered(function: Any) -> None:
    with pytest.raises(TypeError):
        python_runner(function)


def test_a_thread_that_never_ends_does_not_hold_up_the_end_of_the_process() -> None:
    script = textwrap.dedent(
        """
        import asyncio, threading
        from scheduler.runners.python import python_runner
        from tests.runners.support import a_run

        started = threading.Event()

        def stuck(run):
            started.set()
            threading.Event().wait()

        async def main():
            task = asyncio.create_task(python_runner(stuck)(a_run()))
            await asyncio.to_thread(started.wait)
            print("leaving", flush=True)
            loop.stop()

        loop = asyncio.new_event_loop()
        main_task = loop.create_task(main())
        loop.run_forever()
        """
    )

    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert process.stdout == "leaving\n"
    assert process.returncode == 0
