"""The model itself: questions, sizes, strings without an end, and what it cannot encode."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmdop.errors import ModelUnusable
from cmdop.limits import ANSWERS_MAX_BYTES, REPLAY_MAX_BYTES, SEQUENCE_MAX_BYTES
from cmdop.screen.ghostty import GhosttyScreen, open_library
from cmdop.winsize import Winsize
from tests.screen.oracle import SIZE, terminal


def text(screen: GhosttyScreen) -> list[str]:
    """What the rows of the screen say, where they are plain."""
    return [row.cells.decode("latin-1").replace("\0", " ") for row in screen.state().active.rows if row.width == 1]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"ab\x1b[6n", b"\x1b[1;3R"),
        (b"\x1b[?2004$p", b"\x1b[?2004;2$y"),
        (b"\x1b[18t", b"\x1b[8;24;80t"),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x07"),
        (b"\x1b[>q", b"\x1bP>|libghostty\x1b\\"),
        (b"\x1b[?u", b"\x1b[?0u"),
    ],
)
def test_questions_are_answered_once_and_only_when_asked_to(question: bytes, answer: bytes) -> None:
    screen = terminal()
    screen.feed(question)
    assert screen.answers() == b""
    screen = terminal()
    screen.answer(True)
    screen.feed(question)
    assert (screen.answers(), screen.answers()) == (answer, b"")
    screen.answer(False)
    screen.feed(question)
    assert screen.answers() == b""


@pytest.mark.parametrize(
    "question",
    [
        b"\x1b[21t",
        b"\x1b]52;c;?\x07",
        b"\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
        b"\x1b_Ga=q,t=f;L2V0Yy9wYXNzd2Q=\x1b\\",
    ],
)
def test_titles_clipboards_and_files_are_nobodys_business(question: bytes) -> None:
    screen = terminal(b"\x1b]2;rm -rf\x07")
    screen.answer(True)
    screen.feed(question)
    assert screen.answers() == b""


def test_unread_answers_are_bounded() -> None:
    screen = terminal()
    screen.answer(True)
    screen.feed(b"\x1b[c" * 100_000)
    assert 0 < len(screen.answers()) <= ANSWERS_MAX_BYTES


@pytest.mark.parametrize(
    "output", [b"\x1b", b"\x1b[1;3", b"\x1b]2;tit", b"\x1bP$q", b"\xe4\xb8", b"\xf0\x9f\x91", b"\x1b_Gx", b"\x1b("]
)
def test_what_is_unfinished_is_kept_apart(output: bytes) -> None:
    snapshot = terminal(b"text" + output).snapshot()
    assert snapshot.pending == output
    assert snapshot.data == terminal(b"text").snapshot().data


@pytest.mark.parametrize(
    ("begin", "end", "pending"),
    [
        (b"\x1b]52;c;", b"\x07", b"\x1b]7777;"),
        (b"\x1b]1337;File=:", b"\x1b\\", b"\x1b]7777;"),
        (b"\x1bPq", b"\x1b\\", b"\x1b^"),
        (b"\x1b_G", b"\x1b\\", b"\x1b^"),
    ],
)
def test_a_string_that_is_too_long_is_left_out(begin: bytes, end: bytes, pending: bytes) -> None:
    screen = terminal(b"before " + begin)
    for _ in range(SEQUENCE_MAX_BYTES // 50_000 + 3):
        screen.feed(b"A" * 50_000)
    assert screen.snapshot().pending == pending
    joining = terminal(screen.snapshot().whole)
    for each in (screen, joining):
        each.feed(b"AAAA" + end + b"after")
        assert text(each)[0] == "before after"
        assert each.snapshot().pending == b""


def test_a_string_that_never_ends_takes_no_more_memory_than_its_limit() -> None:
    screen = terminal(b"\x1b]0;")
    for _ in range(200):
        screen.feed(b"x" * 65536)
        assert len(screen.snapshot().pending) <= SEQUENCE_MAX_BYTES


def test_del_is_passed_over_as_terminals_do() -> None:
    assert text(terminal(b"a\x7fb"))[0] == "ab"


def test_a_program_cannot_make_the_screen_wider_than_its_pty() -> None:
    screen = terminal(b"\x1b[?40h\x1b[?3h" + b"x" * 100)
    assert screen.state().size == SIZE


def test_lines_are_folded_anew_when_the_width_changes() -> None:
    screen = terminal(b"\x1b[?7l")
    screen.feed(b"\x1b[?7h" + b"x" * 100 + b"\x1b[?7l")
    screen.resize(Winsize(24, 120))
    assert text(screen)[0] == "x" * 100


@pytest.mark.parametrize("switch", [b"\x1b[?1049h", b"\x1b[?7l"])
def test_half_a_wide_character_is_no_obstacle(switch: bytes) -> None:
    screen = terminal(switch + "漢字".encode() * 20 + b"\r\nnext \x1b]2;un", Winsize(24, 80))
    screen.resize(Winsize(24, 39))
    assert "next" in " ".join(text(screen))
    screen.feed(b"finished\x07")
    assert screen.state().title == b"unfinished"


def test_half_a_wide_character_on_the_hidden_screen_is_no_obstacle() -> None:
    screen = terminal(b"\x1b[?1049h" + "漢字".encode() * 20 + b"\x1b[?1049l$ ", Winsize(24, 80))
    screen.resize(Winsize(24, 39))
    state = screen.state()
    assert (state.alternate, state.primary.row, state.primary.col) == (None, 0, 2)
    assert text(screen)[0] == "$ "


def test_pictures_are_dropped_and_leave_the_text() -> None:
    screen = terminal(b"a\x1b_Ga=T,f=24,s=1,v=1;AAAA\x1b\\b\x1bPq#0;2;0;0;0~~\x1b\\c\x1b]1337;File=inline=1:AAAA\x07d")
    assert text(screen)[0] == "abcd"


def test_the_scrollback_and_its_snapshot_are_bounded() -> None:
    screen = terminal()
    for _ in range(40):
        screen.feed(b"".join(b"%06d and some text in the line\r\n" % n for n in range(5000)))
    state = screen.state()
    assert 5_000 < len(state.primary.history) < 20_000
    assert len(screen.snapshot().data) < 1.1 * REPLAY_MAX_BYTES


def test_every_size_is_taken() -> None:
    screen = terminal("漢字 text\r\n".encode() * 50)
    for size in (Winsize(1, 1), Winsize(1000, 1000), Winsize(10_000, 10_000), Winsize(0, 0), Winsize(2, 500), SIZE):
        screen.resize(size)
        screen.feed("漢字 text\r\n\x1b[999;999H\x1b[999L\x1b[999@\x1b[999S".encode())
        screen.snapshot()
    assert screen.state().size == SIZE


def test_a_closed_model_is_quiet() -> None:
    screen = terminal(b"text")
    screen.close()
    screen.close()
    screen.feed(b"more")
    screen.resize(SIZE)
    screen.answer(True)
    assert screen.answers() == b""


def test_a_file_that_is_no_such_library_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "libghostty-vt.so"
    other.write_bytes(b"no library")
    with pytest.raises(ModelUnusable):
        open_library(str(other))
