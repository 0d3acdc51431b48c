"""One row of a screen, as bytes to write.

A row is drawn from its first column, in the plain style, onto blank cells; it ends in
the plain style, with no link and no protection. What was never written is left alone:
gaps are jumped over, so that the row is no longer than it was.
"""

from __future__ import annotations

import itertools
import re
import struct

from cmdop.screen.cells import ATTRIBUTES, BACKGROUND_ONLY, CODEPOINT, CONTENT, CONTROL, KIND, SPACER, SUFFIXED
from cmdop.screen.pen import CONTINUED_PROMPT, PROTECTION, SEMANTIC, UNPROTECTED, link_to
from cmdop.screen.state import PLAIN, Row
from cmdop.screen.style import background, colours_blanks, sgr

_UNEVEN = re.compile("[\0-\x1f\x7f-\x9f\U0001f000-\U0001fbff]")
"""Blanks, controls, and what not all terminals find equally wide."""
_GAP = re.compile(b"\0+")


def draw_row(row: Row, cols: int, semantic: int = 0, wraps: bool = False, protection: int = 2) -> bytes:
    """The bytes of a row.

    `semantic` is what the terminal is in by what came before (always 0 but behind a soft
    wrap, and 0 is what it is in afterwards but before one). A row that `wraps` is full:
    the next character that is written goes into the next row.
    """
    if row.width <= 2:
        return SEMANTIC[0] * (semantic != 0) + _GAP.sub(_jump, _plain(row))
    return _Drawing(row, cols, semantic, wraps, protection).draw()


def _plain(row: Row) -> bytes:
    """Cells with nothing but a codepoint of at most 16 bits; zero where they are blank."""
    text = row.cells.decode("latin-1") if row.width == 1 else row.cells.decode("utf-16-le", "replace")
    return CONTROL.sub("\0", text).encode("utf-8", "replace")


def _jump(gap: re.Match[bytes]) -> bytes:
    return b"\x1b[%dC" % len(gap.group())


class _Drawing:
    """The drawing of one row with styles."""

    def __init__(self, row: Row, cols: int, semantic: int, wraps: bool, protection: int) -> None:
        self._row, self._page, self._cols, self._wraps = row, row.page, cols, wraps
        self._protection = protection
        self._words = struct.unpack(f"<{row.used}{'I' if row.width == 4 else 'Q'}", row.cells)
        self._out: list[bytes] = []
        self._style, self._link, self._protected = PLAIN, 0, False
        self._semantic = semantic

    def draw(self) -> bytes:
        col, words = 0, self._words
        # What is the same for cells that are drawn together; a comprehension, as this is
        # most of the time that a snapshot takes.
        alike = [word if word & BACKGROUND_ONLY else word & ATTRIBUTES for word in words]
        for attributes, run in itertools.groupby(alike):
            end = col + len(list(run))
            self._draw_run(attributes, words[col:end], col)
            col = end
        self._switch(PLAIN, 0, False, self._semantic if self._wraps else 0)
        return b"".join(self._out)

    def _draw_run(self, attributes: int, cells: tuple[int, ...], col: int) -> None:
        kind = attributes & KIND
        if kind >= BACKGROUND_ONLY:
            self._switch(background(kind, attributes >> 2 & CONTENT), 0, False, self._semantic)
            self._draw_blanks(len(cells), col)
            return
        text = "".join([chr(cell >> 2 & CODEPOINT) for cell in cells if not cell & SPACER])
        style = self._page.styles.get(attributes >> 26 & 0xFFFF, PLAIN)
        if not text.strip("\0"):
            coloured = bool(text) and colours_blanks(style)
            self._switch(style if coloured else self._style, 0, False, self._semantic)
            self._draw_blanks(len(text), col, coloured)
            return
        pen = style, attributes >> 48, bool(attributes >> 44 & 1), attributes >> 46 & 3
        self._switch(*pen)
        if self._row.continues and not col and colours_blanks(style) and self._row.used < self._cols:
            col = self._draw_first_after_wrap(cells)
            cells = cells[col:]
            text = text[1:]
            self._switch(*pen)
        self._draw_text(text, cells, col)

    def _draw_first_after_wrap(self, cells: tuple[int, ...]) -> int:
        """The character that makes the line wrap: a row that scrolls in has its background."""
        width = 2 if len(cells) > 1 and cells[1] & SPACER else 1
        self._draw_characters(cells[:width], 0)
        self._switch(PLAIN, 0, False, self._semantic)
        self._out.append(b"\x1b[K")
        return width

    def _draw_blanks(self, count: int, col: int, coloured: bool = True) -> None:
        """Blanks in the style that is switched to; of no colour at all if they are not `coloured`."""
        if coloured and colours_blanks(self._style):
            self._out.append(b"\x1b[%dX" % count)
        if col + count < self._cols:
            self._out.append(b"\x1b[%dC" % count)

    def _draw_text(self, text: str, cells: tuple[int, ...], col: int) -> None:
        if "\0" in text or (self._page.suffixes and any(cell & SUFFIXED for cell in cells)):
            self._draw_characters(cells, col)
        elif _UNEVEN.search(text):
            self._draw_uneven(text, cells, col)
        else:
            self._out.append(text.encode("utf-8", "replace"))

    def _draw_uneven(self, text: str, cells: tuple[int, ...], col: int) -> None:
        """Text with characters after which it has to be said where it goes on."""
        places = [at for at, cell in enumerate(cells, col) if not cell & SPACER]
        done = 0
        for match in _UNEVEN.finditer(text):
            end = match.end()
            self._out.append(CONTROL.sub(" ", text[done:end]).encode("utf-8", "replace"))
            self._go_to(places[end] if end < len(places) else col + len(cells))
            done = end
        self._out.append(text[done:].encode("utf-8", "replace"))

    def _go_to(self, col: int) -> None:
        """Say that the text goes on here, wherever the terminal thinks it is; not at the end of the row."""
        if col < self._row.used:
            self._out.append(b"\x1b[%dG" % (col + 1))

    def _draw_characters(self, cells: tuple[int, ...], col: int) -> None:
        kinds = [2 if cell & SPACER else bool(cell >> 2 & CODEPOINT) for cell in cells]
        at = 0
        for kind, run in itertools.groupby(kinds):
            start, at = at, at + len(list(run))
            if kind == 0:
                self._draw_blanks(at - start, col + start)
            elif kind == 1:
                for place in range(start, at):
                    self._draw_character(cells[place], col + place)

    def _draw_character(self, cell: int, col: int) -> None:
        suffix = self._page.suffixes.get((self._row.place, col), "") if cell & SUFFIXED else ""
        text = CONTROL.sub(" ", chr(cell >> 2 & CODEPOINT) + suffix)
        self._out.append(text.encode("utf-8", "replace"))
        if suffix or _UNEVEN.match(text):
            self._go_to(col + 1 + (cell >> 42 & 3 == 1))

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
