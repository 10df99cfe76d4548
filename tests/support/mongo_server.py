"""A MongoDB server for tests, as a program of its own: ``python mongo_server.py DATA_DIR [PORT]``.

Needs Python 3.13 and ``mongoeco[wire]``, so it runs in an environment of its own (``make .venv-mongo``) and
imports nothing of ours. Speaks MongoDB's wire protocol on 127.0.0.1 and keeps its data in DATA_DIR, so that a
server started again on the same folder and port finds what it had written. Prints its URI when it listens; ends
on SIGTERM, or when standard input closes, so that it cannot outlive the test run that started it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from mongoeco.engines import MemoryEngine, SQLiteEngine
from mongoeco.wire import AsyncMongoEcoProxyServer


async def serve(data_dir: str, port: int) -> None:
    """Serve *data_dir* (``:memory:`` keeps nothing) until told to stop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C belongs to pytest, which then stops us
    loop.add_reader(sys.stdin.fileno(), stopped.set)
    engine = MemoryEngine() if data_dir == ":memory:" else SQLiteEngine(str(Path(data_dir) / "mongo.sqlite"))
    async with AsyncMongoEcoProxyServer(engine=engine, port=port, mongodb_dialect="7.0") as server:
        print(server.address.uri, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
