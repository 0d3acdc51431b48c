"""The oracle of two terminals: one is fed directly, the other with a snapshot and the rest."""

from __future__ import annotations

import random

import pytest

from cmdop.screen.cells import cell_at
from cmdop.screen.filtered import without_questions
from cmdop.screen.ghostty import GhosttyScreen
from cmdop.winsize import Winsize
from tests.screen.oracle import CORPUS, SIZE, library, seen, terminal

SHORT_BYTES = 300
SAMPLES = 25
EVERYWHERE = [name for name, output in CORPUS.items() if len(output) <= SHORT_BYTES]
"""Recordings that are cut at every byte; the others at random ones."""

each_recording = pytest.mark.parametrize("name", CORPUS)


def places(name: str) -> list[int]:
    """Where to cut a recording."""
    length = len(CORPUS[name])
    return (
        list(range(length + 1))
        if name in EVERYWHERE
        else sorted(random.Random(name).sample(range(length + 1), SAMPLES))
    )


def test_some_recordings_are_cut_at_every_byte() -> None:
    assert {"lines", "links", "modes", "protected"} <= set(EVERYWHERE)


@each_recording
def test_a_terminal_that_joins_anywhere_is_the_same_then_and_at_the_end(name: str) -> None:
    output, model, fed = CORPUS[name], terminal(), 0
    end = seen(terminal(output).state())
    for place in places(name):
        model.feed(output[fed:place])
        fed = place
        joining = terminal(model.snapshot().whole)
        assert seen(joining.state()) == seen(model.state()), place
        joining.feed(output[place:])
        assert seen(joining.state()) == end, place
        joining.close()


@each_recording
def test_a_redraw_is_exact_over_whatever_was_shown_before(name: str) -> None:
    output, chance = CORPUS[name], random.Random(name)
    for place in chance.sample(range(len(output) + 1), 12):
        model, behind = terminal(output[:place]), terminal(output[: chance.randrange(place + 1)])
        behind.feed(model.snapshot(redraw=True).whole)
        assert _on_the_screen(behind) == _on_the_screen(model), place


def _on_the_screen(screen: GhosttyScreen) -> dict[str, object]:
    """Without what a redraw leaves alone: colours and strings, and which rows are a prompt's."""
    shown = seen(screen.state(), history=False)
    for each in (shown["primary"], shown["alternate"] or {}):
        each["rows"] = [row[1:] if len(row) > 1 else row for row in each.get("rows", [])]
    return {name: value for name, value in shown.items() if name not in ("colours", "title", "folder")}


LARGER = Winsize(SIZE.rows + 7, SIZE.cols + 21)


@each_recording
def test_a_larger_terminal_shows_the_screen_in_its_upper_left_corner(name: str) -> None:
    output, chance = CORPUS[name], random.Random(name)
    for place in chance.sample(range(len(output) + 1), 12):
        model, larger = terminal(output[:place]), terminal(output[: chance.randrange(place + 1)], LARGER)
        larger.feed(model.snapshot(history=False, redraw=True, fits=False).whole)
        assert _lines(larger)[: SIZE.rows] == _lines(model), place
        assert _lines(larger)[SIZE.rows :] == [""] * (LARGER.rows - SIZE.rows), place
        assert _place(larger) == _place(model), place


def test_lines_that_wrapped_do_not_grow_together_on_a_wider_terminal() -> None:
    model = terminal(b"x" * 200 + b"\r\n$ ")
    larger = terminal(size=LARGER)
    larger.feed(model.snapshot(history=False, redraw=True, fits=False).whole)
    assert [len(line) for line in _lines(larger)][:5] == [80, 80, 40, 1, 0]
    assert _place(larger) == (3, 2)


