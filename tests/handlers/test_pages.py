"""Section 1.5 of the contract: the monitoring page, its files, and the browser's Socket.IO client."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.handlers.stack import Stack, running

CLIENT = "/socket.io/socket.io.js"


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A folder like ``static/`` after ``make setup``, with a secret beside it."""
    folder = tmp_path / "static"
    files = {
        "index.html": "<!DOCTYPE html><title>Agents</title>",
        "page.js": "console.log('page')",
        "styles/page.css": "body {}",
        ".env": "SECRET=1",
        "styles/.hidden": "hidden",
        "package.json": "{}",
        "node_modules/socket.io-client/dist/socket.io.js": "the client",
        "node_modules/socket.io-client/dist/socket.io.min.js": "the client",
        "node_modules/socket.io-client/dist/socket.io.esm.min.js": "the client",
        "node_modules/socket.io-client/dist/socket.io.msgpack.min.js": "the client",
        "node_modules/socket.io-client/dist/socket.io.js.map": "{}",
        "node_modules/socket.io-client/package.json": "{}",
        "node_modules/uplot/dist/uPlot.min.css": "u",
        "node_modules/other/dist/other.js": "other",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
async def served(tmp_path: Path, static: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path / "data", static=static, scheduling=False, origins=("http://localhost:3000",)) as stack:
        yield stack


async def test_the_page_is_at_the_root_under_strict_headers(served: Stack) -> None:
    page = await served.get("/", token=None)

    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    host = f"{served.url.host}:{served.url.port}"
    assert policy["connect-src"] == f"'self' ws://{host} wss://{host}"


async def test_a_forged_host_cannot_write_the_policy(served: Stack) -> None:
    page = await served.get("/", token=None, headers={"Host": "x;script-src *"})

    assert "script-src *" not in page.headers["Content-Security-Policy"]
    assert "connect-src 'self';" in page.headers["Content-Security-Policy"]


async def test_files_of_the_page_are_served_with_their_types(served: Stack) -> None:
    script = await served.get("/static/page.js", token=None)
    style = await served.get("/static/styles/page.css", token=None)
    vendored = await served.get("/static/node_modules/uplot/dist/uPlot.min.css", token=None)

    assert (script.status, style.status, vendored.status) == (200, 200, 200)
    assert "javascript" in script.headers["Content-Type"]
    assert style.headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize("path", ["/", "/static/page.js", CLIENT])
async def test_a_file_a_browser_has_already_is_not_sent_again(served: Stack, path: str) -> None:
    first = await served.get(path, token=None)

    again = await served.get(path, token=None, headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/..%2fsecret.txt", "/static/%2e%2e%2fsecret.txt",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/.env", "/static/styles/.hidden",
        "/static/package.json", "/static/styles", "/static/styles/", "/static/nothing.js", "/static/page.js%00.txt",
        "/static/node_modules/other/dist/other.js", "/static/node_modules/socket.io-client/package.json",
        "/static/node_modules/uplot/dist/../../other/dist/other.js", "/static/..\\secret.txt", "/static/",
        "/static/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_what_is_no_file_of_the_page_is_not_found(served: Stack, path: str) -> None:
    missing = await served.get(path, token=None)

    assert missing.status == 404
    assert missing.body["success"] is False


@pytest.mark.parametrize(
    "name",
    ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js", "socket.io.js.map"],
)
async def test_the_browser_client_is_where_the_original_server_had_it(served: Stack, name: str) -> None:
    client = await served.get(f"/socket.io/{name}", token=None, headers={"Origin": "http://localhost:3000"})

    assert client.status == 200
    assert client.headers["ETag"]
    assert client.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert client.headers["Vary"] == "Origin"


@pytest.mark.parametrize("name", ["socket.io.exe", "other.js", "socket.io.js.bak", "..%2fpackage.json"])
async def test_no_other_file_is_under_the_clients_path(served: Stack, name: str) -> None:
    assert (await served.get(f"/socket.io/{name}", token=None)).status == 404


async def test_a_client_that_was_not_installed_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path / "data", static=tmp_path, scheduling=False) as stack:
        missing = await stack.get(CLIENT, token=None)
        page = await stack.get("/", token=None)

    assert missing.status == 404
    assert "make setup" in missing.body["error"]
    assert (page.status, page.body["success"]) == (404, False)


async def test_an_icon_that_is_not_there_is_no_error_of_ours(served: Stack) -> None:
    assert (await served.get("/favicon.ico", token=None)).status == 404


async def test_a_compressed_twin_is_sent_to_who_takes_it(served: Stack, static: Path) -> None:
    (static / "page.js.gz").write_bytes(gzip.compress(b"console.log('page')"))

    script = await served.get("/static/page.js", token=None, headers={"Accept-Encoding": "gzip"})

    assert script.headers["Content-Encoding"] == "gzip"
    assert script.text == "console.log('page')"
