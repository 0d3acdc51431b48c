"""The cursor: the one that was saved, and the one in force with its pen.

The pen is how the next character is drawn: its style, link, protection, what it belongs
to (OSC 133), and the character sets. No sequence sets a pending wrap, that is a cursor
that stands behind the last character of a full row: that character is written again.
For REP (CSI b, ECMA-48 8.3.103) the character before the cursor is written again, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from cmdop.screen import mode_table
from cmdop.screen.cells import Cell, cell_at
from cmdop.screen.mode_table import AUTOWRAP, INSERT, MARGINS, ORIGIN, is_on, switch
from cmdop.screen.pen import CONTINUED_PROMPT, PROTECTION, SEMANTIC, UNPROTECTED, link_to
from cmdop.screen.state import PLAIN, Charsets, Saved, Screen, Terminal
from cmdop.screen.style import sgr

_BRITISH, _LINE_DRAWING = 2, 3
_LINES = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"
"""DEC's line drawing set, from the grave accent on."""
_INPUT_UNTIL_LINE_END = b"\x1b]133;I\x1b\\"


def save(screen: Screen) -> bytes:
    """DECSC, in a terminal without margins, leaving the saved cursor in force.

    What was never saved is restored as the upper left corner, in every terminal.
    """
    saved = screen.saved
    if saved is None:
        return b"\x1b[H\x1b7"
    cell = cell_at(screen.rows[saved.row], saved.col) if saved.pending_wrap and saved.row < len(screen.rows) else None
    return b"".join(
        (
            switch(ORIGIN, on=True) if saved.origin else b"",
            _place(saved.row, saved.col) if cell is None else _place(saved.row, cell.col) + _again(cell),
            sgr(saved.style) if saved.style != PLAIN else b"",
            PROTECTION[2] if saved.protected else b"",
            mode_table.charsets(saved.charsets),
            b"\x1b7",
        )
    )


def forget(saved: Saved | None) -> bytes:
    """Back from a saved cursor's pen to the usual one."""
    if saved is None:
        return b""
    return b"".join(
        (
            switch(ORIGIN, on=False) if saved.origin else b"",
            b"\x1b[m" if saved.style != PLAIN else b"",
            UNPROTECTED[2] if saved.protected else b"",
            mode_table.no_charsets(saved.charsets),
        )
    )


def keep_semantic(screen: Screen) -> bytes:
    """What the next text on this screen belongs to, behind `save`, for a screen that is not shown.

    The saved cursor is in force again: a place is that of one screen, and so is this, but
    it is not saved with the cursor.
    """
    if not screen.semantic:
        return b""
    return _place(screen.row, screen.col) + _semantic(screen) + b"\x1b8"


def put(terminal: Terminal) -> Iterator[bytes]:
    """The cursor in force, its pen, and the modes that would hinder writing what is before it.

    From the usual pen, with the margins set and without origin mode.
    """
    screen = terminal.active
    cell = _before(terminal, screen)
    modes = switch(INSERT, on=True) if is_on(terminal, INSERT) else b""
    modes += b"" if is_on(terminal, AUTOWRAP) else switch(AUTOWRAP, on=False)
    if is_on(terminal, ORIGIN):
        yield switch(ORIGIN, on=True)
    if cell is None:
        yield _place_within(terminal, screen.row, screen.col) + modes + _pen(screen)
    elif not modes and _is_penned(cell, screen, terminal.last_printed):
        # Nothing may stand between it and a REP that comes next.
        yield (
            _place_within(terminal, screen.row, cell.col)
            + _pen(screen)
            + terminal.last_printed.encode("utf-8", "replace")
        )
    else:
        yield _place_within(terminal, screen.row, cell.col) + _again(cell) + modes + _pen(screen)


def _before(terminal: Terminal, screen: Screen) -> Cell | None:
    """The character that has to be written again, or None."""
    row = screen.rows[screen.row]
    if screen.pending_wrap:
        cell = cell_at(row, screen.col)
        last = terminal.region.right if screen.col <= terminal.region.right else terminal.size.cols - 1
        return cell if screen.col == last else None
    if not screen.col or not terminal.last_printed:
        return None
    cell = cell_at(row, screen.col - 1)
    fits = cell.col + cell.width == screen.col
    return cell if fits and _is_penned(cell, screen, terminal.last_printed) else None


def _is_penned(cell: Cell, screen: Screen, character: str) -> bool:
    """Whether a character drawn with the pen in force would look just like this cell."""
    drawn = (cell.style, cell.link, cell.protected, cell.semantic)
    pen = (screen.style, screen.link, screen.protected, screen.semantic)
    return bool(cell.text) and drawn == pen and cell.text == _shown(character, screen.charsets)


def _shown(character: str, sets: Charsets) -> str:
    """What a character looks like in the character set that is in use; empty if it is not known."""
    if sets.single is not None:
        return ""
    held = sets.slots[sets.left]
    if held == _LINE_DRAWING and "`" <= character <= "~":
        return _LINES[ord(character) - ord("`")]
    return "£" if held == _BRITISH and character == "#" else character


def _again(cell: Cell) -> bytes:
    """A character where the cursor is, and the usual pen behind it."""
    parts = (
        (sgr(cell.style), b"\x1b[m", cell.style != PLAIN),
        (link_to(cell.link), link_to(None), cell.link is not None),
        (PROTECTION[2], UNPROTECTED[2], cell.protected),
        (SEMANTIC[cell.semantic], SEMANTIC[0], cell.semantic != 0),
    )
    before = b"".join(on for on, _, needed in parts if needed)
    text = (cell.text or " ").encode("utf-8", "replace")
    return before + text + b"".join(off for _, off, needed in parts if needed)


def _semantic(screen: Screen) -> bytes:
    if screen.semantic == 2 and screen.rows[screen.row].prompt == 2:
        return CONTINUED_PROMPT
    if screen.semantic == 1 and screen.input_until_line_end:
        return _INPUT_UNTIL_LINE_END
    return SEMANTIC[screen.semantic] if screen.semantic else b""


def _pen(screen: Screen) -> bytes:
    return b"".join(
        (
            _semantic(screen),
            sgr(screen.style) if screen.style != PLAIN else b"",
            link_to(screen.link) if screen.link else b"",
            PROTECTION[screen.protection] if screen.protected else b"",
            mode_table.charsets(screen.charsets),
        )
    )


def _place_within(terminal: Terminal, row: int, col: int) -> bytes:
    """CUP, which counts from the margins in origin mode."""
    if is_on(terminal, ORIGIN):
        row -= terminal.region.top
        col -= terminal.region.left if is_on(terminal, MARGINS) else 0
    return _place(max(row, 0), max(col, 0))


def _place(row: int, col: int) -> bytes:
    return b"\x1b[%d;%dH" % (row + 1, col + 1)
