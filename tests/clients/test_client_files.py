"""``GET /socket.io/socket.io.js`` and its siblings, held against what Socket.IO's own server serves."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from tests.support.server_process import ServerProcess
from tests.support.tools import JS_TESTS

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

ORIGINAL = JS_TESTS / "node_modules" / "socket.io" / "client-dist"
BUNDLES = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]


@pytest.mark.parametrize("name", [*BUNDLES, *(f"{bundle}.map" for bundle in BUNDLES)])
async def test_a_file_is_the_one_the_original_server_serves(server: ServerProcess, name: str) -> None:
    kind = "json" if name.endswith(".map") else "javascript"
    async with ClientSession() as browser:
        async with browser.get(f"{server.url}/socket.io/{name}") as first:
            body = await first.read()
        async with browser.get(first.url, headers={"If-None-Match": first.headers["ETag"]}) as again:
            nothing = await again.read()

    assert body == (ORIGINAL / name).read_bytes()
    assert first.headers["Content-Type"] == f"application/{kind}; charset=utf-8"
    assert first.headers["Cache-Control"] == "public, max-age=0"
    assert (again.status, nothing) == (304, b"")


async def test_all_that_the_original_server_has_is_there(server: ServerProcess) -> None:
    async with ClientSession() as browser:
        for file in ORIGINAL.iterdir():
            async with browser.get(f"{server.url}/socket.io/{file.name}") as answer:
                assert answer.status == 200, file.name
