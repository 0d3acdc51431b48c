"""What a remote switched on is undone, exactly, at any split; checked against another emulator."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import ANSWER_DUE_BYTES
from cmdop.terminal.modes import ModeTracker

ALT = b"\x1b[?1049h"


def undone(*written: bytes) -> bytes:
    """What undoes these writes."""
    tracker = ModeTracker()
    for piece in written:
        tracker.feed(piece)
    return tracker.undo()


SWITCHED = [
    # what the remote wrote, and what undoes it
    (b"\x1b[?47h", b"\x1b[?47l"),
    (b"\x1b[?1047h", b"\x1b[?1047l"),
    (b"\x1b[?1049h", b"\x1b[?1049l"),
    (b"\x1b[?25l", b"\x1b[?25h"),
    (b"\x1b[?7l", b"\x1b[?7h"),
    (b"\x1b[?8l", b"\x1b[?8h"),
    (b"\x1b[5 q", b"\x1b[0 q"),
    *((b"\x1b[?%dh" % mode, b"\x1b[?%dl" % mode) for mode in (9, 1000, 1001, 1002, 1003, 1005, 1006, 1015, 1016)),
    *((b"\x1b[?%dh" % mode, b"\x1b[?%dl" % mode) for mode in (1, 5, 12, 1004, 2004, 2026, 2031, 2048, 9001)),
    (b"\x1b[?6h", b"\x1b[?6l\x1b[9999;1H"),
    (b"\x1b[?69h", b"\x1b7\x1b[?69l\x1b8"),
    (b"\x1b=", b"\x1b>"),
    (b"\x1b[?66h", b"\x1b>"),
    (b"\x1b[4h", b"\x1b[4l"),
    (b"\x1b[2h", b"\x1b[2l"),
    (b"\x1b[20h", b"\x1b[20l"),
    (b"\x1b[>1u", b"\x1b[<1u"),
    (b"\x1b[>u", b"\x1b[<1u"),
    (b"\x1b[>1u\x1b[>3u", b"\x1b[<2u"),
    (b"\x1b[=5;1u", b"\x1b[=0u"),
    (b"\x1b[=5u", b"\x1b[=0u"),
    (b"\x1b[>1u\x1b[=5u", b"\x1b[<1u"),
    (b"\x1b[>4;2m", b"\x1b[>4m"),
    (b"\x1b[>1;0m\x1b[>4;1m", b"\x1b[>1m\x1b[>4m"),
    (b"\x1b[>4n", b"\x1b[>4m"),
    (b"\x1b[3;20r", b"\x1b7\x1b[r\x1b8"),
    (b"\x1b[;20r", b"\x1b7\x1b[r\x1b8"),
    (b"\x1b(0", b"\x1b(B"),
    (b"\x1b)0\x1b*A\x1b+<", b"\x1b)B\x1b*B\x1b+B"),
    (b"\x1b-A", b"\x1b)B"),
    (b"\x0e", b"\x0f"),
    (b"text \x0e text", b"\x0f"),
    (b"\x1bn", b"\x0f"),
    (b"\x1b[31m", b"\x1b[0m"),
    (b"\x1b[38;5;0m", b"\x1b[0m"),
    (b"\x1b[0m\x1b[1m", b"\x1b[0m"),
    (b"\x1b[4:3m", b"\x1b[0m"),
    (b"\x1b]8;;https://example.org\x07", b"\x1b]8;;\x1b\\"),
    (b"\x1b]8;id=1;https://example.org\x1b\\", b"\x1b]8;;\x1b\\"),
    (b"\x1b]12;red\x07", b"\x1b]112\x1b\\"),
    (b"\x1b]10;red;blue\x07", b"\x1b]110\x1b\\\x1b]111\x1b\\"),
    (b"\x1b]4;3;red;200;blue\x1b\\", b"\x1b]104;3;200\x1b\\"),
    (b"\x1b]9;4;1;50\x07", b"\x1b]9;4;0\x1b\\"),
    (b"\x1b[22;0t", b"\x1b[23;0t"),
    (b"\x1b G", b"\x1b F"),
    (b"\x1b%@", b"\x1b%G"),
    # several at once
    (b"\x1b[?1000;1006;2004h", b"\x1b[?1000l\x1b[?1006l\x1b[?2004l"),
    # order: show what was drawn, leave the alternate screen, then what came back with the cursor
    (b"\x1b[?1049h\x1b[?25l\x1b[?2026h\x1b[33m", b"\x1b[?2026l\x1b[?1049l\x1b[?25h"),
    (b"\x1b[33m\x1b[?1049h\x1b[0m", b"\x1b[?1049l\x1b[0m"),
    (b"\x1b[33m\x1b[?47h\x1b[0m", b"\x1b[?47l"),
    (b"\x1b[?1049h\x1b[2;9r", b"\x1b[r\x1b[?1049l\x1b7\x1b[r\x1b8"),
    # each screen has keys of its own
    (b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>3u", b"\x1b[<2u\x1b[?1049l\x1b[<1u"),
    (b"\x1b[?1049h\x1b[>3u\x1b[?1049l", b"\x1b[?47h\x1b[<1u\x1b[?47l"),
    # saved and restored
    (b"\x1b[?2004h\x1b[?2004s\x1b[?2004l\x1b[?2004r", b"\x1b[?2004l"),
    (b"\x1b[?25s\x1b[?25l", b"\x1b[?25h"),
    (b"\x1b[31m\x1b7\x1b[0m\x1b8", b"\x1b[0m"),
    (b"\x1b[31m\x1b[s\x1b[0m\x1b[u", b"\x1b[0m"),
    (b"\x1b(0\x1b7\x1b(B\x1b8", b"\x1b(B"),
    # resets that leave something on
    (b"\x1b[?2004h\x1b[?25l\x1b[!p", b"\x1b[?2004l\x1b[?25h"),
    (b"\x1b]11;red\x07\x1bc", b"\x1b]111\x1b\\"),
    # controls inside a sequence are carried out, and the sequence goes on
    (b"\x1b[?20\r\n04h", b"\x1b[?2004l"),
    (b"\x1b[?2004\xc3\xa9h", b"\x1b[?2004l"),
    # unfinished
    (b"\x1b", b"\x18"),
    (b"\x1b[", b"\x18"),
    (b"\x1b[?104", b"\x18"),
    (b"\x1b(", b"\x18"),
    (b"\x1b]0;a title", b"\x18\x1b\\"),
    (b"\x1bPq#0", b"\x18\x1b\\"),
    (b"\x1b_Ga=T;AAAA", b"\x18\x1b\\"),
    (b"\x1b[?2004h\x1b]0;t\x1b", b"\x18\x1b[?2004l"),
]

LEFT_NOTHING = [
    b"",
    b"plain text\r\n",
    b"\x1b[31mred\x1b[0m",
    b"\x1b[31mred\x1b[m",
    b"\x1b[1;31mred\x1b[00;0m",
    b"\x1b[?1049h\x1b[?1049l",
    b"\x1b[?1049h\x1b[?47l",
    b"\x1b[?1049h\x1b[1;33mx\x1b[?1049l",
    b"\x1b[?25l\x1b[?25h",
    b"\x1b[5 q\x1b[ q",
    b"\x1b[5 q\x1b[0 q",
    b"\x1b[?2004h\x1b[?2004l",
    b"\x1b[?1000h\x1b[?1006h\x1b[?1006;1000l",
    b"\x1b=\x1b>",
    b"\x1b=\x1b[?66l",
    b"\x1b[>1u\x1b[<u",
    b"\x1b[>1u\x1b[>1u\x1b[<5u",
    b"\x1b[=5u\x1b[=0u",
    b"\x1b[=5u\x1b[=5;3u",
    b"\x1b[=5u\x1b[<u",
    b"\x1b[>4;2m\x1b[>4m",
    b"\x1b[>4;2m\x1b[>m",
    b"\x1b[3;9r\x1b[r",
    b"\x1b(0lqk\x1b(B",
    b"\x0elqk\x0f",
    b"\x1b]8;;x:y\x07z\x1b]8;;\x07",
    b"\x1b]12;red\x07\x1b]112\x07",
    b"\x1b]4;1;red\x07\x1b]104\x07",
    b"\x1b]4;1;red\x07\x1b]104;1\x07",
    b"\x1b]9;4;3\x07\x1b]9;4;0\x07",
    b"\x1b]9;a notice\x07",
    b"\x1b]0;title\x07",
    b"\x1b[22;0t\x1b[23;0t",
    b"\x1b[?6h\x1b[?69h\x1b[2;5r\x1b[4h\x1b=\x1b[?1h\x1b[31m\x1b(0\x0e\x1bc",
    b"\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[>1u\x1b[>4;2m\x1b[5 q\x1b[31m\x1bc",
    b"\x1b[?1049;2004h\x1bc",
    b"\x1b[?9999h\x1b[?0h\x1b[?h\x1b[99h",
    b"\x1b[?1;2c\x1b[c\x1b[6n",
    b"\x1b[1;2;3;4;5;6;7;8;9H\x1b[2J\x1b[K\x1b[10;10H\x1bM\x1bD\x1b7\x1b8",
    b"\x1bP$qm\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\",
    b"\x1b]0;t\x18",
    b"\x1b[?2004\x18h",
    b"\x1b]\x1b]\x07",
    "Zeichen wie Û und \x9b in UTF-8".encode(),
]


@pytest.mark.parametrize(("written", "undo"), SWITCHED)
def test_what_is_on_is_undone_by_exactly_these_bytes(written: bytes, undo: bytes) -> None:
    assert undone(b"text " + written) == undo
    assert undone(*(written[at : at + 1] for at in range(len(written)))) == undo


@pytest.mark.parametrize("written", LEFT_NOTHING)
def test_what_is_off_again_is_not_undone(written: bytes) -> None:
    assert undone(written) == b""
    assert undone(*(written[at : at + 1] for at in range(len(written)))) == b""


def test_a_title_is_saved_at_the_beginning_and_restored_at_the_end() -> None:
    tracker = ModeTracker()
    assert tracker.opening() == b"\x1b[22;0t"
    tracker.feed(b"\x1b]2;title\x07")
    assert tracker.undo() == b"\x1b[23;0t"
    tracker.feed(b"\x1b[22;2t")  # a vim that was cut off
    assert tracker.undo() == b"\x1b[23;0t\x1b[23;0t"
    tracker.feed(b"\x1b[23;2t\x1b[23;2t\x1b[23;2t")
    assert tracker.undo() == b""


@pytest.mark.parametrize(
    "question",
    [
        *(b"\x1b[c", b"\x1b[>c", b"\x1b[6n", b"\x1b[?u", b"\x1b[>q", b"\x1b[?2026$p", b"\x1b[18t"),
        *(b"\x1b]11;?\x07", b"\x1b]4;1;?\x07", b"\x1b]52;c;?\x07", b"\x1bP+q544e\x1b\\", b"\x1bP$qm\x1b\\"),
    ],
)
def test_an_answer_is_due_after_a_question_for_as_long_as_a_terminal_may_not_have_seen_it(question: bytes) -> None:
    tracker = ModeTracker()
    assert not tracker.answers_due
    tracker.feed(question)
    assert tracker.answers_due
    assert tracker.undo() == b""
    tracker.feed(b"x" * (ANSWER_DUE_BYTES + 1))
    assert not tracker.answers_due


def test_colours_and_movements_are_no_questions() -> None:
    tracker = ModeTracker()
    tracker.feed(b"\x1b[31m\x1b[2J\x1b[5;5H\x1b]11;red\x07\x1b[?25l\x1b[3t\x1b]0;what?\x07")
    assert not tracker.answers_due


@pytest.mark.parametrize("endless", [b"\x1b]0;", b"\x1bP", b"\x1b[", b"\x1b[?", b"\x1b(", b"\x1b ", b"\x1b]4;1;red;"])
def test_memory_stays_bounded_however_long_a_sequence_is(endless: bytes) -> None:
    tracker = ModeTracker()
    tracker.feed(endless)
    for _ in range(200):
        tracker.feed((b"1;" if b"[" in endless or b"]" in endless else endless[-1:]) * 4096)
    kept = len(tracker._tail) + len(tracker._string or b"")
    assert kept <= 2048
    assert tracker.undo().startswith(b"\x18")
    tracker.feed(b"\x18\x1b[?2004h")
    assert b"\x1b[?2004l" in tracker.undo()


def test_an_endless_sequence_comes_to_nothing() -> None:
    assert undone(b"\x1b[?", b"0" * 5000, b"2004h") == b""
    assert undone(b"\x1b[?" + b"0" * 5000 + b"2004h") == b""


def test_a_palette_that_is_too_long_to_be_kept_is_reset_as_a_whole() -> None:
    palette = b"\x1b]4" + b"".join(b";%d;rgb:00/00/00" % number for number in range(256)) + b"\x1b\\"
    assert undone(palette) == b"\x1b]104\x1b\\"


# -- any bytes, any split ------------------------------------------------------------------------

PIECES = [
    *(written for written, _ in SWITCHED),
    *LEFT_NOTHING,
    b"text",
    b"\r\n",
    b"\x1b\\",
    b"\x07",
    b"\x18",
]
WRITTEN = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(min_value=0), max_size=8)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@given(WRITTEN, CUTS)
def test_any_split_comes_to_the_same(written: bytes, cuts: list[int]) -> None:
    assert undone(*split_at(written, cuts)) == undone(written)


@given(WRITTEN)
def test_once_undone_there_is_nothing_to_undo(written: bytes) -> None:
    tracker = ModeTracker()
    tracker.feed(written)
    tracker.feed(tracker.undo())
    assert tracker.undo() == b""


# -- another emulator as the judge ------------------------------------------------------------------

# Without 47, 1047 and 1049: of those it keeps a bit each, besides the screen that is shown.
GHOSTTY_MODES = (1, 5, 6, 7, 9, 12, 25, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048)
QUESTIONS = (b"\x1b[?u", b"\x1bP$qr\x1b\\", b"\x1bP$q q\x1b\\", b"\x1bP$qm\x1b\\")


def ghostty_state(terminal: Any) -> dict[str, object]:
    """Everything that this emulator tells about itself, on both screens."""
    answers: list[bytes] = []
    ground = terminal.get("vt_ground", "bool")
    terminal.on_reply(lambda answer: answers.append(bytes(answer)))
    terminal.feed(b"".join(QUESTIONS))
    screen = terminal.get("active_screen", "GhosttyTerminalScreen")
    modes = {f"?{mode}": terminal.mode(mode) for mode in GHOSTTY_MODES}
    modes |= {f"{mode}": terminal.mode(mode, ansi=True) for mode in (2, 4, 20)}
    terminal.feed(b"\r\nlqk\r\n\x1b[?47h\x1b[?u\x1b[?47l")
    return {**modes, "ground": ground, "screen": screen, "answers": b"".join(answers), "text": "lqk" in terminal.text()}


PROGRAMS = [piece for piece in PIECES if b"\x1b[20h" not in piece and b"\x1b%@" not in piece]


@given(st.lists(st.sampled_from(PROGRAMS), max_size=10).map(b"".join))
def test_another_emulator_is_as_new_after_the_undo(written: bytes) -> None:
    pyghostty = pytest.importorskip("pyghostty")
    tracker = ModeTracker()
    with pyghostty.Terminal(80, 24) as fresh, pyghostty.Terminal(80, 24) as used:
        tracker.feed(written)
        used.feed(written)
        used.feed(tracker.undo())
        assert ghostty_state(used) == ghostty_state(fresh)


@given(st.lists(st.sampled_from([piece for piece in PROGRAMS if b"\x1b[?6h" not in piece]), max_size=6).map(b"".join))
def test_undoing_leaves_the_cursor_where_it_is(written: bytes) -> None:
    pyghostty = pytest.importorskip("pyghostty")
    tracker = ModeTracker()
    with pyghostty.Terminal(80, 24) as terminal:
        for piece in (b"one\r\ntwo\r\nthree", written, b"\x18\x1b\\\x1b[?1049;1047;47lhere\r\n"):
            tracker.feed(piece)
            terminal.feed(piece)
        before = terminal.cursor
        terminal.feed(tracker.undo())
        assert terminal.cursor == before


# -- speed ---------------------------------------------------------------------------------------------


def speed(data: bytes) -> float:
    """Bytes per second of this thread's time, the best of some rounds."""
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]

    def once() -> float:
        tracker = ModeTracker()
        start = time.thread_time()
        for piece in pieces:
            tracker.feed(piece)
        return len(data) / max(time.thread_time() - start, 1e-9)

    return max(once() for _ in range(3))


def test_a_flood_of_text_costs_next_to_nothing() -> None:
    text = b"the quick brown fox jumps over the lazy dog\r\n" * 100_000
    assert speed(text) > 400e6


def test_a_flood_of_colours_costs_little() -> None:
    colours = b"".join(b"\x1b[0m\x1b[01;34mdir%d\x1b[0m  \x1b[01;32mexe%d\x1b[0m\r\n" % (n, n) for n in range(30_000))
    assert speed(colours) > 20e6  # 60 and more on a quiet machine
