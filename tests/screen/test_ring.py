"""The model without a library."""

from __future__ import annotations

import pytest

from cmdop.limits import RING_BYTES
from cmdop.screen.ring import RingScreen
from tests.screen.oracle import CORPUS, seen, terminal


def test_what_fits_is_shown_again_as_it_was() -> None:
    ring = RingScreen()
    for at in range(0, len(CORPUS["less"]), 100):
        ring.feed(CORPUS["less"][at : at + 100])
    shown = terminal(ring.snapshot().whole)
    assert seen(shown.state()) == seen(terminal(CORPUS["less"]).state())


def test_no_question_is_asked_again() -> None:
    ring = RingScreen()
    ring.feed(b"a\x1b[cb\x1b[6nc\x1b]11;?\x07d")
    joining = terminal()
    joining.answer(True)
    joining.feed(ring.snapshot().whole)
    assert joining.answers() == b""


def test_an_unfinished_sequence_is_kept_apart() -> None:
    ring = RingScreen()
    ring.feed(b"text\x1b]2;tit")
    snapshot = ring.snapshot()
    assert (snapshot.data, snapshot.reports, snapshot.pending) == (b"text", b"", b"\x1b]2;tit")


def test_it_is_bounded_and_begins_with_a_whole_line() -> None:
    ring = RingScreen()
    for n in range(100_000):
        ring.feed(b"line %07d of the output and so on\r\n" % n)
    snapshot = ring.snapshot()
    assert RING_BYTES - 100 < len(snapshot.data) <= RING_BYTES
    assert snapshot.data.startswith(b"line ")
    assert snapshot.data.endswith(b"line 0099999 of the output and so on\r\n")


def test_one_large_piece_is_cut_like_many_small_ones() -> None:
    ring = RingScreen()
    ring.feed(b"x" * 99 + b"\n" + b"y" * (3 * RING_BYTES))
    assert len(ring.snapshot().data) <= RING_BYTES


def test_a_redraw_clears_the_screen_first() -> None:
    ring = RingScreen()
    ring.feed(b"new")
    shown = terminal(b"old\x1b]2;unfinished")
    shown.feed(ring.snapshot(redraw=True).whole)
    assert shown.state().primary.rows[0].cells == b"new"


def test_it_answers_nothing() -> None:
    ring = RingScreen()
    ring.answer(True)
    ring.feed(b"\x1b[c")
    assert ring.answers() == b""
    ring.close()
    ring.close()


@pytest.mark.parametrize("later", [0, 10, RING_BYTES - 6, RING_BYTES, 3 * RING_BYTES])
def test_a_capture_is_of_its_moment_whatever_comes_before_it_is_drawn(later: int) -> None:
    """As far as it is still kept: nothing of what came later is drawn."""
    screen = RingScreen()
    screen.feed(b"before")
    capture = screen.capture()
    screen.feed(b"x" * later)
    assert capture.draw().whole == (b"before" if later + 6 <= RING_BYTES else b"")
