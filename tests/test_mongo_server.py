"""The MongoDB server that the other tests rely on: it answers over the wire, and what it kept outlives a crash."""

from __future__ import annotations

import asyncio

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument
from pymongo.errors import ConnectionFailure, DuplicateKeyError

from tests.support.mongo import MongoServer

pytestmark = pytest.mark.mongo

Document = dict[str, object]


async def test_every_test_gets_an_empty_database(mongo_uri: str, mongo_db: str) -> None:
    client = AsyncIOMotorClient[Document](mongo_uri)
    try:
        assert await client[mongo_db].list_collection_names() == []
        await client[mongo_db].things.insert_one({"_id": 1})
    finally:
        client.close()


async def test_of_many_concurrent_claims_exactly_one_gets_each_document(mongo_uri: str, mongo_db: str) -> None:
    client = AsyncIOMotorClient[Document](mongo_uri)
    things = client[mongo_db].things
    try:
        await things.insert_many([{"_id": number, "owner": None} for number in range(5)])

        claims = [
            things.find_one_and_update(
                {"owner": None}, {"$set": {"owner": n}}, sort=[("_id", 1)], return_document=ReturnDocument.AFTER
            )
            for n in range(12)
        ]
        claimed = [found["_id"] for found in await asyncio.gather(*claims) if found]

        assert len(claimed) == 5
        assert set(claimed) == {0, 1, 2, 3, 4}
    finally:
        client.close()


async def test_a_unique_key_over_part_of_a_collection_is_kept(mongo_uri: str, mongo_db: str) -> None:
    client = AsyncIOMotorClient[Document](mongo_uri)
    runs = client[mongo_db].runs
    try:
        await runs.create_index("agent", unique=True, partialFilterExpression={"open": True})
        await runs.insert_many([{"agent": "a", "open": False}, {"agent": "a", "open": True}])

        with pytest.raises(DuplicateKeyError):
            await runs.insert_one({"agent": "a", "open": True})
    finally:
        client.close()


async def test_a_killed_server_is_missed_and_comes_back_with_what_it_had_acknowledged(
    mongo_server: MongoServer,
) -> None:
    client = AsyncIOMotorClient[Document](mongo_server.uri, serverSelectionTimeoutMS=200, w="majority")
    try:
        await client.test.things.insert_one({"_id": 1})

        mongo_server.kill()
        with pytest.raises(ConnectionFailure):
            await client.test.things.find_one({"_id": 1})

        mongo_server.start()
        assert await client.test.things.find_one({"_id": 1}) == {"_id": 1}
    finally:
        client.close()
