"""The modes of a terminal, and the sequences that bring them to where a model has them.

Sources: ECMA-48 7.2, xterm's ctlseqs, and for what is newer: contour's synchronized
output (2026), Unicode core (2027) and colour scheme reports (2031), ghostty's visibility
reports (2033) and in-band resize (2048), the kitty keyboard protocol.
"""

from __future__ import annotations

from cmdop.screen.state import Charsets, Screen, Terminal

_ANSI = 1 << 15

MODES = (
    *(2 | _ANSI, 4 | _ANSI, 12 | _ANSI, 20 | _ANSI),
    *(1, 3, 4, 5, 6, 7, 8, 9, 12, 25, 40, 45, 47, 66, 67, 69),
    *(1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1035, 1036, 1039, 1045),
    *(1047, 1048, 1049, 2004, 2026, 2027, 2031, 2033, 2048, 5522),
)
"""In the order of the library's bits."""

INSERT, AUTOWRAP, ORIGIN = 4 | _ANSI, 7, 6
KEYPAD, MARGINS, BLINKING, CLUSTERS = 66, 69, 12, 2027
ALTERNATE = (1049, 1047, 47)

MOUSE_MODES = (9, 1000, 1002, 1003)
MOUSE_FORMATS = (1005, 1006, 1015, 1016)

_REPORTS = (1004, 2031, 2033, 2048)
"""Some terminals report at once when these are switched on."""
_APART = frozenset(
    (
        *(INSERT, AUTOWRAP, ORIGIN, KEYPAD, MARGINS, BLINKING, CLUSTERS, *ALTERNATE),
        *(*MOUSE_MODES, *MOUSE_FORMATS, *_REPORTS),
        3,  # clears the screen, and the model keeps to its size
        1048,  # saves the cursor
        2026,  # nobody would end it
        5522,
    )
)
"""Drawn elsewhere, in an order of their own, or not at all."""

_SLOTS = b"()*+"
_SETS = (b"", b"B", b"A", b"0")
"""By the library's number: none designated, ASCII, British, DEC's line drawing."""
_LOCKING_LEFT = (b"", b"\x0e", b"\x1bn", b"\x1bo")
_LOCKING_RIGHT = (b"", b"\x1b~", b"\x1b}", b"\x1b|")
_SINGLE = (b"", b"", b"\x1bN", b"\x1bO")
_RIGHT_BY_DEFAULT = 2

_EMPTY_KEYBOARD = b"\x1b[<8u"
UNSWITCHED = b"".join(
    (
        *(b"\x18\x1b\\",),  # ends whatever sequence it was in
        *(_EMPTY_KEYBOARD, b"\x1b[?1049l", _EMPTY_KEYBOARD),  # there is one for each screen
        *(b"\x1b[?%dl" % mode for mode in (*MOUSE_MODES, *MOUSE_FORMATS, *_REPORTS, 2004, 2026, 2027)),
        *(b"\x1b[?69l\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[?45l\x1b[?5l\x1b[?1l\x1b>\x1b[?7h\x1b[?25h",),
        *(b"\x0f\x1b(B\x1b)B\x1b*B\x1b+B",),
        *(b"\x1b[0 q\x1b[>4m\x1b]8;;\x1b\\\x1b[m",),
    )
)
"""From any state to one that nobody switched, as far as one can tell without asking:
titles and colours stay."""


def is_on(terminal: Terminal, mode: int) -> bool:
    return bool(terminal.modes >> MODES.index(mode) & 1)


def switch(mode: int, on: bool) -> bytes:
    """SM, RM, DECSET or DECRST."""
    private = b"" if mode & _ANSI else b"?"
    return b"\x1b[%s%d%s" % (private, mode & ~_ANSI, b"h" if on else b"l")


def switches(terminal: Terminal) -> bytes:
    """The modes that are no more than on or off, where they are not as usual."""
    changed = terminal.modes ^ terminal.default_modes
    plain = [mode for bit, mode in enumerate(MODES) if changed >> bit & 1 and mode not in _APART]
    parts = [switch(mode, is_on(terminal, mode)) for mode in plain]
    if is_on(terminal, KEYPAD):
        parts.append(b"\x1b=")  # DECKPAM: not every terminal knows it as a mode
    parts.append(_one_of(terminal, MOUSE_MODES, terminal.mouse))
    parts.append(_one_of(terminal, MOUSE_FORMATS, terminal.mouse_format))
    return b"".join(parts)


def reports(terminal: Terminal) -> bytes:
    """Those that some terminals answer."""
    return b"".join(switch(mode, on=True) for mode in _REPORTS if is_on(terminal, mode))


def _one_of(terminal: Terminal, modes: tuple[int, ...], in_force: int) -> bytes:
    """Modes that exclude each other: the last one counts. `in_force` counts from 1, 0 for none."""
    on = [mode for mode in modes if is_on(terminal, mode)]
    if in_force:
        on.sort(key=lambda mode: mode == modes[in_force - 1])
    parts = [switch(mode, on=True) for mode in on]
    off = [mode for mode in modes if mode not in on]
    if on and off and not in_force:
        parts.append(switch(off[0], on=False))  # which takes all of them out of force
    return b"".join(parts)


def cursor_shape(terminal: Terminal, screen: Screen) -> bytes:
    """DECSCUSR, of one screen: some terminals have a shape for each."""
    blinking = is_on(terminal, BLINKING)
    if not terminal.cursor_shaped:
        return switch(BLINKING, on=True) if blinking else b""
    first = {0: 5, 2: 3}.get(screen.shape, 1)
    return b"\x1b[%d q" % (first + (not blinking))


def keyboard(flags: tuple[int, ...]) -> bytes:
    """The kitty keyboard's stack of one screen, on top of an empty one."""
    base = b"\x1b[=%d;1u" % flags[0] if flags[0] else b""
    return base + b"".join(b"\x1b[>%du" % pushed for pushed in flags[1:])


def charsets(sets: Charsets) -> bytes:
    """Designations and invocations; from the usual ones."""
    designations = [b"\x1b%c%s" % (slot, _SETS[held]) for slot, held in zip(_SLOTS, sets.slots, strict=True) if held]
    right = _LOCKING_RIGHT[sets.right] if sets.right != _RIGHT_BY_DEFAULT else b""
    single = _SINGLE[sets.single] if sets.single is not None else b""
    return b"".join(designations) + _LOCKING_LEFT[sets.left] + right + single


def no_charsets(sets: Charsets) -> bytes:
    """Back from these to the usual ones."""
    slots = [b"\x1b%cB" % slot for slot, held in zip(_SLOTS, sets.slots, strict=True) if held > 1]
    right = _LOCKING_RIGHT[_RIGHT_BY_DEFAULT] if sets.right != _RIGHT_BY_DEFAULT else b""
    return b"".join(slots) + (b"\x0f" if sets.left else b"") + right
