"""The ring against the simplest model of it: every byte that was ever appended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import RING_BYTES
from cmdop.ring import RingBuffer

pieces = st.lists(st.binary(max_size=40), max_size=20)


@given(capacity=st.integers(1, 30), appended=pieces, size=st.integers(0, 40), data=st.data())
def test_a_ring_reads_as_the_end_of_everything_that_was_appended(
    capacity: int, appended: list[bytes], size: int, data: st.DataObject
) -> None:
    ring, model = RingBuffer(capacity), b""
    for piece in appended:
        ring.append(piece)
        model += piece
        assert (ring.head, ring.tail) == (len(model), max(0, len(model) - capacity))
        offset = data.draw(st.integers(ring.tail, ring.head))
        assert ring.read(offset, size) == model[offset : offset + size]


@given(capacity=st.integers(1, 30), appended=pieces, beyond=st.integers(1, 100))
def test_what_is_gone_and_what_is_not_yet_there_is_an_error(capacity: int, appended: list[bytes], beyond: int) -> None:
    ring = RingBuffer(capacity)
    for piece in appended:
        ring.append(piece)
    for offset in (ring.tail - beyond, ring.head + beyond):
        with pytest.raises(IndexError):
            ring.read(offset, 1)


@given(capacity=st.integers(1, 30), appended=pieces)
def test_reading_on_from_the_tail_gives_all_that_is_kept(capacity: int, appended: list[bytes]) -> None:
    ring = RingBuffer(capacity)
    for piece in appended:
        ring.append(piece)
    offset, read = ring.tail, b""
    while data := ring.read(offset, 7):
        offset, read = offset + len(data), read + data
    assert read == b"".join(appended)[-capacity:]


def test_a_ring_holds_what_the_limits_promise() -> None:
    ring = RingBuffer()
    ring.append(b"x" * (RING_BYTES + 5))
    assert (ring.tail, ring.head) == (5, RING_BYTES + 5)
    assert ring.read(5, 2 * RING_BYTES) == b"x" * RING_BYTES
