"""What can be seen of a terminal, and where two of them differ; no I/O."""

from __future__ import annotations

import contextlib
import pprint
from typing import Any

from cmdop.screen.state import PLAIN, Terminal
from tests.screen.oracle import seen, terminal

HISTORY_LINES = 1000
"""Of the scrollback so many lines have to be the same, the newest."""

_SEMANTIC = 3 << 46
"""Of a cell as the oracle has it: whether it is of a prompt or of what was typed (OSC 133)."""
Picture = dict[str, Any]


def everything(output: bytes) -> Picture:
    """Of a terminal that was given this output, colours and strings and scrollback included."""
    with contextlib.closing(terminal(output)) as model:
        return _trimmed(seen(_newest(model.state())))


def picture(output: bytes, history: bool = True) -> Picture:
    """The same without what a redraw leaves alone."""
    with contextlib.closing(terminal(output)) as model:
        return picture_of(model.state(), history)


def picture_of(state: Terminal, history: bool = True) -> Picture:
    """Without colours and strings, and without which rows are a prompt's."""
    every = seen(_newest(state), history)
    shown = {name: part for name, part in every.items() if name not in ("colours", "title", "folder")}
    for screen in (shown["primary"], shown["alternate"] or {}):
        screen["rows"] = [row[1:] if len(row) > 1 else row for row in screen.get("rows", [])]
    return _trimmed(shown)


def _trimmed(shown: Picture) -> Picture:
    """Without blanks at the ends of lines: nobody sees whether there ever was something else."""
    for screen in filter(None, (shown["primary"], shown["alternate"])):
        for part in ("rows", "history"):
            screen[part] = screen[part] and [_trim(row) for row in screen[part]]
    return shown


def _trim(row: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(row)
    while end and _is_blank(row[end - 1]):
        end -= 1
    return row[:end]


def _is_blank(cell: Any) -> bool:
    """Without text, style or link; a prompt's or not."""
    return isinstance(cell, tuple) and len(cell) == 3 and not cell[0] & ~_SEMANTIC and cell[1:] == (PLAIN, None)


def difference(wanted: Picture, found: Picture) -> str:
    """Where two pictures differ, for a reader; empty when they do not.

    A terminal may show something of its own above the scrollback that was wanted, and
    the oldest lines are left out of a replay.
    """
    lines = len(wanted["primary"]["history"] or ())
    pairs = [(name, _last(wanted[name], lines), _last(found[name], lines)) for name in wanted]
    return "\n".join(
        f"{name} is\n{_text(there)}\nand not\n{_text(part)}" for name, part, there in pairs if part != there
    )


def _newest(state: Terminal) -> Terminal:
    """With the newest of its scrollback: to look at all of it would take a second."""
    primary = state.primary
    return state._replace(primary=primary._replace(history=primary.history[-HISTORY_LINES:]))


def _last(part: Any, lines: int) -> Any:
    """A part of a picture, with so many lines of scrollback where it has any."""
    if not isinstance(part, dict) or not part.get("history"):
        return part
    history = part["history"]
    return {**part, "history": history[len(history) - min(lines, len(history)) :]}


def _text(part: object) -> str:
    return pprint.pformat(part, width=160, compact=True)[:6000]
