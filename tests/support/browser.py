"""Headless Chromium under the hand of a test, by way of Playwright: one Node.js process, any number of pages.

async with browser() as chromium, chromium.page() as page:
    await page.goto(url)
    await page.click("text=Sign in")
    await page.sees("h1", "Agents")

Selectors are Playwright's: CSS, ``text=...``, ``role=button[name="Run now"]``. Whatever waits, waits ``PATIENCE_S``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.support.tools import ROOT, chromium, node

DRIVER = ROOT / "tests" / "browser" / "driver.mjs"
PATIENCE_S = 20.0
LONGEST_LINE = 64 * 1024 * 1024


class BrowserError(AssertionError):
    """What Playwright said when the page was not as the test wants it."""


class Page:
    """One tab with a profile of its own."""

    def __init__(self, browser: Browser, name: str) -> None:
        self._browser = browser
        self._name = name
        self._forgiven: list[str] = []

    async def goto(self, url: str) -> None:
        await self._page("goto", url)

    async def reload(self) -> None:
        await self._page("reload")

    async def press(self, key: str) -> None:
        """A key, as if typed wherever the focus is."""
        await self._browser.do("press", page=self._name, key=key)

    async def shift_clock(self, by: timedelta) -> None:
        """Have the clock of the viewer's machine be wrong, from the next load on."""
        await self._browser.do("shiftClock", page=self._name, by=by / timedelta(milliseconds=1))

    async def click(self, selector: str, text: str | None = None) -> None:
        await self._locator(selector, "click", text=text)

    async def fill(self, selector: str, value: str) -> None:
        await self._locator(selector, "fill", value)

    async def choose(self, selector: str, value: str) -> None:
        await self._locator(selector, "selectOption", value)

    async def check(self, selector: str) -> None:
        await self._locator(selector, "check")

    async def sees(self, selector: str, text: str | None = None) -> None:
        """Wait until such an element is visible, with *text* in it."""
        await self._locator(selector, "waitFor", {"state": "visible"}, text=text)

    async def misses(self, selector: str, text: str | None = None) -> None:
        """Wait until there is no such element, or none that is visible."""
        await self._locator(selector, "waitFor", {"state": "hidden"}, text=text)

    async def text(self, selector: str) -> str:
        return str(await self._locator(selector, "innerText"))

    async def attribute(self, selector: str, name: str) -> str | None:
        value: str | None = await self._locator(selector, "getAttribute", name)
        return value

    async def count(self, selector: str, text: str | None = None) -> int:
        return int(await self._locator(selector, "count", text=text))

    async def evaluate(self, code: str, argument: object = None) -> Any:
        """What the JavaScript function *code* returns in the page."""
        return await self._browser.do("evaluate", page=self._name, code=code, argument=argument)

    async def until(self, code: str, argument: object = None) -> None:
        """Wait until the JavaScript function *code* returns something true in the page."""
        await self._browser.do("until", page=self._name, code=code, argument=argument)

    async def resize(self, width: int, height: int) -> None:
        await self._page("setViewportSize", {"width": width, "height": height})

    async def settle(self) -> None:
        """Wait until what is known is drawn."""
        frame = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
        await self.evaluate(f"async () => {{ await document.fonts.ready; await {frame}; }}")

    async def screenshot(self, path: str, **options: Any) -> None:
        await self._page(
            "screenshot",
            {"path": path, "animations": "disabled", **{k: v for k, v in options.items() if v is not None}},
        )

    async def violations(self) -> list[Any]:
        """What axe-core has to say of the page as it is now, the serious and the critical."""
        found = await self._browser.do("axe", page=self._name)
        return [violation for violation in found if violation["impact"] in ("serious", "critical")]

    async def problems(self) -> list[str]:
        """Errors and warnings of scripts and console, what the policy forbade, requests that left the host."""
        seen = await self._browser.do("seen", page=self._name)
        hosts = {urlsplit(address).hostname for address in seen["addresses"] if address.startswith("http")}
        foreign = [f"request to {host}" for host in hosts if host not in ("127.0.0.1", "localhost")]
        return [text for text in seen["problems"] + foreign if not any(re.search(p, text) for p in self._forgiven)]

    async def requests(self, path: str) -> int:
        """How many requests went to addresses that hold *path*."""
        seen = await self._browser.do("seen", page=self._name)
        return sum(path in address for address in seen["addresses"])

    def forgive(self, pattern: str) -> None:
        """Problems that match are what this test is about."""
        self._forgiven.append(pattern)

    async def _page(self, method: str, *args: Any) -> Any:
        return await self._browser.do("page", page=self._name, method=method, args=args)

    async def _locator(self, selector: str, method: str, *args: Any, text: str | None = None) -> Any:
        return await self._browser.do(
            "locator", page=self._name, selector=selector, text=text, method=method, args=args
        )


class Browser:
    """The process; made by ``browser()``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read(), name="answers of the browser")

    @contextlib.asynccontextmanager
    async def page(self, **options: Any) -> AsyncIterator[Page]:
        """A new page; *options* are those of Playwright's ``newContext``, such as ``colorScheme="dark"``."""
        name = await self.do("open", options=options)
        try:
            yield Page(self, name)
        finally:
            await self.do("close", page=name)

    async def do(self, command: str, **fields: Any) -> Any:
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": command, **fields}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(PATIENCE_S + 10):
            return await answer

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            answer = self._waiting.pop(said["id"])
            if answer.done():
                continue
            if "error" in said:
                answer.set_exception(BrowserError(said["error"]))
            else:
                answer.set_result(said["value"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BrowserError("the browser has ended"))


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium until the end of the block; mark what uses it ``browser`` and ``node``."""
    process = await asyncio.create_subprocess_exec(
        node() or "node",
        str(DRIVER),
        chromium() or "chromium",
        str(round(PATIENCE_S * 1000)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    running = Browser(process)
    try:
        yield running
    finally:
        await running.close()
