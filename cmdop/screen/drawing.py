"""A whole terminal as bytes that bring another one to the same state.

The order is the point: text before the modes that change how text is taken, saved
cursors while there are no margins, the margins before the place of the cursor, and what
the next character depends on last.

    titles and colours
    the primary screen: scrollback, rows, keyboard, saved cursor
    the alternate screen, if it is shown: the same without scrollback
    tab stops, margins, modes, the cursor

Not restored, as the model or no sequence knows it: pictures; stacks of titles (XTPUSHTITLE)
and saved modes (XTSAVE); the lower level of modifyOtherKeys; the pointer's shape (OSC 22);
what is left on an alternate screen that is not shown; that a line whose end was erased
once wrapped; that the last column was erased below a pending wrap (it becomes a space).
"""

from __future__ import annotations

from collections.abc import Iterator

from cmdop.screen import cursor, mode_table
from cmdop.screen.contents import contents, lines
from cmdop.screen.mode_table import ALTERNATE, AUTOWRAP, CLUSTERS, MARGINS, is_on, switch
from cmdop.screen.pen import SEMANTIC, safe
from cmdop.screen.state import Screen, Terminal

_TAB_INTERVAL = 8


def draw(terminal: Terminal, history: bool = True, redraw: bool = False, fits: bool = True) -> tuple[bytes, bytes]:
    """The bytes, and those that switch on reports, see `interface.Snapshot`.

    The model must be outside of any sequence.
    """
    parts = [
        mode_table.UNSWITCHED if redraw else b"\r\x1b[J",
        *_strings(terminal),
        switch(CLUSTERS, on=True) if is_on(terminal, CLUSTERS) else b"",
        *_primary(terminal, history, redraw, fits),
        *(_alternate(terminal, terminal.alternate, fits) if terminal.alternate else ()),
        cursor.forget(terminal.active.saved),
        _tab_stops(terminal, always=redraw),
        *_margins(terminal),
        mode_table.switches(terminal),
        mode_table.cursor_shape(terminal, terminal.active),
        b"\x1b[>4;2m" if terminal.modify_other_keys else b"",
        *cursor.put(terminal),
    ]
    return b"".join(parts), mode_table.reports(terminal)


def _strings(terminal: Terminal) -> Iterator[bytes]:
    """OSC: title, folder, and the colours of the terminal itself."""
    if terminal.title:
        yield b"\x1b]2;%s\x1b\\" % safe(terminal.title)
    if terminal.folder:
        yield b"\x1b]7;%s\x1b\\" % safe(terminal.folder)
    colours = terminal.colours
    for index, colour in colours.palette.items():
        yield b"\x1b]4;%d;%s\x1b\\" % (index, _rgb(colour))
    for number, dynamic in ((10, colours.text), (11, colours.background), (12, colours.cursor)):
        if dynamic is not None:
            yield b"\x1b]%d;%s\x1b\\" % (number, _rgb(dynamic))


def _rgb(colour: bytes) -> bytes:
    return b"rgb:%02x/%02x/%02x" % tuple(colour)


def _primary(terminal: Terminal, history: bool, redraw: bool, fits: bool) -> Iterator[bytes]:
    if redraw:
        yield b"\x1b[H\x1b[J"
        if any(row.prompt for row in terminal.primary.history + terminal.primary.rows):
            yield SEMANTIC[0]  # it may still be in a prompt
    yield from _contents(terminal, terminal.primary, history and not redraw, fits)
    yield mode_table.keyboard(terminal.primary.keyboard)
    yield cursor.save(terminal.primary)


def _alternate(terminal: Terminal, screen: Screen, fits: bool) -> Iterator[bytes]:
    """Entered as the program did it. 1049 saves the cursor: the one just saved is in force."""
    yield cursor.keep_semantic(terminal.primary)
    if terminal.cursor_shaped:
        yield mode_table.cursor_shape(terminal, terminal.primary)
    yield switch(next((mode for mode in ALTERNATE if is_on(terminal, mode)), ALTERNATE[0]), on=True)
    yield SEMANTIC[0] if terminal.primary.semantic else b""  # a screen begins with the other one's
    yield cursor.forget(terminal.primary.saved) + b"\x1b[H\x1b[J"
    yield from _contents(terminal, screen, history=False, fits=fits)
    yield mode_table.keyboard(screen.keyboard)
    yield cursor.save(screen)


def _contents(terminal: Terminal, screen: Screen, history: bool, fits: bool) -> Iterator[bytes]:
    """The text; for a terminal that it does not fit without autowrap, so that its edge cuts it."""
    if fits:
        yield from contents(terminal, screen, history)
    else:
        yield switch(AUTOWRAP, on=False)
        yield from lines(terminal, screen)
        yield switch(AUTOWRAP, on=True)


def _tab_stops(terminal: Terminal, always: bool) -> bytes:
    """TBC and HTS, where there is not one every eighth column."""
    ends = {0, terminal.size.cols - 1}  # where a tab stops anyway
    usual = set(range(_TAB_INTERVAL, terminal.size.cols, _TAB_INTERVAL))
    if not always and terminal.tab_stops | ends == usual | ends:
        return b""
    return b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % (col + 1) for col in sorted(terminal.tab_stops))


def _margins(terminal: Terminal) -> Iterator[bytes]:
    """DECSTBM, DECLRMM and DECSLRM."""
    top, bottom, left, right = terminal.region
    if (top, bottom) != (0, terminal.size.rows - 1):
        yield b"\x1b[%d;%dr" % (top + 1, bottom + 1)
    if is_on(terminal, MARGINS):
        yield switch(MARGINS, on=True)
        if (left, right) != (0, terminal.size.cols - 1):
            yield b"\x1b[%d;%ds" % (left + 1, right + 1)
