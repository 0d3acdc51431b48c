"""What two terminals have to agree on."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import Any

from cmdop.screen import mode_table
from cmdop.screen.cells import SPACER, cell_at, is_full
from cmdop.screen.ghostty import GhosttyScreen, open_library
from cmdop.screen.library import Library, library_path
from cmdop.screen.state import PLAIN, Charsets, Row, Saved, Screen, Terminal
from cmdop.winsize import Winsize

CORPUS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "corpus").glob("*.bin"))}
SIZE = Winsize(24, 80)

_USUAL = Charsets((1, 1, 1, 1), 0, 2, None)
_NEVER_SAVED = Saved(0, 0, PLAIN, _USUAL, False, False, False)
_UNSEEN = (3, 2026, 47, 1047, 1048, 1049)
"""Synchronized output is never left on; which screen is shown is seen by itself; and
columns are what the PTY has."""


@functools.cache
def library() -> Library:
    return open_library(library_path())


def terminal(output: bytes = b"", size: Winsize = SIZE) -> GhosttyScreen:
    """A terminal that was given this output."""
    screen = GhosttyScreen(size, library())
    screen.feed(output)
    return screen


def seen(state: Terminal, history: bool = True) -> dict[str, Any]:
    """What can be seen of a terminal, and what will be seen of it."""
    return {
        "primary": _screen(state.primary, history, shown=state.alternate is None),
        "alternate": _screen(state.alternate, history, shown=True) if state.alternate else None,
        "region": state.region,
        "modes": [mode for mode in mode_table.MODES if mode_table.is_on(state, mode) and mode not in _UNSEEN],
        "mouse": (state.mouse, state.mouse_format),
        "other keys": state.modify_other_keys,
        "tab stops": state.tab_stops - {0, state.size.cols - 1},
        "colours": state.colours,
        "title": state.title,
        "folder": state.folder,
        "shape": (state.cursor_shaped, state.active.shape if state.cursor_shaped else 1),
    }


def _screen(screen: Screen, history: bool, shown: bool) -> dict[str, Any]:
    saved = screen.saved or _NEVER_SAVED
    cursor = {
        "place": (screen.row, screen.col, screen.pending_wrap),
        "pen": (screen.style, screen.link and screen.link.uri, screen.protected, screen.semantic),
        "charsets": _designated(screen.charsets),
    }
    return {
        "history": [_line(row) for row in screen.history] if history else None,
        "rows": [_line(row) for row in screen.rows],
        "wraps": [_wraps(row, after) for row, after in zip(screen.rows, screen.rows[1:], strict=False)],
        "keyboard": screen.keyboard,
        "semantic": (screen.semantic, screen.semantic == 1 and screen.input_until_line_end),
        "saved": saved._replace(charsets=_designated(saved.charsets)),
        **(cursor if shown else {}),
    }


def _wraps(row: Row, after: Row) -> bool:
    """Lines that a terminal can be made to wrap: those that were full when they did."""
    return row.wraps and after.continues and is_full(row) and bool(cell_at(after, 0).text)


_OWN = (1 << 26) - 1 | 7 << 42 | 3 << 46
"""Of a cell: all but the numbers of its style and its link."""


def _designated(sets: Charsets) -> Charsets:
    """ASCII is ASCII, whether it was ever designated or not."""
    g0, g1, g2, g3 = (max(held, 1) for held in sets.slots)
    return sets._replace(slots=(g0, g1, g2, g3))


def _line(row: Row) -> tuple[object, ...]:
    """A row's cells. Those of one or two bytes have nothing but their text."""
    if row.width <= 2:
        return (row.cells.decode("latin-1" if row.width == 1 else "utf-16-le").rstrip("\0"),)
    styles, links, suffixes = row.page.styles, row.page.links, row.page.suffixes
    words = struct.unpack(f"<{row.used}{'I' if row.width == 4 else 'Q'}", row.cells)
    cells = [
        (w >> 42 & 3,) if w & SPACER else (w & _OWN, styles.get(w >> 26 & 0xFFFF, PLAIN), links.get(w >> 48))
        for w in words
    ]
    further = [suffix for (place, _), suffix in sorted(suffixes.items()) if place == row.place]
    return (row.prompt, *cells, *further)
