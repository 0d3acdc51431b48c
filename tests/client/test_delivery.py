"""Outputs of a command on their way; most of it is in test_executing.py."""

from __future__ import annotations

from cmdop.client.delivery import Kept


def test_so_much_is_kept_and_no_more() -> None:
    kept = Kept(4)
    kept.write(b"abc")
    assert not kept.cut
    kept.write(b"de")
    kept.write(b"f")
    assert (kept.data, kept.cut) == (b"abcd", True)


def test_exactly_so_much_is_not_cut() -> None:
    kept = Kept(4)
    kept.write(b"abcd")
    kept.write(b"")
    assert (kept.data, kept.cut) == (b"abcd", False)
