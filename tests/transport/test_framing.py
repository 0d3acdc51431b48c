"""Frames as RFC 6455 §5.2 has them: made, cut out of any stream of bytes, and refused when too long."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from cmdop.errors import RemoteProtocolError
from cmdop.limits import MESSAGE_MAX_BYTES
from cmdop.transport.framing import Fragments, FrameReader, OddFrame, binary_frame, mask

SIZES = [0, 1, 125, 126, 127, 1024, 1025, 65535, 65536]


@pytest.mark.parametrize("size", SIZES)
def test_an_unmasked_frame_is_what_websockets_makes_of_it(size: int) -> None:
    message = bytes(i % 251 for i in range(size))
    assert binary_frame(message, masked=False) == Frame(Opcode.BINARY, message).serialize(mask=False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_what_was_made_is_read_again(size: int, masked: bool) -> None:
    message = bytes(i % 251 for i in range(size))
    reader = FrameReader(masked, MESSAGE_MAX_BYTES)
    reader.feed(binary_frame(message, masked))
    assert reader.next() == message
    assert reader.next() is None
    assert not reader.buffered


@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans(), st.data())
def test_messages_come_out_the_same_however_the_bytes_are_split(
    messages: list[bytes], masked: bool, data: st.DataObject
) -> None:
    stream = b"".join(binary_frame(message, masked) for message in messages)
    reader, received, at = FrameReader(masked, MESSAGE_MAX_BYTES), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 200))
        reader.feed(stream[at : at + size])
        at += size
        while (frame := reader.next()) is not None:
            received.append(frame)
    assert received == messages
    assert not reader.buffered


@given(st.binary(max_size=3000), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing_and_once_is_the_xor_of_each_byte(payload: bytes, key: bytes) -> None:
    assert mask(payload, key) == bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert mask(mask(payload, key), key) == payload


def test_what_is_masked_in_c_is_what_python_masks() -> None:
    payload, key = bytes(range(256)) * 240, b"\x01\x80\xff\x5a"
    first = mask(payload, key)
    for _ in range(100):  # by then it is worth the import
        assert mask(payload, key) == first
    assert mask(first, key) == payload


@pytest.mark.parametrize("opcode", [Opcode.CONT, Opcode.TEXT, Opcode.CLOSE, Opcode.PING, Opcode.PONG])
def test_another_frame_is_cut_out_whole_between_messages(opcode: Opcode) -> None:
    odd = Frame(opcode, b"abc").serialize(mask=False)
    reader = FrameReader(masked=False, max_bytes=MESSAGE_MAX_BYTES)
    reader.feed(binary_frame(b"before", masked=False) + odd + binary_frame(b"after", masked=False))
    assert [reader.next(), reader.next(), reader.next()] == [b"before", OddFrame(odd), b"after"]


def test_a_fragment_and_a_frame_with_the_wrong_masking_are_left_to_the_library() -> None:
    reader = FrameReader(masked=False, max_bytes=MESSAGE_MAX_BYTES)
    fragment = Frame(Opcode.BINARY, b"abc", fin=False).serialize(mask=False)
    masked = binary_frame(b"abc", masked=True)
    reader.feed(fragment + masked)
    assert [reader.next(), reader.next()] == [OddFrame(fragment), OddFrame(masked)]


@pytest.mark.parametrize("header", [b"\x82\x7e\xff\xff", b"\x82\x7f" + b"\xff" * 8, b"\x89\x7f" + b"\x7f" * 8])
def test_a_length_past_the_limit_is_refused_before_anything_of_it_came(header: bytes) -> None:
    reader = FrameReader(masked=False, max_bytes=1000)
    reader.feed(header)
    with pytest.raises(RemoteProtocolError):
        reader.next()


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_do_more_than_break_the_protocol(garbage: bytes, masked: bool) -> None:
    reader = FrameReader(masked, 1000)
    reader.feed(garbage)
    try:
        while reader.next() is not None:
            pass
    except RemoteProtocolError:
        pass


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
def test_a_message_in_fragments_is_what_they_hold_together(pieces: list[bytes]) -> None:
    fragments, last = Fragments(1000), len(pieces) - 1
    came = [fragments.add(piece, continues=at > 0, last=at == last) for at, piece in enumerate(pieces)]
    assert came == [None] * last + [b"".join(pieces)]
    assert not fragments.begun


def test_fragments_without_content_take_no_memory_however_many_come() -> None:
    fragments = Fragments(MESSAGE_MAX_BYTES)
    assert fragments.add(b"", continues=False, last=False) is None
    tracemalloc.start()
    try:
        for _ in range(20_000):
            assert fragments.add(b"", continues=True, last=False) is None
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken_bytes < 20_000
    assert fragments.add(b"x", continues=True, last=True) == b"x"


def test_what_was_read_is_not_kept() -> None:
    """A relay has a reader for each connection, and each has seen a flood."""
    tracemalloc.start()
    try:
        reader = FrameReader(masked=False, max_bytes=MESSAGE_MAX_BYTES)
        reader.feed(binary_frame(bytes(60_000), masked=False))
        assert reader.next() == bytes(60_000)
        assert reader.next() is None
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


def test_fragments_are_together_no_longer_than_a_message() -> None:
    fragments = Fragments(10)
    fragments.add(bytes(10), continues=False, last=False)
    with pytest.raises(RemoteProtocolError):
        fragments.add(b"x", continues=True, last=True)


@pytest.mark.parametrize("begun", [False, True])
def test_a_fragment_out_of_place_is_refused(begun: bool) -> None:
    fragments = Fragments(10)
    if begun:
        fragments.add(b"x", continues=False, last=False)
    with pytest.raises(RemoteProtocolError):
        fragments.add(b"y", continues=not begun, last=True)
