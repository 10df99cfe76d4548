from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from scheduler.runners.base import RunFailed
from scheduler.runners.command import CommandRunner
from scheduler.runners.programs import Program, load_programs
from scheduler.runners.stream import TEXT_LIMIT
from store.errors import Invalid
from store.records import JSON, JSONObject
from tests.runners.support import PATIENCE_S, Heard, a_run, ended

ENVIRON = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "JWT_SECRET": "never-this", "AGENT_SECRET_CRM": "nor-this"}


def python(tmp_path: Path, source: str, **entry: Any) -> dict[str, Program]:
    """A commands file with one program, ``work``, that is this Python source."""
    (tmp_path / "work.py").write_text(textwrap.dedent(source))
    path = tmp_path / "commands.json"
    path.write_text(json.dumps({"work": {"argv": [sys.executable, "work.py"], **entry}}))
    return load_programs(path, ENVIRON)


async def run_it(
    programs: dict[str, Program], configuration: JSONObject | None = None, sink: Heard | None = None
) -> JSON:
    runner = CommandRunner(programs, term_grace_s=0.2)
    return await runner(a_run({"command": "work", **(configuration or {})}, sink=sink, context={"why": "test"}))


async def failure(programs: dict[str, Program], configuration: JSONObject | None = None) -> str:
    with pytest.raises(RunFailed) as failed:
        await run_it(programs, configuration)
    return str(failed.value)


