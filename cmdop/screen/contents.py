"""The text of one screen and its scrollback, as bytes to write.

Rows are drawn from the newest back, each on its own, until the scrollback is as large
as it may be. What of it does not fit is the oldest.
"""

from __future__ import annotations

from cmdop.limits import REPLAY_MAX_BYTES
from cmdop.screen.cells import cell_at, is_full, last_semantic
from cmdop.screen.pen import CONTINUED_PROMPT
from cmdop.screen.rows import draw_row
from cmdop.screen.state import Row, Screen, Terminal

_NEW_PROMPTS = tuple(b"\x1b]133;A%s\x1b\\" % redraw for redraw in (b";redraw=1", b"", b";redraw=last"))
"""By `Terminal.prompt_redraw`."""


def contents(terminal: Terminal, screen: Screen, history: bool) -> list[bytes]:
    """The rows, and above them as much of the scrollback as fits `REPLAY_MAX_BYTES`."""
    rows = screen.history + screen.rows if history else screen.rows
    first_shown = len(rows) - len(screen.rows)
    drawn: list[bytes] = []
    size = 0
    for at in range(len(rows) - 1, -1, -1):
        piece = _row(terminal, screen, rows, at)
        size += len(piece)
        if at < first_shown and size > REPLAY_MAX_BYTES:
            break
        drawn.append(piece)
    drawn.reverse()
    return drawn


def lines(terminal: Terminal, screen: Screen) -> list[bytes]:
    """The rows, each as a line of its own, without the empty ones at the end."""
    cols = terminal.size.cols
    drawn = [draw_row(row, cols, 0, False, screen.protection) for row in screen.rows]
    while drawn and not drawn[-1]:
        drawn.pop()
    return [text + b"\r\n" for text in drawn[:-1]] + drawn[-1:]


def _row(terminal: Terminal, screen: Screen, rows: list[Row], at: int) -> bytes:
    """One row, with the end of the line behind it where there is one."""
    row, cols = rows[at], terminal.size.cols
    wraps = _wraps(rows, at, cols)
    continued = at > 0 and _wraps(rows, at - 1, cols)
    mark, semantic = b"", last_semantic(rows[at - 1]) if continued else 0
    if row.prompt and row.used and not continued:
        mark = _NEW_PROMPTS[terminal.prompt_redraw] if row.prompt == 1 else CONTINUED_PROMPT
        semantic = 2
    text = draw_row(row, cols, semantic, wraps, screen.protection)
    return mark + text + (b"\r\n" if at + 1 < len(rows) and not wraps else b"")


def _wraps(rows: list[Row], at: int, cols: int) -> bool:
    """Whether the next row goes on with the line in a way that a terminal does by itself.

    It does so for a character behind a full row, or a wide one that does not fit any more;
    so not if the row ends or the next one begins with a blank, or if they are of another
    width than the screen.
    """
    if at + 1 >= len(rows) or not rows[at].wraps:
        return False
    row, following = rows[at], rows[at + 1]
    same_width = row.page.cols == following.page.cols == cols
    return same_width and following.continues and is_full(row) and bool(cell_at(following, 0).text)
