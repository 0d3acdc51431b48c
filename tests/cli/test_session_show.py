"""How output looks to programs: text where it is text, and no character cut."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from cmdop.cli.session_show import output_document, unfinished_bytes
from cmdop.wire.call_messages import Output


def pieces(data: bytes, sizes: list[int], offset: int = 0) -> list[Output]:
    """The output in pieces of these sizes, the rest in the last."""
    found: list[Output] = []
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        found.append(Output(offset, piece, 0))
        offset += len(piece)
    return found


@given(st.text(), st.data())
def test_a_text_that_is_cut_anywhere_is_told_up_to_its_last_whole_character(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    assert cut[: len(cut) - unfinished_bytes(cut)] == cut.decode(errors="ignore").encode()


@given(st.binary(), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**40))
def test_no_byte_is_lost_or_told_twice(data: bytes, sizes: list[int], offset: int) -> None:
    document = output_document(pieces(data, sizes, offset))
    told = document["data"].encode() if "data" in document else base64.b64decode(document["data_base64"])
    assert data.startswith(told)
    assert document["next_offset"] == offset + len(told)
    assert len(data) - len(told) <= 3
    assert document["offset"] == offset


@given(st.binary(max_size=6))
def test_only_what_may_still_become_a_character_is_left_for_later(data: bytes) -> None:
    """Whatever is held back must have an end that makes it UTF-8."""
    size = unfinished_bytes(data)
    if size == 0:
        return
    held = data[-size:]
    ends = (bytes(one) for n in (1, 2, 3) for one in ([0x80] * n, [0xA0] + [0x80] * (n - 1), [0x90] + [0x80] * (n - 1)))
    assert any(_decodes(held + end) for end in ends)


def _decodes(data: bytes) -> bool:
    try:
        return len(data.decode()) == 1
    except UnicodeDecodeError:
        return False


def test_a_hole_anywhere_is_marked() -> None:
    whole = [Output(0, b"a", 4), Output(1, b"b", 4)]
    assert output_document(whole)["truncated"] is False
    assert output_document([Output(0, b"a", 9), Output(5, b"b", 9, truncated=True)])["truncated"] is True
