"""How many cells of a terminal a text takes, which is not how many characters it has.

No I/O.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from typing import Final

GAP: Final = "  "
"""Between two columns."""
_NO_WIDTH: Final = {"Mn", "Me", "Mc", "Cf"}


@functools.lru_cache(maxsize=4096)
def _cell_width(character: str) -> int:
    """Cells that a character takes (UAX #11): none for what goes on top of another one."""
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width_of(text: str) -> int:
    """Cells that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cell_width, text))


def fitted(text: str, cells: int, cut: str) -> str:
    """A text of exactly so many cells: cut off, with `cut` at its end, or filled with blanks."""
    missing = cells - width_of(text)
    if missing >= 0:
        return text + " " * missing
    kept, left = [], cells - 1
    for character in text:
        left -= _cell_width(character)
        if left < 0:
            break
        kept.append(character)
    shown = "".join(kept) + cut if cells > 0 else ""
    return shown + " " * (cells - width_of(shown))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of as many cells each as lines, in columns of the width that they need."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(fitted(cell, wide, "") for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]
