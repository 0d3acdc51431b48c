"""One row of a screen, as bytes to write.

A row is drawn from its first column, in the plain style, onto blank cells; it ends in
the plain style, with no link and no protection. What draws it leaves alone what was not
written: gaps are jumped over, so that the row is no longer than it was.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable
from typing import NamedTuple

from cmdop.screen.state import PLAIN, Link, Row
from cmdop.screen.style import background, colours_blanks, sgr

# A cell: content kind (2 bits), content (24), style (16), width kind (2), protected (1),
# linked (1), semantic (2), link (16).
_KIND, _CONTENT, _CODEPOINT = 3, 0xFFFFFF, 0x1FFFFF
_SUFFIXED, _BACKGROUND_ONLY = 1, 2
_SPACER = 1 << 43
"""Beside a wide character, or before one that did not fit the row."""
_ATTRIBUTES = ~((1 << 26) - 1) & ~(3 << 42)
"""All but the content and the width."""

_UNEVEN = re.compile("[\0-\x1f\x7f-\x9f\U0001f000-\U0001fbff]")
"""Blanks, controls, which no cell should hold, and what not all terminals find equally wide."""
_CONTROL = re.compile("[\1-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(rb"[\0-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Would end a string, or begin something of its own."""
_GAP = re.compile(b"\0+")

SEMANTIC = (b"\x1b]133;C\x1b\\", b"\x1b]133;B\x1b\\", b"\x1b]133;P\x1b\\")
"""OSC 133: output, input, prompt follows."""
CONTINUED_PROMPT = b"\x1b]133;P;k=s\x1b\\"
PROTECTION = (b"", b"\x1bV", b'\x1b[1"q')
"""SPA and DECSCA; by the kind of protection."""
UNPROTECTED = (b"", b"\x1bW", b'\x1b[0"q')
_NO_LINK = b"\x1b]8;;\x1b\\"


def safe(text: bytes) -> bytes:
    """A text to put into an OSC string: nothing in it ends that."""
    return _UNSAFE.sub(b"", text)


def link_to(link: Link | None) -> bytes:
    """OSC 8: the text that follows leads there."""
    if link is None:
        return _NO_LINK
    parameters = b"id=" + safe(link.identity) if link.identity else b""
    return b"\x1b]8;%s;%s\x1b\\" % (parameters, safe(link.uri))


def last_semantic(row: Row) -> int:
    """OSC 133: what the last cell of a row belongs to."""
    if row.width < 8 or not row.used:
        return 0
    return int.from_bytes(row.cells[-8:], "little") >> 46 & 3


def draw_row(row: Row, cols: int, semantic: int = 0, wraps: bool = False, protection: int = 2) -> bytes:
    """The bytes of a row.

    `semantic` is what the terminal is in by what came before (always 0 but behind a soft
    wrap, and 0 is what it is in afterwards but before one). A row that `wraps` is filled
    to its end, and the next character that is written goes into the next row.
    """
    if row.width <= 2:
        text = _plain(row)
        if not wraps:
            return SEMANTIC[0] * (semantic != 0) + _GAP.sub(_jump, text)
        return SEMANTIC[0] * (semantic != 0) + text.replace(b"\0", b" ") + b" " * (cols - row.used)
    return _Drawing(row, cols, semantic, wraps, protection).draw()


def _plain(row: Row) -> bytes:
    """Cells with nothing but a codepoint of at most 16 bits; zero where they are blank."""
    text = row.cells.decode("latin-1") if row.width == 1 else row.cells.decode("utf-16-le", "replace")
    return _CONTROL.sub("\0", text).encode("utf-8", "replace")


def _jump(gap: re.Match[bytes]) -> bytes:
    return b"\x1b[%dC" % len(gap.group())


