"""The size of a terminal: rows first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import WINSIZE_MAX
from cmdop.winsize import DEFAULT_WINSIZE, Winsize


def test_rows_come_first() -> None:
    assert DEFAULT_WINSIZE == (24, 80)
    assert (DEFAULT_WINSIZE.rows, DEFAULT_WINSIZE.cols) == (24, 80)


@pytest.mark.parametrize(
    ("given_size", "got"),
    [((0, 0), (1, 1)), ((-5, 80), (1, 80)), ((24, 10**9), (24, WINSIZE_MAX)), ((50, 132), (50, 132))],
)
def test_a_size_that_no_terminal_has_becomes_the_nearest(given_size: tuple[int, int], got: tuple[int, int]) -> None:
    assert Winsize(*given_size).clamped() == got


@given(st.integers(), st.integers())
def test_every_size_can_be_clamped_and_twice_is_once(rows: int, cols: int) -> None:
    clamped = Winsize(rows, cols).clamped()
    assert 1 <= clamped.rows <= WINSIZE_MAX
    assert 1 <= clamped.cols <= WINSIZE_MAX
    assert isinstance(clamped, Winsize)
    assert clamped.clamped() == clamped
