"""Several processes behind one Redis: what one tells, the clients of all hear, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from server.realtime import RedisFanout
from tests.support.raw_client import raw_clients
from tests.support.realtime import serving
from tests.support.redis import running_redis

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_redis() as url:
        yield url


async def test_an_event_of_one_server_reaches_the_clients_of_another_once_and_in_order(redis_url: str) -> None:
    async with (
        serving(client_manager=RedisFanout(redis_url)) as here,
        serving(client_manager=RedisFanout(redis_url)) as there,
        raw_clients(here.url) as raw_here,
        raw_clients(there.url) as raw_there,
    ):
        near, far = await raw_here.websocket(), await raw_there.websocket()
        for socket in (near, far):
            await socket.enter()
            await socket.send('42["join","room-1"]')
            await socket.send('42["join","room-2"]')
        await there.until(lambda: len([note for note in there.seen if note[0] == "join"]) == 2)
        await here.until(lambda: len([note for note in here.seen if note[0] == "join"]) == 2)
        await listening(here.sio.manager, there.sio.manager)

        for number in range(20):
            await here.sio.emit("news", number, to=["room-1", "room-2"])

        for socket in (near, far):
            assert [str(await socket.next()) for _ in range(20)] == [f'42["news",{n}]' for n in range(20)]


async def listening(*managers: RedisFanout) -> None:
    """Wait until each manager's subscription to the channel stands: what is told before, it cannot hear."""
    async with asyncio.timeout(10):
        for manager in managers:
            while not getattr(manager.pubsub, "subscribed", False):
                await asyncio.wait([manager.thread], timeout=0.01)
