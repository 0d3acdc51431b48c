"""One cell of a row, out of its 64 bits.

    2 bits   content kind: 0 codepoint, 1 with a suffix, 2 palette or 3 RGB background
    24 bits  content: a codepoint (0 for a blank), a number of the palette, a colour
    16 bits  style, a number of the page; 0 for plain
    2 bits   width: 0 narrow, 1 wide, 2 beside a wide one, 3 before a wide one that did not fit
    1 bit    protected
    1 bit    linked
    2 bits   OSC 133: 0 output, 1 input, 2 prompt
    16 bits  link, a number of the page

A row whose cells leave the upper part zero has narrower ones: 4 bytes for the lower half,
1 or 2 for nothing but a codepoint.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cmdop.screen.state import PLAIN, Link, Row
from cmdop.screen.style import background

KIND, CONTENT, CODEPOINT = 3, 0xFFFFFF, 0x1FFFFF
SUFFIXED, BACKGROUND_ONLY = 1, 2
SPACER = 1 << 43
"""Either kind of cell next to a wide character."""
ATTRIBUTES = (1 << 64) - (1 << 26) & ~(3 << 42)
"""All but the content and the width."""
CONTROL = re.compile("[\1-\x1f\x7f-\x9f]")
"""What no cell should hold, as it would do something when it is written."""


class Cell(NamedTuple):
    """One character where it stands, and how."""

    col: int
    width: int
    text: str
    """Empty for a blank."""
    style: bytes
    link: Link | None
    protected: bool
    semantic: int


def cell_at(row: Row, col: int) -> Cell:
    """The character that covers a column."""
    word = _word(row, col)
    if word >> 42 & 3 == 2 and col:
        col -= 1
        word = _word(row, col)
    content = word >> 2 & CONTENT
    if word & BACKGROUND_ONLY:
        return Cell(col, 1, "", background(word & KIND, content), None, False, 0)
    text = chr(content & CODEPOINT) if content else ""
    return Cell(
        col=col,
        width=2 if word >> 42 & 3 == 1 else 1,
        text=CONTROL.sub(" ", text + (row.page.suffixes.get((row.place, col), "") if word & SUFFIXED else "")),
        style=row.page.styles.get(word >> 26 & 0xFFFF, PLAIN),
        link=row.page.links.get(word >> 48),
        protected=bool(word >> 44 & 1),
        semantic=word >> 46 & 3,
    )


def _word(row: Row, col: int) -> int:
    if col >= row.used:
        return 0
    word = int.from_bytes(row.cells[col * row.width : (col + 1) * row.width], "little")
    return word << 2 if row.width <= 2 else word


def is_full(row: Row) -> bool:
    """Whether a row is written to its end, or has no room for a wide character at it."""
    last = row.page.cols - 1
    return bool(cell_at(row, last).text) or _word(row, last) >> 42 & 3 == 3


def last_semantic(row: Row) -> int:
    """OSC 133: what the last cell of a row belongs to."""
    if row.width < 8 or not row.used:
        return 0
    return int.from_bytes(row.cells[-8:], "little") >> 46 & 3
