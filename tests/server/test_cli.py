"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handlers.auth import Role, Tokens
from server.config import settings
from server.keys import kept_secret
from tests.server.conftest import Command, stored
from tests.support.tools import ROOT

SECRET = "a secret for the command line, of thirty-two bytes"


class TestToken:
    def test_it_is_for_the_secret_that_the_server_keeps(self, command: Command) -> None:
        done = command("token", "--user", "alice")

        caller = Tokens(kept_secret(command.data_dir)).verify(done.out.strip())
        assert (done.code, caller.user_id, caller.role) == (0, "alice", Role.USER)

    def test_it_is_for_jwt_secret_where_that_is_set(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_SECRET", SECRET)

        done = command("token", "--user", "alice", "--role", "VIEWER")

        assert Tokens(SECRET).verify(done.out.strip()).role is Role.VIEWER
        assert not command.data_dir.exists()

    def test_a_dotenv_file_counts_and_the_environment_counts_more(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text(f'JWT_SECRET="{SECRET}"\n')
        from_file = command("token", "--user", "alice").out.strip()
        monkeypatch.setenv("JWT_SECRET", SECRET * 2)
        from_environment = command("token", "--user", "alice").out.strip()

        assert Tokens(SECRET).verify(from_file).user_id == "alice"
        assert Tokens(SECRET * 2).verify(from_environment).user_id == "alice"

    @pytest.mark.parametrize(
        ("text", "span"),
        [("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("12H", timedelta(hours=12)),
         ("7d", timedelta(days=7)), ("2 w", timedelta(weeks=2))],
    )  # fmt: skip
    def test_it_is_valid_as_long_as_asked_for(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, text: str, span: timedelta
    ) -> None:
        monkeypatch.setenv("JWT_SECRET", SECRET)

        before = datetime.now(UTC).replace(microsecond=0)
        done = command("token", "--user", "alice", "--ttl", text)

        expires = Tokens(SECRET).verify(done.out.strip()).expires_at
        assert before + span <= expires <= datetime.now(UTC) + span

    @pytest.mark.parametrize("text", ["", "5", "0m", "-1h", "1y", "1.5h", "999999w"])
    def test_a_time_that_is_none_is_refused(self, command: Command, text: str) -> None:
        done = command("token", "--user", "alice", f"--ttl={text}")

        assert done.code == 2
        assert "is not a time such as 15m, 12h, 7d (at most ten years)" in done.err

    @pytest.mark.parametrize("user", ["", " ", "a\nb", "a" * 257])
    def test_a_user_id_that_the_server_would_not_accept_is_refused(self, command: Command, user: str) -> None:
        done = command("token", "--user", user)

        assert (done.code, done.out) == (2, "")
        assert "cannot be a user id: it needs 1 to 256 printable characters" in done.err

    def test_none_can_be_made_where_somebody_else_signs(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        monkeypatch.setenv("JWT_PUBLIC_KEY", pem)

        done = command("token", "--user", "alice")

        assert (done.code, done.out) == (2, "")
        assert "tokens are signed elsewhere" in done.err


class TestRefusals:
    def test_a_bad_variable_is_one_line_and_exit_code_2(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PORT", "http")

        done = command()

        assert (done.code, done.out) == (2, "")
        assert done.err == "PORT: 'http' cannot be used; it accepts a whole number from 0 to 65535\n"

    def test_an_unknown_command_is_refused_with_those_that_exist(self, command: Command) -> None:
        done = command("start")

        assert done.code == 2
        assert all(name in done.err for name in ("run", "import", "token"))  # quoted by some versions of Python

    def test_agent_modules_that_cannot_be_imported_stop_the_start(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENT_MODULES", "no_such_module")

        done = command("run")

        assert done.code == 2
        assert done.err.startswith("AGENT_MODULES: module no_such_module: cannot be imported: ModuleNotFoundError: ")


def test_help_lists_every_variable_with_its_default(command: Command) -> None:
    done = command("--help")

    assert done.code == 0
    lines = [line.strip() for line in done.out.splitlines()]
    for setting, _ in settings():
        assert any(line == setting.name or line.startswith(f"{setting.name} = ") for line in lines), setting.name
    assert "SCHEDULER_LEASE = 30000" in lines
    assert "SESSION_RETENTION_DAYS = 90" in lines


class TestProcess:
    def test_it_prints_where_it_is_and_a_token_that_opens_the_page_and_ends_on_sigterm(self, tmp_path: Path) -> None:
        with started(tmp_path, PORT="0") as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(3)]
            process.send_signal(signal.SIGTERM)
            rest, log = process.communicate(timeout=30)

        assert process.returncode == 0, log
        assert printed[0].startswith("Agent scheduler on http://localhost:")
        assert "(store: SQLite in data)" in printed[0]
        token = printed[1].strip().partition("/#token=")[2]
        assert Tokens(kept_secret(tmp_path / "data")).verify(token).role is Role.ADMIN
        assert printed[2].strip().endswith("/api/docs")
        assert rest == ""
        assert "stopped" in log

    def test_a_taken_port_is_one_line_and_exit_code_2_and_spoils_nothing(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with started(tmp_path, PORT=str(port), LOG_LEVEL="error") as process:
                _, log = process.communicate(timeout=30)

        assert process.returncode == 2
        assert log == (f"Cannot listen on 127.0.0.1:{port} (address already in use): set HOST or PORT to another one\n")
        assert sorted(stored(tmp_path / "data")) == ["file-inventory", "system-survey"]

    def test_a_host_that_is_none_is_one_line_that_says_so(self, tmp_path: Path) -> None:
        with started(
            tmp_path, HOST="999.1.1.1", JWT_SECRET=SECRET, SAMPLE_AGENTS="false", LOG_LEVEL="error"
        ) as process:
            _, log = process.communicate(timeout=30)

        assert process.returncode == 2
        assert log.startswith("Cannot listen on 999.1.1.1:")
        assert log.count("\n") == 1
        assert "name" in log  # "name or service not known", as the system puts it
        assert "error -" not in log


def started(folder: Path, **variables: str) -> subprocess.Popen[str]:
    """``python -m server`` in *folder*, with these variables and no other of the server's."""
    ours = {setting.name for setting, _ in settings()}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        [sys.executable, "-m", "server"],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT), "DATA_DIR": "data", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
