"""Emulators that know nothing of our reading of the library's state: its own formatter, and pyte."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyte
import pytest

from tests.screen.oracle import CORPUS, SIZE, terminal

pyghostty = pytest.importorskip("pyghostty")

IN_PYTE = ("fish", "fzf", "git_log", "htop", "less", "links", "shell", "zsh")
"""The others have what pyte does not know: REP, margins, DECSCA, line drawing beside UTF-8, the
background of lines that scroll in, colons and marks in SGR, wide characters at a row's end."""
SAMPLES = 6


def places(name: str) -> Iterator[int]:
    length = len(CORPUS[name])
    yield from sorted(random.Random(name).sample(range(length + 1), SAMPLES))
    yield length


def formatted(output: bytes) -> tuple[bytes, str, tuple[int, int]]:
    """A terminal of the library's own binding: VT with everything, text with scrollback, cursor."""
    with pyghostty.Terminal(cols=SIZE.cols, rows=SIZE.rows) as screen:
        pyghostty.lib.ghostty_terminal_set(
            screen._t[0],
            pyghostty.lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_BYTES,
            pyghostty.ffi.new("size_t*", 1 << 23),
        )
        screen.feed(output)
        options = pyghostty.core.init_sized("GhosttyFormatterTerminalOptions")
        options.emit = pyghostty.lib.GHOSTTY_FORMATTER_FORMAT_VT
        options.unwrap = True
        for extra in (options.extra, options.extra.screen):
            for field, _ in pyghostty.ffi.typeof(extra).fields:
                if field not in ("size", "screen"):
                    setattr(extra, field, True)
        formatter = pyghostty.ffi.new("GhosttyFormatter*")
        pyghostty.lib.ghostty_formatter_terminal_new(pyghostty.ffi.NULL, formatter, screen._t[0], options[0])
        text = pyghostty.core.read_buf(
            lambda buffer, size, length: pyghostty.lib.ghostty_formatter_format_buf(formatter[0], buffer, size, length)
        )
        pyghostty.lib.ghostty_formatter_free(formatter[0])
        return text.replace("\x1b[?2026h", ""), screen.contents(), screen.cursor


@pytest.mark.parametrize("name", CORPUS)
def test_the_librarys_own_formatter_sees_no_difference(name: str) -> None:
    for place in places(name):
        output = CORPUS[name][:place]
        joining = terminal(output).snapshot().whole
        assert formatted(joining) == formatted(output), place


@pytest.mark.parametrize("name", IN_PYTE)
def test_pyte_shows_the_same_screen(name: str) -> None:
    """Text, colours and cursor. It knows no alternate screen: it shows what was written last."""
    for place in places(name):
        direct, joining = (pyte.HistoryScreen(SIZE.cols, SIZE.rows, history=2000) for _ in range(2))
        output = CORPUS[name][:place]
        model = terminal(output)
        pyte.ByteStream(direct).feed(output)
        pyte.ByteStream(joining).feed(model.snapshot().data)
        assert joining.display == direct.display, place
        assert _colours(joining) == _colours(direct), place
        if not model.state().primary.pending_wrap:
            assert (joining.cursor.y, joining.cursor.x) == (direct.cursor.y, direct.cursor.x)
        model.close()


def _colours(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """Of the text its own and its background's; of blanks the background's."""
    cells = [[screen.buffer[row][col] for col in range(SIZE.cols)] for row in range(SIZE.rows)]
    return [[(c.bg, *((c.fg, c.bold, c.reverse) if c.data.strip() else ())) for c in row] for row in cells]
