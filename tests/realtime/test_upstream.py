"""The upstream methods we restated, or rely on the inside of, are as we read them: a release that changed one fails.

Then read what changed, carry it over where it concerns us, and put the new hash in.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import engineio
import engineio.async_socket
import pytest
import socketio
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from engineio.async_drivers import aiohttp as driver
from socketio.async_manager import AsyncManager
from socketio.async_pubsub_manager import AsyncPubSubManager
from socketio.base_manager import BaseManager

from server.realtime.engine import Engine
from server.realtime.fanout import Fanout
from server.realtime.server import RealtimeServer

EngineSocket = engineio.async_socket.AsyncSocket

RESTATED: dict[Callable[..., Any], str] = {
    socketio.AsyncServer._handle_connect: "335c42d04e8d4ae1",
    socketio.AsyncServer._handle_disconnect: "4eef8aa4e7ae66e8",
    socketio.AsyncServer._handle_event: "f6cd1d71932878ee",
    socketio.AsyncServer._handle_event_internal: "325261cdeeb93883",
    socketio.AsyncServer._handle_ack: "1733d214d1ba35cd",
    socketio.AsyncServer._handle_eio_connect: "4c462bbca904efb1",
    socketio.AsyncServer._handle_eio_message: "38a7a6c5de2dd6e9",
    socketio.AsyncServer._handle_eio_disconnect: "97ab2ca891e5ec15",
    socketio.AsyncServer._send_packet: "d8c028ab83726465",
    socketio.AsyncServer._trigger_event: "46eb7c30ae954dcc",
    socketio.AsyncServer.disconnect: "3ac609b7ceefd106",
    socketio.AsyncServer.emit: "cc0cdca7d06015dd",
    socketio.AsyncServer.enter_room: "94cb7194c36be6b0",
    socketio.AsyncServer.leave_room: "1b9b9149d19777f4",
    socketio.AsyncServer.shutdown: "4b53c3fc2d677453",
    engineio.AsyncServer.handle_request: "911b69db6dcb7663",
    engineio.AsyncServer._handle_connect: "57f46d8154621917",
    engineio.AsyncServer.disconnect: "de8c2fec6b3ac402",
    engineio.AsyncServer.shutdown: "9d7e10ee1ef43f12",
    engineio.AsyncServer.attach: "6650b855a6420e03",
    EngineSocket.poll: "01a7f5df1937d926",
    EngineSocket.receive: "16b0b2f67927768c",
    EngineSocket.check_ping_timeout: "b752d61daa2681da",
    EngineSocket.send: "e7de91d345dff4fe",
    EngineSocket.handle_get_request: "39d7be2a28cd3bdd",
    EngineSocket.handle_post_request: "4c56de0a681290f3",
    EngineSocket.close: "9145d6fd2870d960",
    EngineSocket.schedule_ping: "ce99733916e924e7",
    EngineSocket._send_ping: "af7d301862db9af7",
    EngineSocket._upgrade_websocket: "87601500a120e564",
    EngineSocket._websocket_handler: "3548a4051e6f43df",
    AsyncManager.emit: "974bad6cde33d1a6",
    AsyncManager.pre_connect: "63bc19af54938d35",
    AsyncManager.connect: "497918d516dd5ea5",
    AsyncManager.disconnect: "8505da23a6e81cc0",
    AsyncManager.trigger_callback: "219338660c463f03",
    BaseManager.pre_connect: "118ca3d40e7d0353",
    BaseManager.connect: "c75dd5c38899ad3c",
    BaseManager.basic_disconnect: "badf3313db9ad2e1",
    BaseManager.basic_enter_room: "4bccfc8039a4ed24",
    BaseManager.basic_leave_room: "5ce333aaa3c13e7c",
    BaseManager.get_participants: "6dbb771adb36aed5",
    BaseManager.get_rooms: "e6b56d8f19b1b660",
    BaseManager._generate_ack_id: "36c3171200dcf818",
    AsyncPubSubManager.emit: "f7c569d7b006efdc",
    AsyncPubSubManager._handle_emit: "254aa23735515ac9",
    driver.WebSocket: "96fbcb0d1f45694a",
    driver.translate_request: "20aa782740060790",
    RequestHandler.connection_lost: "03c8e00617bec1a8",
    RequestHandler.finish_response: "ed4b58494924613b",
    RequestHandler.force_close: "69f0f1cd840de1f2",
    RequestHandler.set_parser: "8f4c36ca6bdb0b67",
    web.WebSocketResponse._post_start: "4059bd10d782dcbb",
    web.WebSocketResponse.receive: "d7713fbaaff59dd0",
}


def digest(method: Callable[..., Any]) -> str:
    return hashlib.sha256(textwrap.dedent(inspect.getsource(method)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("method", RESTATED, ids=lambda method: method.__qualname__)
def test_a_restated_method_is_as_we_read_it(method: Callable[..., Any]) -> None:
    assert digest(method) == RESTATED[method], f"{method.__module__}.{method.__qualname__} has changed"


def test_every_method_we_override_is_watched_or_calls_the_original() -> None:
    watched = {method.__qualname__.rpartition(".")[2] for method in RESTATED}
    unwatched = set()
    for ours, theirs in (
        (RealtimeServer, socketio.AsyncServer),
        (Engine, engineio.AsyncServer),
        (Fanout, AsyncManager),
    ):
        for name, method in vars(ours).items():
            if inspect.isfunction(method) and hasattr(theirs, name) and "super()." not in inspect.getsource(method):
                unwatched |= {f"{ours.__name__}.{name}"} if name not in watched else set()

    assert unwatched == {"RealtimeServer._engineio_server_class"}


@pytest.mark.parametrize(
    ("package", "version"), [("python-socketio", "5.18.1"), ("python-engineio", "4.15.1"), ("aiohttp", "3.14.5")]
)
def test_the_versions_are_those_we_pinned(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version
