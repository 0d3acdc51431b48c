"""The state that control sequences leave behind, as far as it has to be undone.

Told of whole sequences by `ModeTracker`; see there for the sources.
"""

from __future__ import annotations

# DEC private modes that are off in a terminal that nobody switched, in the order in
# which they are reset: keyboard and reports first, so that nothing more is typed.
_OFF_BY_DEFAULT = (
    9001,  # win32-input-mode
    1003, 1002, 1001, 1000, 9,  # mouse
    1005, 1006, 1015, 1016,  # how its places are written
    1004,  # focus events
    2004,  # bracketed paste
    2031,  # colour scheme reports
    2048,  # in-band resize
    1,  # application cursor keys
    66,  # application keypad
    12,  # blinking cursor
    5,  # reverse video
)  # fmt: skip
_ON_BY_DEFAULT = (
    7,  # autowrap
    8,  # auto-repeat
    25,  # visible cursor
)
_SYNCHRONIZED, _ORIGIN, _MARGINS = 2026, 6, 69
_ALTERNATE_SCREENS = (47, 1047, 1049)
_SAVED_CURSOR = 1048

_PRIVATE_MODES = frozenset((*_OFF_BY_DEFAULT, *_ON_BY_DEFAULT, _SYNCHRONIZED, _ORIGIN, _MARGINS))
_ANSI_MODES = (2, 4, 20)
"""KAM (keyboard locked), IRM (insert), LNM (new line): ECMA-48 7."""

_SOFT_RESET = frozenset((1, 6, 25, 66, 69))
"""Modes that DECSTR resets in every terminal that knows it; of the others it is not known."""

# Colours that OSC sets, and the OSC that resets them.
_DYNAMIC_COLOURS = {number: number + 100 for number in range(10, 20)}
_PALETTE_RESETS = {4: 104, 5: 105}
_PALETTE_SIZE = 512

_CHARSET_SLOTS = {b"(": b"(B", b")": b")B", b"*": b"*B", b"+": b"+B", b"-": b")B", b".": b"*B", b"/": b"+B"}
_MODIFY_RESOURCES = 10
_KITTY_DEPTH_MAX = 99


class _KittyStack:
    """One screen's keyboard flags: how deep the remote's stack is, and whether the base changed."""

    def __init__(self) -> None:
        self.depth = 0
        self.base_flags = 0
        self.base_known = True

    def set(self, flags: int, how: int) -> None:
        """CSI = flags ; how u: 1 sets all, 2 adds, 3 removes."""
        if self.depth:
            return
        self.base_flags = flags if how == 1 else self.base_flags | flags if how == 2 else self.base_flags & ~flags

    def undo(self) -> bytes:
        pops = b"\x1b[<%du" % self.depth if self.depth else b""
        return pops + (b"\x1b[=0u" if self.base_flags else b"")


class ModeState:
    """Modes that differ from those of a terminal that nobody switched."""

    def __init__(self) -> None:
        self.title_depth = 0
        self.style_forgotten = False
        """Told to `ModeTracker`: what was styled before does not count any more."""
        self._titled = False
        self._colours: set[bytes] = set()
        self._reset()

    def _reset(self) -> None:
        """As after RIS. Titles and colours survive it in some terminals: they stay."""
        self.shifted_out = False
        self._modes: set[int] = set()
        """Private modes that are not at their default."""
        self._saved_modes: set[int] = set()
        self._ansi_modes: set[int] = set()
        self._alternate: int | None = None
        self._kitty = _KittyStack(), _KittyStack()
        self._modified_keys: set[int] = set()
        self._cursor_shape = self._region = self._linked = self._progress = False
        self._charsets: set[bytes] = set()
        self._other_coding = self._eight_bit = False
        self._styled = self._style_saved = False

    # -- what comes ---------------------------------------------------------------------

    def style(self, parameters: bytes) -> None:
        """The last SGR: only a plain reset surely leaves nothing."""
        self._styled = bool(parameters.strip(b"0;"))
