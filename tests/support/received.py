"""What has come to a socket."""

from __future__ import annotations

import contextlib
import socket


def received(sock: socket.socket) -> bytes:
    """All that has come to *sock*, which does not block, since it was last looked at."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := sock.recv(1 << 20):
            data += more
    return data
