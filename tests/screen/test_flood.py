"""Output that is left out of a flood leaves no trace."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdop.screen.flood import Piece, is_plain, left_out, piece
from cmdop.winsize import Winsize
from tests.screen.oracle import CORPUS, seen, terminal

BEFORE = {
    "nothing": b"",
    "colours": b"\x1b[1;4;38;5;9;48;2;1;2;3mtext",
    "no wrap": b"\x1b[?7l",
    "insert": b"\x1b[4h",
    "line feed is new line": b"\x1b[20h",
    "origin": b"\x1b[?6h",
    "drawing characters": b"\x1b(0",
    "single shift": b"\x1b*0\x1bN",
    "protected": b'\x1b[1"q',
    "link": b"\x1b]8;;http://example.org\x07",
    "prompt": b"\x1b]133;A\x07$ \x1b]133;B\x07",
    "output": b"\x1b]133;A\x07$ \x1b]133;B\x07make\r\n\x1b]133;C\x07",
    "alternate screen": b"first\x1b[?1049hsecond",
    "pending wrap": b"x" * 80,
    "no tab stops": b"\x1b[3g",
    "saved cursor": b"\x1b[5;5H\x1b7\x1b[H",
    "two equal margins": b"\x1b[1;24r",
    **{name: CORPUS[name] for name in ("shell", "colours", "vim", "modes")},
}
WITHIN = {
    "title": b"\x1b]2;title",
    "escape": b"\x1b",
    "character": b"\xe4\xb8",
    "margins": b"\x1b[2;20r",
    "margins at the side": b"\x1b[?69h\x1b[3;60s",
}
SMALL = Winsize(24, 80)


def pieces(text: bytes, size: int) -> list[Piece]:
    return [piece(text[at : at + size]) for at in range(0, len(text), size)]


class TestWhatIsPlain:
    @pytest.mark.parametrize("data", [b"text\r\n", b"\tmore \r", b"", b"~ !"])
    def test_text_and_line_ends_are(self, data: bytes) -> None:
        assert is_plain(data)

    @pytest.mark.parametrize("byte", [0x00, 0x05, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x18, 0x1B, 0x7F, 0x9B, 0xC3])
    def test_what_could_change_or_ask_anything_is_not(self, byte: int) -> None:
        assert not is_plain(b"text" + bytes([byte]) + b"\r\n")
        assert piece(b"text" + bytes([byte]) + b"\r\n").lines == 0

    def test_lines_without_a_carriage_return_do_not_count(self) -> None:
        assert piece(b"a\nb\n").lines == 0
        assert piece(b"a\nb\r\n").lines == 2


class TestHowMuchIsLeftOut:
    def test_all_but_the_lines_that_fill_the_screen_and_one_piece_before_them(self) -> None:
        assert left_out([piece(b"x\r\n" * 10)] * 8, 20) == 5

    def test_nothing_of_what_is_needed(self) -> None:
        assert left_out([piece(b"x\r\n" * 10)] * 3, 30) == 0
        assert left_out([], 1) == 0

    def test_what_comes_behind_something_else_is_not_looked_at(self) -> None:
        text = [piece(b"x\r\n" * 10)]
        assert left_out([*text * 4, piece(b"\x1b[m\r\n"), *text * 100], 20) == 1
        assert left_out([piece(b"\x1b[m\r\n"), *text * 100], 20) == 0


@pytest.mark.parametrize("name", BEFORE)
def test_the_screen_is_the_same_whatever_state_it_was_in(name: str) -> None:
    text = b"".join(b"%d\tand some text\r\n" % n if n % 7 else b"\r\n%*d\n\r" % (n % 200, n) for n in range(28_000))
    assert_same(BEFORE[name], pieces(text, 10_001))


@settings(max_examples=8, deadline=None)
@given(
    before=st.sampled_from(sorted(BEFORE)),
    lines=st.lists(st.text("ab \t\r\n", max_size=100).map(str.encode), min_size=1, max_size=30),
    size=st.integers(3_000, 30_000),
)
def test_the_screen_is_the_same_whatever_the_text(before: str, lines: list[bytes], size: int) -> None:
    text = b"\r\n".join([*lines, b""])
    assert_same(BEFORE[before], pieces(text * (60_000 // text.count(b"\n")), size))


def assert_same(before: bytes, text: list[Piece]) -> None:
    """That with what is left out all is as without."""
    whole, part = terminal(before, SMALL), terminal(before, SMALL)
    assert part.scrolls_whole
    count = left_out(text, part.lines_max)
    assert count > 0
    for at, each in enumerate(text):
        whole.feed(each.data)
        if at >= count:
            part.feed(each.data)
    for screen in (whole, part):
        screen.feed(b"\x1b[5Bend")
    expected, found = whole.state(), part.state()
    assert seen(found, history=False) == seen(expected, history=False)
    kept = min(len(expected.primary.history), len(found.primary.history))
    assert kept == 0 or kept > 0.8 * len(expected.primary.history)  # of the oldest, whole pages go
    assert [row.cells for row in found.primary.history[-kept:]] == [
        row.cells for row in expected.primary.history[-kept:]
    ]


@pytest.mark.parametrize("name", WITHIN)
def test_a_screen_with_margins_or_within_a_sequence_is_shown_everything(name: str) -> None:
    screen = terminal(WITHIN[name])
    assert not screen.scrolls_whole


def test_there_are_never_more_lines_than_are_said() -> None:
    for size in (Winsize(24, 80), Winsize(3, 20), Winsize(50, 211)):
        screen = terminal(b"x\r\n" * 100_000, size)
        state = screen.state()
        assert len(state.primary.history) + size.rows <= screen.lines_max
