"""The AsyncAPI 3 document of the sockets, made from the definitions by which the events are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import fields

from handlers.answer_schemas import Part, StatisticsPart, nested, text
from handlers.earlier_events import AGENTS_NAMESPACE, EARLIER_EVENTS
from handlers.events import EVENTS, NAMESPACE, EventDefinition
from handlers.examples import example
from handlers.openapi import schema_name
from handlers.snapshots import AgentSnapshotPart, AgentsSnapshotPart
from store.records import AGENT_ID

VERSION = "3.0.0"

DESCRIPTION = (
    "Socket.IO 4 (protocol 5 on Engine.IO 4), by WebSocket, long-polling, or polling upgraded to WebSocket. A channel "
    "here is a namespace, a message an event with one argument. Nothing is pushed to a client that did not ask for it; "
    "a socket in several of an event's rooms gets it once. What an event tells is in the database before it is sent. "
    "For one run the order is: started, progress and log as they were made, then completed or failed. A client that "
    "lost its connection finds `socket.recovered` true within SOCKET_RECOVERY and gets what it missed, once, in order."
)

Document: TypeAlias = dict[str, Any]
"""Of this document, a part."""
Definition: TypeAlias = "EventDefinition | CommandDefinition"

AGENT_ID_ARGUMENT = {
    "type": "string",
    "pattern": f"^{AGENT_ID.pattern}$",
    "description": "An agent's id; it need not exist yet.",
}
TOPIC_ARGUMENT = {
    "type": "string",
    "enum": ["agents", "scheduler"],
    "description": "`agents`: every agent's events. `scheduler`: `scheduler:status`.",
}


@dataclass(frozen=True, slots=True)
class CommandDefinition:
    """An event that clients emit: its argument, and the schemas that the data of its acknowledgement may have."""

    name: str
    summary: str
    argument: Mapping[str, Any] | None
    acknowledged: tuple[type[Part], ...] = ()
    namespace: str = NAMESPACE


AGENT_ACK = (AgentSnapshotPart,)
COMMANDS = (
    CommandDefinition("agent:subscribe", "Get one agent's events from now on.", AGENT_ID_ARGUMENT, AGENT_ACK),
    CommandDefinition("agent:unsubscribe", "Get them no longer.", AGENT_ID_ARGUMENT),
    CommandDefinition(
        "monitoring:subscribe",
        "Get every agent's events, or the scheduler's status.",
        TOPIC_ARGUMENT,
        (AgentsSnapshotPart, StatisticsPart),
    ),
    CommandDefinition("monitoring:unsubscribe", "Get them no longer.", TOPIC_ARGUMENT),
    CommandDefinition("subscribe-agent-updates", "As agent:subscribe (earlier clients).", AGENT_ID_ARGUMENT, AGENT_ACK),
    CommandDefinition("unsubscribe-agent-updates", "As agent:unsubscribe (earlier clients).", AGENT_ID_ARGUMENT),
    CommandDefinition(
        "subscribe-scheduler-updates",
        "As monitoring:subscribe with `scheduler` (earlier clients).",
        None,
        (StatisticsPart,),
    ),
    CommandDefinition("unsubscribe-scheduler-updates", "Get them no longer (earlier clients).", None),
    CommandDefinition(
        "join:agent",
        "Get one agent's runs, for as long as the client stays (earlier clients).",
        AGENT_ID_ARGUMENT,
        AGENT_ACK,
        AGENTS_NAMESPACE,
    ),
)

REFUSALS = {
    "TOKEN_MISSING": "Authentication required",
    "TOKEN_INVALID": "Invalid or expired token",
    "TOO_MANY_CONNECTIONS": "Too many connections",
}


class RefusalDataPart(Part):
    code = text(enum=list(REFUSALS))


class RefusalPart(Part):
    message = text(enum=list(REFUSALS.values()))
    data = nested(RefusalDataPart)


class AckFailurePart(Part):
    success = fields.Boolean(required=True, metadata={"enum": [False]})
    error = text(description="One sentence a person can act on.")


REFUSED = EventDefinition("connect_error", "The connection was refused: `err.message`, `err.data`.", RefusalPart, ())
CHANNELS = {NAMESPACE: "current", AGENTS_NAMESPACE: "earlier"}


def asyncapi(version: str) -> Document:
    """The document; *version* is the API's."""
    sent: tuple[EventDefinition, ...] = (*EVENTS, *EARLIER_EVENTS, REFUSED)
    schemas = _schemas(sent)
    messages = {_key(event): _event_message(event, schemas) for event in sent}
    messages |= {_key(command): _command_message(command) for command in COMMANDS}
    acks = {_ack_key(command): _ack_message(command, schemas) for command in COMMANDS}
    return {
        "asyncapi": VERSION,
        "info": {"title": "Agent scheduler: sockets", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"here": _server()},
        "channels": _channels(sent, acks),
        "operations": {_key(event): _sending(event) for event in sent}
        | {_key(command): _receiving(command) for command in COMMANDS},
        "components": {
            "schemas": schemas,
            "messages": messages | acks,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Handed to `io(url, {auth: {token}})`, so it travels in the packet that connects. "
                    "With SOCKET_AUTH=optional a socket without one may listen.",
                }
            },
        },
    }


