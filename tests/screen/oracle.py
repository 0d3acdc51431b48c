"""What two terminals have to agree on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from cmdop.screen import mode_table
from cmdop.screen.ghostty import GhosttyScreen, Library, library_path
from cmdop.screen.rows import Cell, cell_at
from cmdop.screen.state import PLAIN, Charsets, Row, Saved, Screen, Terminal
from cmdop.winsize import Winsize

CORPUS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "corpus").glob("*.bin"))}
SIZE = Winsize(24, 80)

_USUAL = Charsets((1, 1, 1, 1), 0, 2, None)
_NEVER_SAVED = Saved(0, 0, PLAIN, _USUAL, False, False, False)
_SYNCHRONIZED = 2026


@functools.cache
def library() -> Library:
    return Library(library_path())


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
        "modes": [mode for mode in mode_table.MODES if mode_table.is_on(state, mode) and mode != _SYNCHRONIZED],
        "mouse": (state.mouse, state.mouse_format),
        "other keys": state.modify_other_keys,
        "tab stops": state.tab_stops,
        "colours": state.colours,
        "title": state.title,
        "folder": state.folder,
        "shape": (state.cursor_shaped, state.active.shape if state.cursor_shaped else 1),
        "prompt": state.prompt_redraw,
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
        "wraps": [row.wraps and after.continues for row, after in zip(screen.rows, screen.rows[1:], strict=False)],
        "keyboard": screen.keyboard,
        "saved": saved._replace(charsets=_designated(saved.charsets)),
        **(cursor if shown else {}),
    }


def _designated(sets: Charsets) -> Charsets:
    """ASCII is ASCII, whether it was ever designated or not."""
    g0, g1, g2, g3 = (max(held, 1) for held in sets.slots)
    return sets._replace(slots=(g0, g1, g2, g3))


def _line(row: Row) -> tuple[object, ...]:
    cells = [_cell(row, col) for col in range(row.page.cols)]
    while cells and cells[-1] is None:
        cells.pop()
    return (row.prompt if cells else 0, *cells)


def _cell(row: Row, col: int) -> Cell | None:
    """None for a blank that nobody coloured."""
    cell = cell_at(row, col)
    return None if cell == Cell(col, 1, " ", PLAIN, None, False, 0) and not _written(row, col) else cell


def _written(row: Row, col: int) -> bool:
    cell = row.cells[col * row.width : (col + 1) * row.width]
    return bool(int.from_bytes(cell, "little") & (3 if row.width > 2 else 0) or cell.strip(b"\0"))
