"""What travels: a packet is encoded and framed once, however many sockets get it; what arrives is checked here.

Sources: the Engine.IO protocol, revision 4; the Socket.IO protocol, revision 5; RFC 6455 section 5.2 for the framing.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from struct import pack
from typing import Any, Final

from engineio.exceptions import EngineIOError
from socketio.packet import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    DISCONNECT,
    EVENT,
    Packet,
)

MAX_ATTACHMENTS: Final = 10  # what the JavaScript parser takes; more and the client drops the connection
MAX_PACKETS_PER_POST: Final = 1000
RECORD_SEPARATOR: Final = "\x1e"  # between the packets of one polling payload
# Names the JavaScript parser refuses as events. From a client they would reach the connect handler itself.
RESERVED_EVENTS: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)

_TEXT, _BINARY = 0x81, 0x82  # final frame, opcode 1 or 2; a server never masks
# ASCII only, so that lone surrogates pass; NaN is refused here because JSON.parse would refuse it at every client.
_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=True).encode


class ProtocolError(EngineIOError):  # type: ignore[misc]
    """A client sent what the protocols forbid; its connection is closed."""


class Frame:
    """One packet, with its attachments, as immutable bytes shared by every socket and by the recovery log.

    ``wire`` holds complete WebSocket frames, the attachments included, so that nothing can get between them.
    ``collapse`` names what a newer frame of the same name replaces while a socket is congested.
    """

    __slots__ = ("wire", "collapse", "_text_at", "_parts")

    def __init__(self, text: str, attachments: Sequence[bytes] = (), *, collapse: str | None = None) -> None:
        body = text.encode()
        head = _frame_head(_TEXT, len(body))
        self._text_at = len(head)
        self._parts: tuple[str | bytes, ...] | None = (text, *attachments) if attachments else None
        self.wire = b"".join((head, body, *(part for data in attachments for part in _binary_frame(data))))
        self.collapse = collapse

    def __len__(self) -> int:
        return len(self.wire)

    def encode(self, b64: bool = True) -> str:
        """The packets as text for a polling response. The name is the one engineio's ``Payload`` calls."""
        if self._parts is None:
            return self.wire[self._text_at :].decode()
        return RECORD_SEPARATOR.join(
            part if isinstance(part, str) else "b" + b64encode(part).decode() for part in self._parts
        )


class RawFrame(Frame):
    """One binary message that is no attachment (plain Engine.IO; Socket.IO does not use it)."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        self.wire = b"".join(_binary_frame(data))
        self.collapse = None
        self._text_at = 0
        self._parts = (data,)


def encode(
    kind: int, namespace: str, data: object = None, ack_id: int | None = None, *, collapse: str | None = None
) -> Frame:
    """Frame a Socket.IO packet; EVENT and ACK become their binary form when *data* holds bytes.

    Raises:
        ValueError: NaN or an infinity, or more attachments than the JavaScript parser takes.
        TypeError: something JSON cannot hold.
    """
    attachments: list[bytes] = []
    try:
        body = "" if data is None else _dumps(data)
    except TypeError:  # the rare case pays for the walk through the payload, not every event
        stripped, found = Packet.deconstruct_binary(data)
        body = _dumps(stripped)
        if len(found) > MAX_ATTACHMENTS:
            raise ValueError(f"{len(found)} binary values in one packet; clients take {MAX_ATTACHMENTS}") from None
        attachments = [bytes(value) for value in found]
    prefix = str({EVENT: BINARY_EVENT, ACK: BINARY_ACK}[kind]) + f"{len(attachments)}-" if attachments else str(kind)
    place = "" if namespace == "/" else namespace + ","
    return Frame(f"4{prefix}{place}{'' if ack_id is None else ack_id}{body}", attachments, collapse=collapse)


def decode(text: str | bytes) -> Any:
    """The Socket.IO packet a client sent, as strictly as the JavaScript parser reads it.

    Raises:
        ProtocolError: not a packet, or not one a client may send.
    """
    if not isinstance(text, str):
        raise ProtocolError("a binary message that no packet announced")
    try:
        packet = Packet(encoded_packet=text)
    except (ValueError, IndexError, RecursionError) as error:
        raise ProtocolError(f"not a Socket.IO packet: {error}") from error
    if not text or not _is_valid(packet):
        raise ProtocolError(f"a Socket.IO packet of type {packet.packet_type} with a body of the wrong form")
    return packet


def split_payload(body: str) -> list[str | bytes]:
    """The Engine.IO packets of one POST; binary ones come out as bytes.

    Raises:
        ProtocolError: an empty packet, too many packets, or base64 that is none.
    """
    packets = body.split(RECORD_SEPARATOR)
    if len(packets) > MAX_PACKETS_PER_POST:
        raise ProtocolError(f"{len(packets)} packets in one POST; at most {MAX_PACKETS_PER_POST}")
    try:
        return [b64decode(item[1:], validate=True) if item[:1] == "b" else item for item in packets]
    except ValueError as error:
        raise ProtocolError("an attachment that is not base64") from error


def _is_valid(packet: Any) -> bool:
    kind, data = packet.packet_type, packet.data
    if kind in (BINARY_EVENT, BINARY_ACK):
        if packet.attachment_count > MAX_ATTACHMENTS:
            return False
    elif packet.attachment_count:
        return False
    if kind == CONNECT:
        return data is None or isinstance(data, dict)
    if kind == DISCONNECT:
        return data is None
    if kind in (EVENT, BINARY_EVENT):
        return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED_EVENTS
    return kind in (ACK, BINARY_ACK) and isinstance(data, list) and packet.id is not None


def _frame_head(opcode: int, length: int) -> bytes:
    if length < 126:
        return pack("!BB", opcode, length)
    if length < 1 << 16:
        return pack("!BBH", opcode, 126, length)
    return pack("!BBQ", opcode, 127, length)


def _binary_frame(data: bytes) -> tuple[bytes, bytes]:
    return _frame_head(_BINARY, len(data)), data


CLOSE: Final = Frame("1")
PING: Final = Frame("2")
PROBE_ANSWER: Final = Frame("3probe")
NOOP: Final = Frame("6")
