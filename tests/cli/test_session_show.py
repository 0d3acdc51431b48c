"""How output looks to programs: text where it is text, and no character cut."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.api import ReadOutput
from cmdop.cli.session_show import left_text, output_document, unfinished_bytes


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (29.9, "29s"),
        (119, "119s"),
        (120, "2m"),
        (1799.5, "29m"),
        (7199.9, "119m"),
        (7200, "2h"),
        (2e5, "2d"),
        (-1, "0s"),
    ],
)
def test_what_is_left_is_not_halved_by_rounding_it(seconds: float, shown: str) -> None:
    assert left_text(seconds) == shown


@given(st.text(), st.data())
def test_a_text_that_is_cut_anywhere_is_told_up_to_its_last_whole_character(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    assert cut[: len(cut) - unfinished_bytes(cut)] == cut.decode(errors="ignore").encode()


@given(st.binary(), st.integers(0, 2**40), st.booleans())
def test_no_byte_is_lost_or_told_twice(data: bytes, offset: int, truncated: bool) -> None:
    document = output_document(ReadOutput(data, offset, offset + len(data), truncated))
    assert document["truncated"] is truncated
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
