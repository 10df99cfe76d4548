"""The sockets' document: valid to the official parser, and made of what the server emits and listens to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from handlers.asyncapi import COMMANDS, REFUSED, asyncapi
from handlers.auth import Tokens
from handlers.earlier import EarlierClients
from handlers.earlier_events import EARLIER_EVENTS
from handlers.events import EVENTS
from handlers.sockets import Subscriptions
from server.realtime import RealtimeServer
from tests.handlers.stack import SECRET, Stack
from tests.support.tools import JS_TESTS, node

DOCUMENT: Any = asyncapi("1.0.0")


class Ears(RealtimeServer):
    """Notes what is listened to."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: set[tuple[str, str]] = set()

    def on(self, event: str, *args: Any, namespace: str, **options: Any) -> Any:
        self.heard.add((namespace, event))
        return super().on(event, *args, namespace=namespace, **options)


@pytest.mark.node
async def test_the_official_parser_accepts_it() -> None:
    parser = await asyncio.create_subprocess_exec(
        node() or "node",
        str(JS_TESTS / "asyncapi.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await parser.communicate(json.dumps(DOCUMENT).encode())

    found = json.loads(out)
    assert found["errors"] == []
    assert {event.name for event in (*EVENTS, *EARLIER_EVENTS)} <= set(found["messages"])
    assert set(found["operations"]) == DOCUMENT["operations"].keys()


async def test_it_is_served_to_everybody(stack: Stack) -> None:
    answer = await stack.get("/api/docs/asyncapi.json", token=None)

    assert (answer.status, answer.body) == (200, DOCUMENT)


def test_every_event_that_is_emitted_is_sent_in_it_and_no_other() -> None:
    assert _spoken("send") == {(event.namespace, event.name) for event in (*EVENTS, *EARLIER_EVENTS, REFUSED)}


async def test_every_event_that_is_listened_to_is_received_in_it_and_no_other(stack: Stack) -> None:
    ears = Ears()
    Subscriptions(ears, stack.store, stack.service, Tokens(SECRET))
    EarlierClients(ears, stack.store, stack.service, Tokens(SECRET))

    commands = {(namespace, event) for namespace, event in ears.heard if event not in ("connect", "disconnect")}
    assert _spoken("receive") == commands
    assert {(command.namespace, command.name) for command in COMMANDS} == commands


def test_every_message_tells_its_rooms_and_has_an_example_that_is_true_to_its_schema() -> None:
    for name, message in DOCUMENT["components"]["messages"].items():
        assert message["examples"], name
        for one in message["examples"]:
            assert _faults(message["payload"], one["payload"]) == [], name
    started = DOCUMENT["components"]["messages"]["agent.started"]
    assert started["x-rooms"] == ["agent:{agentId}", "monitoring:agents"]


def test_every_command_is_answered_by_an_acknowledgement_of_its_own() -> None:
    for key, operation in DOCUMENT["operations"].items():
        if operation["action"] == "receive":
            (reply,) = operation["reply"]["messages"]
            ack = DOCUMENT["components"]["messages"][reply["$ref"].rpartition("/")[2]]
            assert ack["name"] == f"{key.removeprefix('agents.').replace('.', ':')} acknowledged"
            assert _faults(ack["payload"], {"success": False, "error": "No."}) == []
            assert _faults(ack["payload"], {"success": True}) != []


def _spoken(action: str) -> set[tuple[str, str]]:
    """Namespace and name of the events of all operations that are this *action*."""
    spoken = set()
    for operation in DOCUMENT["operations"].values():
        if operation["action"] == action:
            channel = DOCUMENT["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
            (ref,) = operation["messages"]
            message = channel["messages"][ref["$ref"].rpartition("/")[2]]
            key = message["$ref"].rpartition("/")[2]
            spoken.add((channel["address"], DOCUMENT["components"]["messages"][key]["name"]))
    return spoken


def _faults(schema: Any, value: Any) -> list[str]:
    whole = schema | {"components": DOCUMENT["components"]}  # what its $refs point to
    return [error.message for error in OAS31Validator(whole).iter_errors(value)]