class _Drawing:
    """The drawing of one row with styles."""

    def __init__(self, row: Row, cols: int, semantic: int, wraps: bool, protection: int) -> None:
        self._row, self._page, self._cols, self._wraps = row, row.page, cols, wraps
        self._protection = protection or 2
        self._out: list[bytes] = []
        self._style, self._link, self._protected = PLAIN, 0, False
        self._semantic = semantic

    def draw(self) -> bytes:
        row, col = self._row, 0
        words = struct.unpack(f"<{row.used}{'I' if row.width == 4 else 'Q'}", row.cells)
        for attributes, run in itertools.groupby(words, _attributes):
            cells = list(run)
            self._draw_run(attributes, cells, col)
            col += len(cells)
        if self._wraps and row.used < self._cols:
            self._switch(PLAIN, 0, False, self._semantic)
            self._out.append(b" " * (self._cols - row.used))
        self._switch(PLAIN, 0, False, self._semantic if self._wraps else 0)
        return b"".join(self._out)

    def _draw_run(self, attributes: int, cells: list[int], col: int) -> None:
        kind = attributes & _KIND
        if kind >= _BACKGROUND_ONLY:
            self._switch(background(kind, attributes >> 2 & _CONTENT), 0, False, self._semantic)
            self._draw_blanks(len(cells), col)
            return
        style = self._page.styles.get(attributes >> 26 & 0xFFFF, PLAIN)
        linked, protected, semantic = attributes >> 48, bool(attributes >> 44 & 1), attributes >> 46 & 3
        if not any(cell >> 2 & _CODEPOINT for cell in cells):
            self._draw_unwritten(style, cells, col)
            return
        self._switch(style, linked, protected, semantic)
        if self._row.flags & 2 and col == 0 and colours_blanks(style) and self._row.used < self._cols:
            cells, col = self._draw_first_after_wrap(cells), self._after_wrap(cells)
            self._switch(style, linked, protected, semantic)
        self._draw_text(cells, col)

    def _draw_first_after_wrap(self, cells: list[int]) -> list[int]:
        """The character that makes the line wrap: a row that scrolls in has its background."""
        first = self._after_wrap(cells)
        self._draw_text(cells[:first], 0)
        self._switch(PLAIN, 0, False, self._semantic)
        self._out.append(b"\x1b[K")
        return cells[first:]

    @staticmethod
    def _after_wrap(cells: list[int]) -> int:
        return 2 if len(cells) > 1 and cells[1] & _SPACER else 1

    def _draw_unwritten(self, style: bytes, cells: list[int], col: int) -> None:
        """Cells with no text: blanks, or beside a wide character of another style."""
        blanks = sum(1 for cell in cells if not cell & _SPACER)
        if not blanks:
            return
        self._switch(style if colours_blanks(style) else PLAIN, 0, False, self._semantic)
        self._draw_blanks(blanks, col)

    def _draw_blanks(self, count: int, col: int) -> None:
        if self._wraps:
            self._out.append(b" " * count)
        elif colours_blanks(self._style):
            self._out.append(b"\x1b[%dX" % count)
            if col + count < self._cols:
                self._out.append(b"\x1b[%dC" % count)
        elif col + count < self._cols:
            self._out.append(b"\x1b[%dC" % count)

    def _draw_text(self, cells: list[int], col: int) -> None:
        text = "".join([chr(cell >> 2 & _CODEPOINT) for cell in cells if not cell & _SPACER])
        if not _UNEVEN.search(text) and not any(cell & _SUFFIXED for cell in cells):
            self._out.append(text.encode("utf-8", "replace"))
            return
        for written, group in itertools.groupby(enumerate(cells, col), lambda item: bool(item[1] >> 2 & _CODEPOINT)):
            if written:
                self._draw_characters(group)
            else:
                blanks = [at for at, cell in group if not cell & _SPACER]
                if blanks:
                    self._draw_blanks(len(blanks), blanks[0])

    def _draw_characters(self, cells: Iterable[tuple[int, int]]) -> None:
        for col, cell in cells:
            character = chr(cell >> 2 & _CODEPOINT)
            suffix = self._page.suffixes.get((self._row.place, col), "") if cell & _SUFFIXED else ""
            text = _CONTROL.sub(" ", character + suffix)
            self._out.append(text.encode("utf-8", "replace"))
            after = col + 1 + (cell >> 42 & 3 == 1)
            if (suffix or _UNEVEN.match(text)) and after < self._row.used:
                self._out.append(b"\x1b[%dG" % (after + 1))  # wherever the terminal thinks it is

    def _switch(self, style: bytes, link: int, protected: bool, semantic: int) -> None:
        if style != self._style:
            self._out.append(sgr(style))
            self._style = style
        if link != self._link:
            self._out.append(link_to(self._page.links.get(link)))
            self._link = link
        if protected != self._protected:
            self._out.append((PROTECTION if protected else UNPROTECTED)[self._protection])
            self._protected = protected
        if semantic != self._semantic:
            continued = semantic == 2 and self._row.prompt == 2
            self._out.append(CONTINUED_PROMPT if continued else SEMANTIC[semantic])
            self._semantic = semantic


def _attributes(cell: int) -> int:
    """What is the same for cells that are drawn together."""
    return cell if cell & _BACKGROUND_ONLY else cell & _ATTRIBUTES


class Cell(NamedTuple):
    """One character where it stands, and how."""

    col: int
    width: int
    text: str
    """A space for a blank."""
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
    content = word >> 2 & _CONTENT
    if word & _BACKGROUND_ONLY:
        return Cell(col, 1, " ", background(word & _KIND, content), None, False, 0)
    text = chr(content & _CODEPOINT) if content else " "
    return Cell(
        col=col,
        width=2 if word >> 42 & 3 == 1 else 1,
        text=_CONTROL.sub(" ", text + (row.page.suffixes.get((row.place, col), "") if word & _SUFFIXED else "")),
        style=row.page.styles.get(word >> 26 & 0xFFFF, PLAIN),
        link=row.page.links.get(word >> 48),
        protected=bool(word >> 44 & 1),
        semantic=word >> 46 & 3,
    )


def _word(row: Row, col: int) -> int:
    """A cell's 64 bits; the narrow encodings hold the codepoint, or the lower half."""
    if col >= row.used:
        return 0
    word = int.from_bytes(row.cells[col * row.width : (col + 1) * row.width], "little")
    return word << 2 if row.width <= 2 else word
