"""Since when a scheduler has been alive: what tells missed occurrences from late ones."""

from __future__ import annotations

from store.base import Store
from tests.support.records import MINUTE, NOW, SECOND


async def test_the_first_beat_begins_a_life(store: Store) -> None:
    assert await store.beat(NOW, lapse=MINUTE) == NOW


async def test_beats_without_a_lapse_are_one_life(store: Store) -> None:
    await store.beat(NOW, lapse=MINUTE)

    assert await store.beat(NOW + MINUTE, lapse=MINUTE) == NOW
    assert await store.beat(NOW + 2 * MINUTE, lapse=MINUTE) == NOW


async def test_a_lapse_begins_a_new_life(store: Store) -> None:
    await store.beat(NOW, lapse=MINUTE)
    await store.beat(NOW + MINUTE, lapse=MINUTE)

    late = NOW + 2 * MINUTE + SECOND
    assert await store.beat(late, lapse=MINUTE) == late
    assert await store.beat(late + SECOND, lapse=MINUTE) == late


async def test_a_clock_that_is_behind_shortens_no_life(store: Store) -> None:
    await store.beat(NOW, lapse=MINUTE)
    await store.beat(NOW + MINUTE, lapse=MINUTE)

    assert await store.beat(NOW + SECOND, lapse=MINUTE) == NOW
    assert await store.beat(NOW + 2 * MINUTE, lapse=MINUTE) == NOW