async def until_gone(pid: int) -> None:
    """Wait for the end of a process that was killed and may still be on its way out."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def test_a_program_is_told_on_stdin_and_tells_on_stdout(tmp_path: Path) -> None:
    heard = Heard()
    programs = python(
        tmp_path,
        """
        import json, sys
        order = json.load(sys.stdin)
        print(json.dumps({"progress": 40, "message": "half", "currentStep": 2, "totalSteps": 5}))
        print("a plain line")
        print('{"level": "error", "error": "a log line of its own"}')
        print(json.dumps({"log": {"level": "error", "message": "bad"}}))
        print(json.dumps({"result": order, "metrics": {"rows": 3}}))
        """,
    )
    runner = CommandRunner(programs)
    run = a_run({"command": "work", "n": 1}, sink=heard, context={"why": "test"})

    result = await runner(run)

    assert result == {
        "agentId": "agent-1",
        "sessionId": "session-1",
        "attempt": 1,
        "configuration": {"command": "work", "n": 1},
        "context": {"why": "test"},
    }
    assert run.metrics == {"rows": 3}
    assert heard.percents == [40.0]
    assert heard.logs == [
        ("info", "a plain line"),
        ("info", '{"level": "error", "error": "a log line of its own"}'),
        ("error", "bad"),
    ]


async def test_a_program_that_reads_nothing_and_says_nothing_succeeds(tmp_path: Path) -> None:
    big: JSONObject = {"much": "x" * 1_000_000}

    assert await run_it(python(tmp_path, ""), big) is None


async def test_stderr_is_the_log(tmp_path: Path) -> None:
    heard = Heard()

    await run_it(python(tmp_path, "import sys; sys.stderr.write('careful\\n\\nlast')"), sink=heard)

    assert heard.logs == [("warning", "careful"), ("warning", "last")]


async def test_an_exit_code_is_the_failure_with_the_last_lines_of_stderr(tmp_path: Path) -> None:
    source = """
        import sys
        print('{"result": "not so fast"}')
        for number in range(30):
            print("line", number, file=sys.stderr)
        sys.exit(3)
        """

    said = await failure(python(tmp_path, source))

    assert said == "The command 'work' ended with exit code 3: " + "\n".join(f"line {n}" for n in range(20, 30))


async def test_an_error_on_stdout_is_the_failure_whatever_the_exit_code(tmp_path: Path) -> None:
    assert await failure(python(tmp_path, """print('{"error": "no disk"}')""")) == "no disk"

    said = await failure(python(tmp_path, """print('{"error": "no disk"}'); exit(2)"""))
    assert said == "no disk (The command 'work' ended with exit code 2)"


async def test_a_program_that_dies_of_a_signal_is_told_so(tmp_path: Path) -> None:
    said = await failure(python(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"))

    assert said == "The command 'work' was killed by SIGABRT"


async def test_a_program_gets_the_listed_environment_and_little_of_the_servers(tmp_path: Path) -> None:
    source = "import json, os; print(json.dumps({'result': dict(os.environ, cwd=os.getcwd())}))"
    (tmp_path / "elsewhere").mkdir()
    programs = python(tmp_path, source, env={"REGION": "eu"}, cwd="elsewhere", argv=[sys.executable, "../work.py"])

    seen = await run_it(programs)

    assert isinstance(seen, dict)
    assert (seen["REGION"], seen["LANG"], seen["cwd"]) == ("eu", "C.UTF-8", str(tmp_path / "elsewhere"))
    assert not {"JWT_SECRET", "AGENT_SECRET_CRM"} & seen.keys()


async def test_secrets_are_hidden_from_what_a_program_says(tmp_path: Path) -> None:
    heard = Heard()
    source = """
        import json, os, sys
        key = json.load(sys.stdin)["configuration"]["apiKey"]
        print("with", key, os.environ["DB_PASSWORD"])
        print("with", key, file=sys.stderr)
        sys.exit(1)
        """

    with pytest.raises(RunFailed) as failed:
        await run_it(python(tmp_path, source, env={"DB_PASSWORD": "hunter22"}), {"apiKey": "sk-1234"}, heard)

    assert sorted(heard.lines) == ["with ***", "with *** ***"]
    assert str(failed.value).endswith("exit code 1: with ***")


async def test_huge_lines_are_cut_and_what_follows_is_still_heard(tmp_path: Path) -> None:
    heard = Heard()
    source = """
        import sys
        sys.stdout.write("x" * 5_000_000 + "\\n")
        print('{"result": "after"}')
        """

    assert await run_it(python(tmp_path, source), sink=heard) == "after"
    assert heard.lines == ["x" * TEXT_LIMIT + "..."]


async def test_news_is_passed_on_while_the_program_still_works(tmp_path: Path) -> None:
    heard = Heard()
    source = """
        import pathlib, time
        print('{"progress": 10}', flush=True)
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        print('{"result": "done"}')
        """
    task = asyncio.create_task(run_it(python(tmp_path, source), sink=heard))

    await heard.until(lambda: heard.percents == [10.0])
    (tmp_path / "go").touch()

    assert await task == "done"


WITH_A_CHILD = """
    import signal, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    {handler}
    print(child.pid, flush=True)
    time.sleep(600)
    """


@pytest.mark.parametrize(
    "handler",
    ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"],
    ids=["which ends on SIGTERM", "which ignores SIGTERM"],
)
async def test_a_cancelled_program_has_really_ended_with_all_it_started(tmp_path: Path, handler: str) -> None:
    heard = Heard()
    source = textwrap.dedent(WITH_A_CHILD).format(handler=handler) + "\n"
    programs = python(tmp_path, "import os\nprint(os.getpid())" + source)
    task = asyncio.create_task(run_it(programs, sink=heard))
    await heard.until(lambda: len(heard.lines) == 2)

    task.cancel()

    assert isinstance(await ended(task), asyncio.CancelledError)
    program, child = map(int, heard.lines)
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)
    await until_gone(child)


async def test_a_cancelled_program_may_put_its_things_in_order_and_is_heard(tmp_path: Path) -> None:
    heard = Heard()
    source = """
        import os, signal, sys, time
        def end(*_):
            os.write(1, b"put in order")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        os.write(1, b"started\\n")
        time.sleep(600)
        """
    runner = CommandRunner(python(tmp_path, source))
    run = a_run({"command": "work"}, sink=heard)
    task = asyncio.create_task(runner(run))
    await heard.until(lambda: heard.lines == ["started"])

    task.cancel()

    assert isinstance(await ended(task), asyncio.CancelledError)
    assert heard.lines == ["started", "put in order"]


async def test_a_run_ends_with_its_program_and_what_that_left_running_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.runners.command.REST_GRACE_S", 0.05)
    heard = Heard()
    source = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid)
        print('{"result": "done"}')
        """

    assert await run_it(python(tmp_path, source), sink=heard) == "done"
    await until_gone(int(heard.lines[0]))


