"""The outer frame: all that a relay sees of a stream.

One frame is one binary WebSocket message:

     0        1                          5
    +--------+--------------------------+----------------------+
    | kind   | stream id (u32, network) | payload ...          |
    +--------+--------------------------+----------------------+

Stream 0 belongs to the connection itself; others are opened by clients. Offsets are
not here but in the sealed record, so that a relay learns lengths and nothing else.
A kind with the high bit set may be ignored by who does not know it; any other
unknown kind breaks the protocol.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from cmdop.errors import LocalProtocolError, RemoteProtocolError
from cmdop.limits import DIRECTORY_MAX_BYTES, MESSAGE_MAX_BYTES, STREAM_ID_MAX

_HEADER = struct.Struct("!BI")
FRAME_OVERHEAD_BYTES = _HEADER.size
_PAYLOAD_MAX_BYTES = MESSAGE_MAX_BYTES - FRAME_OVERHEAD_BYTES
CONNECTION_STREAM = 0
IGNORABLE = 0x80


class FrameKind(IntEnum):
    """What the payload of a frame is."""

    CONTROL = 1
    """A relay message (wire/relay_messages.py), between a peer and the relay."""
    SEALED = 2
    """A handshake message or a sealed record, from client to agent or back."""
    PING = 3
    """Asks for a PONG with the same payload, at most 64 bytes, on stream 0."""
    PONG = 4


class Frame(NamedTuple):
    """One frame; `kind` is a `FrameKind`, or an unknown one that may be ignored."""

    kind: int
    stream: int
    payload: bytes


def encode_frame(kind: int, stream: int, payload: bytes) -> bytes:
    """A frame as one message.

    Raises LocalProtocolError when the stream id or the size is out of range; only a
    CONTROL frame (the list of machines) may be longer than `MESSAGE_MAX_BYTES`.
    """
    if not 0 <= stream <= STREAM_ID_MAX:
        raise LocalProtocolError(reason=f"stream id {stream}")
    if len(payload) > _PAYLOAD_MAX_BYTES and len(payload) > _payload_max_bytes(kind):
        raise LocalProtocolError(reason=f"a frame of {len(payload)} bytes")
    return _HEADER.pack(kind, stream) + payload


def decode_frame(message: bytes) -> Frame:
    """The frame in a message. Raises RemoteProtocolError for anything that is none."""
    if len(message) < FRAME_OVERHEAD_BYTES:
        raise RemoteProtocolError(reason=f"a frame of {len(message)} bytes")
    kind, stream = _HEADER.unpack_from(message)
    if len(message) > MESSAGE_MAX_BYTES and len(message) - FRAME_OVERHEAD_BYTES > _payload_max_bytes(kind):
        raise RemoteProtocolError(reason=f"a frame of {len(message)} bytes")
    if kind not in _KNOWN and not kind & IGNORABLE:
        raise RemoteProtocolError(reason=f"frame kind {kind}")
    return Frame(kind, stream, message[FRAME_OVERHEAD_BYTES:])


def _payload_max_bytes(kind: int) -> int:
    return DIRECTORY_MAX_BYTES - FRAME_OVERHEAD_BYTES if kind == FrameKind.CONTROL else _PAYLOAD_MAX_BYTES


_KNOWN = frozenset(int(kind) for kind in FrameKind)
