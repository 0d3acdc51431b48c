"""The outer frame: both ways, its limits, and what a newer peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import LocalProtocolError, RemoteProtocolError
from cmdop.limits import DIRECTORY_MAX_BYTES, MESSAGE_MAX_BYTES, STREAM_ID_MAX
from cmdop.wire.frame import FRAME_OVERHEAD_BYTES, IGNORABLE, Frame, FrameKind, decode_frame, encode_frame

KINDS = st.sampled_from(list(FrameKind)).map(int) | st.integers(IGNORABLE, 0xFF)
STREAMS = st.integers(0, STREAM_ID_MAX)
NO_KINDS = sorted(set(range(IGNORABLE)) - {int(kind) for kind in FrameKind})


@given(KINDS, STREAMS, st.binary(max_size=64))
def test_every_frame_survives_the_wire(kind: int, stream: int, payload: bytes) -> None:
    message = encode_frame(kind, stream, payload)
    assert decode_frame(message) == Frame(kind, stream, payload)
    assert len(message) == FRAME_OVERHEAD_BYTES + len(payload)


@given(st.binary(max_size=80))
def test_random_bytes_are_refused_or_stay_what_they_are(message: bytes) -> None:
    try:
        frame = decode_frame(message)
    except RemoteProtocolError:
        return
    assert encode_frame(*frame) == message


@pytest.mark.parametrize("length", range(FRAME_OVERHEAD_BYTES))
def test_a_torn_header_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(encode_frame(FrameKind.SEALED, 7, b"")[:length])


@pytest.mark.parametrize("kind", NO_KINDS)
def test_an_unknown_kind_breaks_the_protocol(kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"frame kind {kind}"):
        decode_frame(bytes([kind, 0, 0, 0, 0]))


@pytest.mark.parametrize("kind", [IGNORABLE, 0xFF])
def test_an_unknown_kind_with_the_high_bit_may_be_ignored(kind: int) -> None:
    assert decode_frame(bytes([kind, 0, 0, 0, 1]) + b"new") == Frame(kind, 1, b"new")


@pytest.mark.parametrize("kind", [FrameKind.SEALED, 0xFF])
def test_a_frame_is_at_most_one_message_long(kind: int) -> None:
    longest = bytes(MESSAGE_MAX_BYTES - FRAME_OVERHEAD_BYTES)
    assert len(decode_frame(encode_frame(kind, 1, longest)).payload) == len(longest)
    with pytest.raises(LocalProtocolError):
        encode_frame(kind, 1, longest + b"x")
    with pytest.raises(RemoteProtocolError):
        decode_frame(bytes([kind, 0, 0, 0, 1]) + longest + b"x")


def test_only_the_list_of_machines_may_be_longer() -> None:
    longest = bytes(DIRECTORY_MAX_BYTES - FRAME_OVERHEAD_BYTES)
    assert len(decode_frame(encode_frame(FrameKind.CONTROL, 0, longest)).payload) == len(longest)
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameKind.CONTROL, 0, longest + b"x")
    with pytest.raises(RemoteProtocolError):
        decode_frame(bytes([FrameKind.CONTROL, 0, 0, 0, 0]) + longest + b"x")


@pytest.mark.parametrize("stream", [-1, STREAM_ID_MAX + 1])
def test_a_stream_id_out_of_range_is_our_own_mistake(stream: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameKind.SEALED, stream, b"")
