"""What a session and its model's process say to each other, over a pair of sockets.

A request is its kind (u8), its number (u32), the payload's length (u32) and the payload,
little-endian. A reply has the same shape; its number is that of the request. Both ends
are this program; they may be of two versions when the session's became another program
(exec), and so each version of what follows has a number, `FORMAT`.

    FEED      output                          -
    ASK       output that may hold questions  ANSWERS: whether it ends within a sequence (u8), answers
    RESIZE    rows, cols (u16 each)           -
    ANSWER    0 or 1 (u8)                     -
    CAPTURE   history, redraw, fits (u8 each) SNAPSHOT
    (first)                                   UNUSABLE, a reason: there is no model
"""

from __future__ import annotations

import enum
import socket
import struct
from typing import NamedTuple

from cmdop.limits import MODEL_SNAPSHOT_MAX_BYTES
from cmdop.screen.interface import Snapshot

FORMAT = 2
"""To be raised with every change of what is exchanged."""

_HEADER = struct.Struct("<BII")
HEADER_BYTES = _HEADER.size
_LENGTHS = struct.Struct("<III")
_RECEIVE_BYTES = 1 << 18


class Kind(enum.IntEnum):
    """What a message is."""

    FEED = 1
    RESIZE = 2
    ANSWER = 3
    CAPTURE = 4
    ANSWERS = 5
    SNAPSHOT = 6
    UNUSABLE = 7
    ASK = 8


class Message(NamedTuple):
    """A request or a reply."""

    kind: int
    number: int
    payload: bytes


def encode(kind: Kind, number: int, payload: bytes) -> bytes:
    return _HEADER.pack(kind, number, len(payload)) + payload


def decode(data: bytes | bytearray, at: int) -> Message | None:
    """The message that begins there, None while it is not all there."""
    if len(data) < at + HEADER_BYTES:
        return None
    kind, number, length = _HEADER.unpack_from(data, at)
    start = at + HEADER_BYTES
    return Message(kind, number, bytes(data[start : start + length])) if len(data) >= start + length else None


def receive(sock: socket.socket) -> Message | None:
    """The next message; None at the end. Blocks as the socket does, and raises its OSError."""
    header = _receive_exactly(sock, _HEADER.size)
    if header is None:
        return None
    kind, number, length = _HEADER.unpack(header)
    if length > MODEL_SNAPSHOT_MAX_BYTES:
        return None
    payload = _receive_exactly(sock, length)
    return None if payload is None else Message(kind, number, payload)


def _receive_exactly(sock: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(count - len(data), _RECEIVE_BYTES))
        if not piece:
            return None
        data += piece
    return bytes(data)


def encode_answers(answers: bytes, within_sequence: bool) -> bytes:
    return bytes((within_sequence,)) + answers


def decode_answers(payload: bytes) -> tuple[bytes, bool]:
    return payload[1:], payload[:1] != b"\0"


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return _LENGTHS.pack(*map(len, snapshot)) + b"".join(snapshot)


def decode_snapshot(payload: bytes) -> Snapshot:
    data, reports, _ = _LENGTHS.unpack_from(payload)
    rest = payload[_LENGTHS.size :]
    return Snapshot(rest[:data], rest[data : data + reports], rest[data + reports :])
