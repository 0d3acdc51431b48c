"""Where a paste begins and ends, however its bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.session.pastes import PasteScanner

START, END = b"\x1b[200~", b"\x1b[201~"

typing = st.lists(
    st.one_of(st.sampled_from([START, END, START[:3], END[:5], b"\x1b", b"~", b"200~", b"1"]), st.binary(max_size=4))
).map(b"".join)


def inside(typed: bytes) -> bool:
    """Whether all that was typed ends within a paste."""
    while True:
        begin = typed.find(START)
        if begin < 0:
            return False
        end = typed.find(END, begin + len(START))
        if end < 0:
            return True
        typed = typed[end + len(END) :]


@given(typed=typing, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_a_paste_is_followed_however_it_is_split(typed: bytes, cuts: list[int]) -> None:
    split, whole = PasteScanner(), PasteScanner()
    places = sorted({0, len(typed), *(min(cut, len(typed)) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        split.feed(typed[begin:end])
    whole.feed(typed)
    assert split.state == whole.state
    assert split.state[0] == inside(typed)


@given(typed=typing, rest=typing)
def test_a_scanner_goes_on_from_its_state(typed: bytes, rest: bytes) -> None:
    before = PasteScanner()
    before.feed(typed)
    after = PasteScanner(*before.state)
    assert after.open == before.open
    before.feed(rest)
    after.feed(rest)
    assert after.state == before.state


@pytest.mark.parametrize(
    ("typed", "is_open"),
    [
        (b"", False),
        (b"ls\r", False),
        (b"\x1b", False),  # ESC alone is a key
        (b"\x1b[", True),
        (b"\x1b[A", False),
        (START, True),
        (START + b"text\x1b", True),
        (START + b"text" + END, False),
        (START + START + END, False),  # pastes do not nest
        (END, False),
        (START + END + b"\x1b[20", True),
    ],
)
def test_keys_of_others_wait_within_a_paste_and_within_its_markers(typed: bytes, is_open: bool) -> None:
    scanner = PasteScanner()
    scanner.feed(typed)
    assert scanner.open is is_open