async def test_what_a_program_left_running_cannot_keep_the_run_open_by_talking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.runners.command.REST_GRACE_S", 0.05)
    source = """
        import subprocess, sys
        talk = "while True: print('still here', flush=True)"
        subprocess.Popen([sys.executable, "-c", talk])
        print('{"result": "done"}')
        """

    assert await run_it(python(tmp_path, source)) == "done"


async def test_a_child_that_escaped_with_the_pipes_does_not_keep_the_run_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.runners.command.REST_GRACE_S", 0.05)
    monkeypatch.setattr("scheduler.runners.process.REST_GRACE_S", 0.05)
    heard = Heard()
    source = """
        import subprocess, sys
        daemon = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(daemon, start_new_session=True)
        print(child.pid)
        print('{"result": "done"}')
        """
    unread: JSONObject = {"much": "x" * 1_000_000}

    try:
        assert await run_it(python(tmp_path, source), unread, heard) == "done"
    finally:
        os.kill(int(heard.lines[0]), signal.SIGKILL)


async def test_a_sink_that_fails_ends_the_program_and_the_run(tmp_path: Path) -> None:
    class Full(Heard):
        async def log(self, level: str, message: str) -> None:
            await super().log(level, message)
            raise LookupError("no room")

    heard = Full()
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"

    with pytest.raises(LookupError, match="no room"):
        await run_it(python(tmp_path, source), sink=heard)

    with pytest.raises(ProcessLookupError):
        os.kill(int(heard.lines[0]), 0)


async def test_a_program_that_has_gone_since_the_start_is_told(tmp_path: Path) -> None:
    programs = {"work": Program((str(tmp_path / "gone"),), tmp_path, {})}

    assert await failure(programs) == "The command 'work' cannot be started: No such file or directory."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold an object"),
        ('{"a": {"argv": ["true"]}, "a": {"argv": ["true"]}}', "'a' stands there twice"),
        ('{"a b": {"argv": ["true"]}}', "'a b': is not a name"),
        ('{"a": "true"}', "'a': must be an object"),
        ('{"a": {}}', "'a': needs argv"),
        ('{"a": {"argv": "true"}}', "'a': needs argv"),
        ('{"a": {"argv": []}}', "'a': needs argv"),
        ('{"a": {"argv": ["true", 5]}}', "'a': needs argv"),
        ('{"a": {"argv": [""]}}', "'a': needs argv"),
        ('{"a": {"argv": ["true\\u0000"]}}', "'a': needs argv"),
        ('{"a": {"argv": ["no-such-program-anywhere"]}}', "'no-such-program-anywhere' was not found"),
        ('{"a": {"argv": ["./commands.json"]}}', "was not found, or is not executable"),
        ('{"a": {"argv": ["true"], "shell": true}}', "unknown key 'shell'"),
        ('{"a": {"argv": ["true"], "cwd": "no-such-folder"}}', "no-such-folder' is not a folder"),
        ('{"a": {"argv": ["true"], "cwd": 5}}', "cwd must be a path"),
        ('{"a": {"argv": ["true"], "env": {"A": 5}}}', "env must be an object of strings"),
        ('{"a": {"argv": ["true"], "env": {"A=B": "c"}}}', "env must be an object of strings"),
        ('{"a": {"argv": ["true"], "env": ["A=B"]}}', "env must be an object of strings"),
    ],
)
def test_a_bad_commands_file_stops_the_start_and_names_the_entry(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "commands.json"
    path.write_text(text)

    with pytest.raises(Invalid) as refused:
        load_programs(path, ENVIRON)

    assert str(refused.value).startswith(f"COMMANDS_FILE ({path}): ")
    assert says in str(refused.value)


def test_a_commands_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"COMMANDS_FILE \(.*nowhere.*\): cannot be read: No such file"):
        load_programs(tmp_path / "nowhere.json", ENVIRON)
