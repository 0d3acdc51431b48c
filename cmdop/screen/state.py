"""The state of a terminal, as values: what a model has and a snapshot draws.

Styles, colours and the bits of cells are kept as the library encodes them (see
decoding.py): most of them are only compared, and decoded where they are drawn.
"""

from __future__ import annotations

from typing import NamedTuple

from cmdop.winsize import Winsize

PLAIN: bytes = bytes(16)
"""The style of text that nobody styled."""


class Link(NamedTuple):
    """OSC 8: where a text leads, and what joins texts to one link (may be empty)."""

    uri: bytes
    identity: bytes


class Page(NamedTuple):
    """What the rows of one page share: its width and what its cells refer to."""

    cols: int
    styles: dict[int, bytes]
    links: dict[int, Link]
    suffixes: dict[tuple[int, int], str]
    """Row in the page and column -> the codepoints behind a cell's first one."""


class Row(NamedTuple):
    """One row: `used` cells of `width` bytes each; the others are blank and plain."""

    page: Page
    place: int
    """Which row of the page."""
    flags: int
    used: int
    width: int
    cells: bytes

    @property
    def wraps(self) -> bool:
        """The line goes on in the next row without a line end."""
        return bool(self.flags & 1)

    @property
    def continues(self) -> bool:
        """The line began in the row before."""
        return bool(self.flags & 2)

    @property
    def prompt(self) -> int:
        """OSC 133: 0 for no prompt, 1 for its first row, 2 for a further one."""
        return self.flags >> 2 & 3


class Charsets(NamedTuple):
    """ECMA-35: what G0 to G3 hold, and which of them is in use."""

    slots: tuple[int, int, int, int]
    left: int
    right: int
    single: int | None
    """For the next character only (SS2, SS3)."""


class Saved(NamedTuple):
    """What DECSC saved."""

    row: int
    col: int
    style: bytes
    charsets: Charsets
    protected: bool
    pending_wrap: bool
    origin: bool


class Screen(NamedTuple):
    """The primary or the alternate screen. Rows and columns count from 0."""

    alternate: bool
    history: list[Row]
    """Oldest first."""
    rows: list[Row]
    row: int
    col: int
    shape: int
    """Of the cursor: 0 bar, 1 block, 2 underline."""
    pending_wrap: bool
    style: bytes
    link: Link | None
    protected: bool
    protection: int
    """The last kind of protection: 0 none, 1 ISO's (SPA), 2 DEC's (DECSCA)."""
    semantic: int
    """OSC 133: what is being written: 0 output, 1 input, 2 a prompt."""
    input_until_line_end: bool
    charsets: Charsets
    keyboard: tuple[int, ...]
    """The kitty keyboard flags: the lowest of the stack first, the ones in force last."""
    saved: Saved | None


class Region(NamedTuple):
    """The scrolling margins, from 0, both ends within."""

    top: int
    bottom: int
    left: int
    right: int


class Colours(NamedTuple):
    """Colours that were given to the terminal itself, as (red, green, blue)."""

    palette: dict[int, bytes]
    text: bytes | None
    background: bytes | None
    cursor: bytes | None


class Terminal(NamedTuple):
    """All of it."""

    size: Winsize
    region: Region
    modes: int
    """One bit for each mode, in the order of `mode_table.MODES`."""
    default_modes: int
    mouse: int
    """Which mouse mode is in force: 0 none, then those of `mode_table.MOUSE_MODES`."""
    mouse_format: int
    modify_other_keys: bool
    """XTMODKEYS 4;2. The lower level is not known."""
    cursor_shaped: bool
    """A program chose the cursor's shape."""
    tab_stops: frozenset[int]
    colours: Colours
    title: bytes
    folder: bytes
    """OSC 7, as it was sent."""
    prompt_redraw: int
    """OSC 133;A redraw=: 0 for yes, 1 for unsaid or no, 2 for the last line of the prompt."""
    last_printed: str
    """What REP repeats; empty for nothing."""
    primary: Screen
    alternate: Screen | None
    """None while the primary one is shown."""

    @property
    def active(self) -> Screen:
        return self.alternate or self.primary
