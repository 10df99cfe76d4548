"""A Redis server of the tests' own, on a free port of this machine, that keeps nothing."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator

from tests.support.tools import redis_server

READY_S = 10.0


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """Its URL, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = redis_server()
    assert program is not None
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    until = time.monotonic() + READY_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as link:
                link.sendall(b"PING\r\n")
                if link.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
