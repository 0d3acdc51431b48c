"""The golden bytes in tests/vectors/: what is on the wire does not change by accident.

They were made once and are checked both ways. A new message, frame or record kind
needs a vector: write down its fields, and the failing test shows the bytes; compare
them with docs/protocol.md before they are kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cmdop.wire.frame import Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from tests.wire.messages import CODECS

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    rows = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(rows, list)
    return rows


def each(name: str) -> pytest.MarkDecorator:
    rows = vectors(name)
    return pytest.mark.parametrize("vector", rows, ids=[row["what"] for row in rows])


def kind_number(vector: dict[str, Any], names: type[FrameKind | RecordKind]) -> int:
    """Known kinds stand under their names, those of a newer cmdop as numbers."""
    kind = vector["kind"]
    return kind if isinstance(kind, int) else int(names[kind])


def message_of(codec: str, vector: dict[str, Any]) -> Message:
    """The message that a vector's fields describe; bytes stand there in base64."""
    kinds = {kind.__name__: kind for kind in CODECS[codec].kinds}
    return msgspec.json.decode(json.dumps(vector["message"]), type=kinds[vector["message"]["is"]])


def check_message(codec: str, vector: dict[str, Any]) -> None:
    message = message_of(codec, vector)
    assert CODECS[codec].encode(message).hex() == vector["hex"]
    assert CODECS[codec].decode(bytes.fromhex(vector["hex"])) == message


@each("relay_messages")
def test_a_relay_message_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    check_message("relay", vector)


@each("session_messages")
def test_a_session_message_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    check_message("session", vector)


@each("call_messages")
def test_a_call_or_its_answer_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    check_message("call", vector)


@each("exec_messages")
def test_what_is_said_around_a_command_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    check_message("exec", vector)


@each("frames")
def test_a_frame_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    frame = Frame(kind_number(vector, FrameKind), vector["stream"], bytes.fromhex(vector["payload"]))
    assert encode_frame(*frame).hex() == vector["hex"]
    assert decode_frame(bytes.fromhex(vector["hex"])) == frame


@each("records")
def test_a_record_has_its_golden_bytes(vector: dict[str, Any]) -> None:
    record = Record(kind_number(vector, RecordKind), vector["offset"], bytes.fromhex(vector["payload"]))
    assert encode_record(*record).hex() == vector["hex"]
    assert decode_record(bytes.fromhex(vector["hex"])) == record


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_message_class_has_a_vector(codec: str) -> None:
    have = {vector["message"]["is"] for vector in vectors(f"{codec}_messages")}
    missing = [kind.__name__ for kind in CODECS[codec].kinds if kind.__name__ not in have]
    assert not missing, f"no vector in tests/vectors/{codec}_messages.json for: {', '.join(missing)}"


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_field_of_every_message_is_in_a_vector(codec: str) -> None:
    messages = [message_of(codec, vector) for vector in vectors(f"{codec}_messages")]
    for kind in CODECS[codec].kinds:
        for field in msgspec.structs.fields(kind):
            seen = [getattr(message, field.name) for message in messages if isinstance(message, kind)]
            assert any(value != field.default for value in seen), f"{kind.__name__}.{field.name} is never given"


@pytest.mark.parametrize(("name", "kinds"), [("frames", FrameKind), ("records", RecordKind)])
def test_every_kind_has_a_vector(name: str, kinds: type[FrameKind | RecordKind]) -> None:
    have = {vector["kind"] for vector in vectors(name)}
    missing = [kind.name for kind in kinds if kind.name not in have]
    assert not missing, f"no vector in tests/vectors/{name}.json for: {', '.join(missing)}"


def test_the_bytes_are_those_of_the_specifications() -> None:
    """One of each put together by hand: msgpack's fixmap and fixstr, network order."""
    assert CODECS["session"].encode(message_of("session", {"message": {"is": "Detach"}})) == b"\x81\xa2is\xa6Detach"
    resize = message_of("session", {"message": {"is": "Resize", "rows": 24, "cols": 300}})
    assert CODECS["session"].encode(resize) == b"\x83\xa2is\xa6Resize\xa4rows\x18\xa4cols\xcd\x01\x2c"
    assert encode_frame(FrameKind.SEALED, 258, b"x") == b"\x02\x00\x00\x01\x02x"
    assert encode_record(RecordKind.INPUT, 258, b"x") == b"\x03\x00\x00\x00\x00\x00\x00\x01\x02x"
