"""What goes over the wire, byte by byte, and what is not let in."""

from __future__ import annotations

import math

import pytest
from socketio.packet import ACK, CONNECT, EVENT

from server.realtime.frames import Frame, ProtocolError, decode, encode, split_payload


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big")),
    ],
)
def test_a_frame_carries_its_length_as_rfc_6455_has_it(length: int, head: bytes) -> None:
    assert Frame("x" * length).wire == head + b"x" * length


@pytest.mark.parametrize(
    ("frame", "packet"),
    [
        (encode(EVENT, "/", ["news", {"n": 1}]), '42["news",{"n":1}]'),
        (encode(EVENT, "/agents", ["news"]), '42/agents,["news"]'),
        (encode(EVENT, "/agents", ["news"], 7), '42/agents,7["news"]'),
        (encode(ACK, "/", [], 0), "430[]"),
        (encode(CONNECT, "/", {"sid": "a"}), '40{"sid":"a"}'),
        (encode(EVENT, "/", ["ü \ud800"]), '42["\\u00fc \\ud800"]'),
    ],
)
def test_a_packet_reads_as_the_protocol_has_it(frame: Frame, packet: str) -> None:
    assert frame.encode() == packet
    assert frame.wire.endswith(packet.encode())


def test_bytes_travel_as_attachments_in_the_same_write() -> None:
    frame = encode(EVENT, "/", ["blob", b"ab", {"deep": [b"c"]}])

    placeholders = '452-["blob",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1}]}]'
    assert frame.wire == Frame(placeholders).wire + b"\x82\x02ab" + b"\x82\x01c"
    assert frame.encode() == placeholders + "\x1ebYWI=\x1ebYw=="


@pytest.mark.parametrize("value", [math.nan, math.inf, [b"x"] * 11])
def test_what_a_javascript_client_cannot_take_is_refused_where_it_is_emitted(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON compliant|binary values"):
        encode(EVENT, "/", ["news", value])


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        encode(EVENT, "/", ["news", {1, 2}])


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "7", "9[]", "2", "2{}", "2[]", "2[1]", '2["connect"]', '2["disconnect","x"]', '2abc["x"]', '2["x"',
        "0[]", '0"token"', "1{}", "3[]", "31", "4{}", '51-["x"', '511-["x"]', '21-["x"]', "2" + "[" * 100_000,
        '2["x",' + "1" * 5000 + "]",
    ],
)  # fmt: skip
def test_a_packet_that_a_javascript_server_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode(text)


def test_a_binary_message_out_of_the_blue_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(b"x")


def test_a_payload_is_split_into_its_packets() -> None:
    assert split_payload('42["a"]\x1ebAQI=\x1e3') == ['42["a"]', b"\x01\x02", "3"]


@pytest.mark.parametrize("body", ["b!", "\x1e".join(["3"] * 1001)])
def test_a_payload_of_the_wrong_form_is_refused(body: str) -> None:
    with pytest.raises(ProtocolError):
        split_payload(body)