def test_a_smaller_terminal_shows_where_the_cursor_is_and_cuts_lines_at_its_edge() -> None:
    beginning, full = terminal(b"x" * 100 + b"\r\n$ "), terminal(b"\r\n".join(b"%d" % n for n in range(100)))
    for model, lines, place in ((beginning, [20, 20, 1, 0], (2, 2)), (full, [2] * 10, (9, 2))):
        smaller = terminal(size=Winsize(10, 20))
        smaller.feed(model.snapshot(history=False, redraw=True, fits=False).whole)
        assert [len(line) for line in _lines(smaller)][: len(lines)] == lines
        assert _place(smaller) == place


def _lines(screen: GhosttyScreen) -> list[str]:
    """The text that is shown, without blanks at the ends of lines."""
    rows = screen.state().active.rows
    return ["".join(cell_at(row, col).text or " " for col in range(row.used)).rstrip() for row in rows]


def _place(screen: GhosttyScreen) -> tuple[int, int]:
    """Of the cursor; behind the last character of a full row, where a wider one has it."""
    active = screen.state().active
    return active.row, active.col + active.pending_wrap


@each_recording
def test_without_history_only_the_screen_is_drawn(name: str) -> None:
    model = terminal(CORPUS[name])
    joining = terminal(model.snapshot(history=False).whole)
    assert seen(joining.state(), history=False) == seen(model.state(), history=False)
    assert not joining.state().primary.history


@each_recording
def test_what_was_on_the_terminal_before_goes_up_into_its_scrollback(name: str) -> None:
    joining = terminal(b"before\r\n\r\n$ connect\r\nattached\r\n")
    model = terminal(CORPUS[name])
    joining.feed(model.snapshot().whole)
    expected, found = seen(model.state()), seen(joining.state())
    history = found["primary"].pop("history")
    own = expected["primary"].pop("history")
    assert found == expected
    assert history[:4] == [("before",), ("",), ("$ connect",), ("attached",)]
    assert history[4:] == own


@each_recording
def test_no_terminal_answers_anything_in_a_snapshot(name: str) -> None:
    for place in random.Random(name).sample(range(len(CORPUS[name]) + 1), 10):
        model = terminal(CORPUS[name][:place])
        for redraw in (False, True):
            snapshot = model.snapshot(redraw=redraw)
            joining = GhosttyScreen(SIZE, library())
            joining.answer(True)
            joining.feed(snapshot.data)
            assert joining.answers() == b""
            assert without_questions(snapshot.data, from_start=True) == snapshot.data


def test_modes_that_report_at_once_are_apart() -> None:
    snapshot = terminal(b"\x1b[?1004;2031;2048h").snapshot()
    assert snapshot.reports == b"\x1b[?1004h\x1b[?2031h\x1b[?2048h"
    assert b"h" not in snapshot.data


