"""The sealed record: both ways, its limits, and what a newer peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import LocalProtocolError, RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES, OFFSET_MAX
from cmdop.wire.frame import IGNORABLE
from cmdop.wire.record import RECORD_OVERHEAD_BYTES, Record, RecordKind, decode_record, encode_record

KINDS = st.sampled_from(list(RecordKind)).map(int) | st.integers(IGNORABLE, 0xFF)
NO_KINDS = sorted(set(range(IGNORABLE)) - {int(kind) for kind in RecordKind})


@given(KINDS, st.integers(0, OFFSET_MAX), st.binary(max_size=64))
def test_every_record_survives_the_wire(kind: int, offset: int, payload: bytes) -> None:
    plain = encode_record(kind, offset, payload)
    assert decode_record(plain) == Record(kind, offset, payload)
    assert len(plain) == RECORD_OVERHEAD_BYTES + len(payload)


@given(st.binary(max_size=80))
def test_random_bytes_are_refused_or_stay_what_they_are(plain: bytes) -> None:
    try:
        record = decode_record(plain)
    except RemoteProtocolError:
        return
    assert encode_record(*record) == plain


@pytest.mark.parametrize("length", range(RECORD_OVERHEAD_BYTES))
def test_a_torn_header_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_record(encode_record(RecordKind.OUTPUT)[:length])


@pytest.mark.parametrize("kind", NO_KINDS)
def test_an_unknown_kind_breaks_the_protocol(kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"record kind {kind}"):
        decode_record(bytes([kind]) + bytes(8))


@pytest.mark.parametrize("kind", [IGNORABLE, 0xFF])
def test_an_unknown_kind_with_the_high_bit_may_be_ignored(kind: int) -> None:
    assert decode_record(bytes([kind]) + bytes(8) + b"new") == Record(kind, 0, b"new")


def test_a_record_carries_at_most_so_many_bytes() -> None:
    longest = bytes(DATA_MAX_BYTES)
    assert decode_record(encode_record(RecordKind.OUTPUT, 5, longest)) == Record(RecordKind.OUTPUT, 5, longest)
    with pytest.raises(LocalProtocolError):
        encode_record(RecordKind.OUTPUT, 0, longest + b"x")
    with pytest.raises(RemoteProtocolError):
        decode_record(bytes([RecordKind.OUTPUT]) + bytes(8) + longest + b"x")


def test_an_offset_that_no_stream_reaches_is_refused() -> None:
    assert decode_record(b"\x02\x7f" + b"\xff" * 7).offset == OFFSET_MAX
    with pytest.raises(RemoteProtocolError):
        decode_record(b"\x02\x80" + bytes(7))


@pytest.mark.parametrize("offset", [-1, OFFSET_MAX + 1, 2**64])
def test_an_offset_out_of_range_is_our_own_mistake(offset: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_record(RecordKind.ACK, offset)