def _schemas(events: tuple[EventDefinition, ...]) -> Document:
    """The schemas of all payloads and snapshots, and of what they hold, as JSON Schema."""
    spec = APISpec(
        title="", version="", openapi_version="3.1.0", plugins=[MarshmallowPlugin(schema_name_resolver=schema_name)]
    )
    acknowledged = [part for command in COMMANDS for part in command.acknowledged]
    parts: list[type[Part]] = [*(event.payload for event in events), *acknowledged, AckFailurePart]
    for part in parts:
        if schema_name(part) not in spec.components.schemas:
            spec.components.schema(schema_name(part), schema=part)
    described: Document = spec.to_dict()["components"]["schemas"]
    return described


def _server() -> Document:
    return {
        "host": "{host}",
        "pathname": "/socket.io/",
        "protocol": "ws",
        "description": "The address of the REST API; behind TLS the protocol is wss.",
        "variables": {"host": {"default": "localhost:5000", "description": "HOST and PORT of the server."}},
        "security": [{"$ref": "#/components/securitySchemes/token"}],
    }


def _channels(sent: tuple[EventDefinition, ...], acks: Document) -> Document:
    described: Document = {
        "current": {
            "address": NAMESPACE,
            "title": "The namespace of current clients, and of most earlier ones",
            "messages": {},
        },
        "earlier": {
            "address": AGENTS_NAMESPACE,
            "title": "A namespace of earlier clients",
            "messages": {},
        },
        "acknowledgements": {
            "address": None,
            "title": "What the callback of an emit gets, where there is one",
            "messages": {key: _message_ref(key) for key in acks},
        },
    }
    definitions: tuple[Definition, ...] = (*sent, *COMMANDS)
    for definition in definitions:
        described[CHANNELS[definition.namespace]]["messages"][_key(definition)] = _message_ref(_key(definition))
    return described


def _event_message(event: EventDefinition, schemas: Document) -> Document:
    payload = _schema_ref(event.payload)
    message: Document = {
        "name": event.name,
        "title": event.name,
        "summary": event.summary,
        "payload": payload,
        "examples": [{"payload": example(payload, schemas)}],
    }
    if event.rooms:
        message["description"] = f"Sent to the rooms {', '.join(f'`{room}`' for room in event.rooms)}."
        message["x-rooms"] = [*event.rooms]
    return message


def _command_message(command: CommandDefinition) -> Document:
    message: Document = {"name": command.name, "title": command.name, "summary": command.summary}
    if command.argument is None:
        return message | {"payload": {"type": "null", "description": "No argument."}, "examples": [{"payload": None}]}
    choices = command.argument.get("enum", ["agent-123"])
    return message | {"payload": command.argument, "examples": [{"payload": choice} for choice in choices]}


def _ack_message(command: CommandDefinition, schemas: Document) -> Document:
    kinds: list[dict[str, Any]] = [
        {"$ref": f"#/components/schemas/{schema_name(part)}"} for part in command.acknowledged
    ]
    examples = [example(kind, schemas) for kind in kinds] or [None]
    data: Document = {"oneOf": [*kinds, {"type": "null", "description": "No agent has that id yet."}]}
    success: Document = {
        "type": "object",
        "required": ["success", "data"],
        "additionalProperties": False,
        "properties": {"success": {"const": True}, "data": data if kinds else {"type": "null"}},
    }
    return {
        "name": f"{command.name} acknowledged",
        "title": f"The acknowledgement of {command.name}",
        "payload": {"oneOf": [success, {"$ref": "#/components/schemas/AckFailure"}]},
        "examples": [{"payload": {"success": True, "data": one}} for one in examples],
    }


def _sending(event: EventDefinition) -> Document:
    return {"action": "send", "summary": event.summary, **_in_channel(event)}


def _receiving(command: CommandDefinition) -> Document:
    key = _ack_key(command)
    reply: Document = {
        "channel": {"$ref": "#/channels/acknowledgements"},
        "messages": [{"$ref": f"#/channels/acknowledgements/messages/{key}"}],
    }
    return {"action": "receive", "summary": command.summary, **_in_channel(command), "reply": reply}


def _in_channel(definition: Definition) -> Document:
    channel = f"#/channels/{CHANNELS[definition.namespace]}"
    return {"channel": {"$ref": channel}, "messages": [{"$ref": f"{channel}/messages/{_key(definition)}"}]}


def _key(definition: Definition) -> str:
    """What an event is called as a part of the document, where a colon may not stand: ``agent.started``."""
    name = definition.name.replace(":", ".")
    return name if definition.namespace == NAMESPACE else f"agents.{name}"


def _ack_key(command: CommandDefinition) -> str:
    return f"{_key(command)}.ack"


def _message_ref(key: str) -> Document:
    return {"$ref": f"#/components/messages/{key}"}


def _schema_ref(part: type[Part]) -> Document:
    return {"$ref": f"#/components/schemas/{schema_name(part)}"}
