"""Unchanged clients in a real browser, on a page of another origin that CORS_ORIGIN names, and on one it does not."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.clients.conftest import AGENTS
from tests.clients.payloads import agents_story, earlier_story, success_story
from tests.support.chromium_page import chromium_on, site
from tests.support.server_process import server_process

pytestmark = [pytest.mark.browser, pytest.mark.node]

PAGE = Path(__file__).with_name("page.html").read_text()
CLIENTS = ("4.0", "4.5", "newest")
WAYS = {"websocket": "websocket", "polling": "polling", "upgrade": "websocket"}
"""How a client was told to connect, and what it was connected by at the end."""


async def test_clients_of_both_generations_see_runs_on_a_page_of_an_allowed_origin(tmp_path: Path) -> None:
    async with site(PAGE) as page:
        with server_process(tmp_path, SOCKET_AUTH="optional", CORS_ORIGIN=page.origin, **AGENTS) as server:
            query = urlencode({"server": server.url, "token": server.token(), "try": "clients"})
            async with chromium_on(f"{page.origin}/?{query}", tmp_path / "profile"):
                reports = [await page.report() for _ in range(2 * len(CLIENTS) * len(WAYS))]

    ways = [(report.get("client"), report.get("way"), report.get("generation")) for report in reports]
    assert ways == [(client, way, kind) for client in CLIENTS for way in WAYS for kind in ("current", "earlier")], (
        reports
    )
    for report in reports:
        assert report["fine"], report
        assert set(report["transport"]) == {WAYS[report["way"]]}
        heard = [[(name, payload) for name, payload in events] for events in report["events"]]
        now = success_story(report["agentId"], report["sessionId"])
        if report["generation"] == "current":
            assert heard == [now]
        else:
            root, agents = heard
            assert [event for event in root if event in now] == now
            assert [event for event in root if event not in now] == earlier_story(report["agentId"])
            assert agents == agents_story(report["agentId"], {"name": "Ada"})


async def test_a_page_of_another_origin_gets_in_nowhere(tmp_path: Path) -> None:
    async with site(PAGE) as page:
        with server_process(tmp_path, SOCKET_AUTH="optional", CORS_ORIGIN="http://localhost:1") as server:
            query = urlencode({"server": server.url, "token": server.token(), "try": "doors"})
            async with chromium_on(f"{page.origin}/?{query}", tmp_path / "profile"):
                outcomes = await page.report()

    assert outcomes == {"websocket": "websocket error", "polling": "xhr poll error", "rest": "TypeError"}