@pytest.mark.parametrize(
    "output",
    [
        b"x" * 80,  # a pending wrap
        b"\x1b[4h\x1b[?7labc\x1b[3D",  # insert mode, without autowrap
        b"\x1b[3;10r\x1b[?6h\x1b[2;5Hin origin mode",
        b"\x1b[?69h\x1b[10;20s\x1b[5;10Habcdefghijk",  # pending at a margin
        b"\x1b[5;80Hx\x1b7\x1b[H\x1b[31mhome",  # a saved pending wrap
        b"\x1b[?6h\x1b7\x1b[?6l\x1b[3;3H",
        b"\x1b(0\x1b7\x1b(B",
        b"\x1b[?47hother\x1b[?47l\x1b[?1047hother",
        b"\x1b[?1049h\x1b[>1u\x1b[>3u\x1b[<u",
        b"\x1b[>1u\x1b[>2u\x1b[=5;1u" * 3,  # more than a stack holds
        b"\x1b[?1000h\x1b[?1003h\x1b[?1000l",  # noted, but not in force
        b"\x1b[?1003h\x1b[?1000h\x1b[?1006h\x1b[?1015h",
        b"\x1b[44m\x1b[2J\x1b[m\x1b[5;5Hon blue",
        b"\x1b[44mleft\x1b[m\x1b[1;30H\x1b[42m\x1b[K\x1b[m",  # blanks between two colours
        b"\x1b[44mleft\x1b[m\x1b[1;30H\x1b[42mright\x1b[m\x1b[1;10H\x1b[43m\x1b[3X\x1b[m",
        b"\x1b[42m" + b"wrapped with a background " * 9 + b"\x1b[m",
        "\x1b[7m漢字\x1b[K\x1b[m\r\nx".encode() + "漢".encode() * 60,
        b"\x1b]133;A\x07$ \x1b]133;B\x07ls \\\r\n\x1b]133;P;k=s\x07> \x1b]133;B\x07x\r\n\x1b]133;C\x07\x1b]133;A\x07",
        b"\x1b]133;A;redraw=last\x07$ \x1b]133;I\x07typed",
        b"\x1b]133;A\x07$ \x1b]133;B\x07vim\x1b[?1049h\x1b[5;5Hin it",  # by one that never says C
        b"\x1b]133;A\x07$ \x1b]133;I\x07vim\x1b[?1047h\x1b]133;C\x07in it",
        b"$ \r\nx\x1b7\r\n\x1b]133;P;k=s\x07> \x1b[?47h\x1b]133;B\x07in it",
        b"\x1b[?6h\x1b[31m\x1b[7;80Hx\x1b7\x1b[?6l\x1b[m\x1b[3;3H\x1b]133;P\x07> \x1b[?47h\x1b]133;C\x07x",
        b"\x1b[3g\x1b[7G\x1bH\x1b[H",
        b'\x1b[1"qkept\x1b[0"q \x1bViso\x1bW',
        b"\x1b]4;5;#123456;7;#abcdef\x07\x1b]10;#111111\x07\x1b]12;#222222\x07",
        b"\x1b[?5h\x1b[?45h\x1b[20h\x1b[2h\x1b[12l\x1b[?8l\x1b[?1007l\x1b[?67h",
        b"\x1b[6 q\x1b[?25l",
        b"\x1b[6 q$ vim\x1b[?1049h\x1b[2 qin it",
        b"\x1bNq",
        b"\x1bO",
        b"\x1b*0\x1bnqqq",
        b"a" + "\u0301\u0302".encode() + "👩\u200d💻x".encode(),
        b"tab\tstop\x1b[10Cgap\x1b[44m\x1b[4X\x1b[m\r\n\x1b[K",
    ],
)
def test_every_kind_of_state_is_restored(output: bytes) -> None:
    model = terminal(output)
    after = b"Z\x1b[2b\x1b8Y\t\r\nX"
    joining = terminal(model.snapshot().whole)
    assert seen(joining.state()) == seen(model.state())
    for each in (model, joining):
        each.feed(after)
    assert seen(joining.state()) == seen(model.state())
    for each in (model, joining):  # back to the primary screen, which may have been under an alternate one
        each.feed(b"\x1b[?1049l\x1b[?1047l\x1b[?47lZ\r\nY")
    assert seen(joining.state())["primary"]["rows"] == seen(model.state())["primary"]["rows"]
    assert seen(joining.state())["shape"] == seen(model.state())["shape"]


def test_a_large_scrollback_is_cut_at_its_oldest_line() -> None:
    model = terminal(b"".join(b"%07d \x1b[3%dmcolour\x1b[m %s\r\n" % (n, n % 8, b"x" * 60) for n in range(30_000)))
    snapshot = model.snapshot()
    assert 900_000 < len(snapshot.data) < 1_100_000 or len(model.state().primary.history) < 14_000
    whole, cut = model.state().primary.history, terminal(snapshot.whole).state().primary.history
    assert [row.cells for row in cut] == [row.cells for row in whole[-len(cut) :]]


@pytest.mark.parametrize("size", [Winsize(1, 1), Winsize(1, 80), Winsize(2, 2), Winsize(24, 1), Winsize(1000, 1000)])
def test_any_size_can_be_drawn(size: Winsize) -> None:
    model = terminal(CORPUS["git_log"], size)
    joining = terminal(model.snapshot().whole, size)
    assert seen(joining.state()) == seen(model.state())
