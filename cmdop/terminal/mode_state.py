"""The state that control sequences leave in a terminal, as far as it has to be undone.

Besides what ctlseqs has: Contour's synchronized output (2026), colour scheme reports
(2031) and in-band resize (2048), microsoft/terminal's win32-input-mode (9001), and
ConEmu's progress (OSC 9;4).

Where terminals differ, a mode counts as on: to undo what is off already does no harm.
So the soft reset (DECSTR) clears nothing here: some terminals do not know it.
"""

from __future__ import annotations

import copy

from cmdop.terminal.mode_colours import Colours
from cmdop.terminal.mode_parts import Drawing, Keyboard

# DEC private modes that are off in a terminal that nobody switched, in the order in
# which they are undone: keyboard and reports first, so that nothing more is typed.
_OFF_BY_DEFAULT = (
    *(9001,),  # win32-input-mode
    *(1003, 1002, 1001, 1000, 9),  # mouse
    *(1005, 1006, 1015, 1016),  # how its places are written
    *(1004, 2004),  # focus events, bracketed paste
    *(2031, 2048),  # reports of the colour scheme and of the size
    *(1, 66),  # application cursor keys and keypad
    *(12, 5),  # blinking cursor, reverse video
)
_ON_BY_DEFAULT = (7, 8, 25)
"""Autowrap, auto-repeat, the visible cursor."""
_ORIGIN, _MARGINS, _KEYPAD, _SAVE_CURSOR, _SYNCHRONIZED = 6, 69, 66, 1048, 2026
_ALTERNATE_SCREENS = (47, 1047, 1049)
_SWITCHES = frozenset((*_OFF_BY_DEFAULT, *_ON_BY_DEFAULT, _MARGINS, _SYNCHRONIZED))
"""Private modes that are no more than on or off."""

_ANSI_MODES = (2, 4, 20)
"""Keyboard locked, insert, new line (KAM, IRM, LNM: ECMA-48 7)."""
_MODIFIED_KEYS = range(10)
"""Resources of XTMODKEYS, modifyOtherKeys (4) among them."""
_TITLES_MAX = 99

Numbers = tuple[int, ...]
"""The parameters of a control sequence, at least one; one that is missing is 0."""


class ModeState:
    """What differs from a terminal that nobody switched.

    The methods that take `Numbers` are the effects of control sequences; which one has
    which is in mode_sequences.py.
    """

    def __init__(self) -> None:
        self.title_depth = 0
        """Titles on the terminal's stack that were not popped."""
        self._colours = Colours()
        self.reset()

    def reset(self, _numbers: Numbers = ()) -> None:
        """As RIS leaves it. Titles and colours survive that in some terminals."""
        self._drawing = Drawing()
        self._saved = [Drawing(), Drawing()]
        self._modes: set[int] = set()
        """Of `_SWITCHES`, those that are not at their default."""
        self._saved_modes: dict[int, bool] = {}
        self._ansi_modes: set[int] = set()
        self._alternate: int | None = None
        """The private mode by which the alternate screen was entered."""
        self._keyboards = Keyboard(), Keyboard()
        self._modified_keys: set[int] = set()
        self._region = self._cursor_shape = self._linked = self._progress = False
        self._other_coding = self._eight_bit = False

    @property
    def _screen(self) -> int:
        """0 for the primary screen, 1 for the alternate one."""
        return 0 if self._alternate is None else 1

    # -- modes ------------------------------------------------------------------------------

    def set_private(self, numbers: Numbers) -> None:
        for mode in numbers:
            self._switch(mode, on=True)

    def reset_private(self, numbers: Numbers) -> None:
        for mode in numbers:
            self._switch(mode, on=False)

    def _switch(self, mode: int, on: bool) -> None:
        if mode in _SWITCHES:
            if on != (mode in _ON_BY_DEFAULT):
                self._modes.add(mode)
            else:
                self._modes.discard(mode)
        elif mode in _ALTERNATE_SCREENS:
            self._switch_screen(mode, on)
        elif mode == _ORIGIN:
            self._drawing.origin = on
        elif mode == _SAVE_CURSOR:
            (self.save_cursor if on else self.restore_cursor)()

    def _switch_screen(self, mode: int, on: bool) -> None:
        if on and self._alternate is None:
            if mode == 1049:
                self.save_cursor()
            self._alternate = mode
        elif not on and self._alternate is not None:
            self._alternate = None
            if mode == 1049:
                self.restore_cursor()

    def save_private(self, numbers: Numbers) -> None:
        for mode in numbers:
            if mode in _SWITCHES:
                self._saved_modes[mode] = (mode in self._modes) != (mode in _ON_BY_DEFAULT)
            elif mode == _ORIGIN:
                self._saved_modes[mode] = self._drawing.origin

    def restore_private(self, numbers: Numbers) -> None:
        for mode in numbers:
            if mode in self._saved_modes:
                self._switch(mode, self._saved_modes[mode])

    def set_ansi(self, numbers: Numbers) -> None:
        self._ansi_modes.update(mode for mode in numbers if mode in _ANSI_MODES)

    def reset_ansi(self, numbers: Numbers) -> None:
        self._ansi_modes.difference_update(numbers)

    # -- how text is drawn --------------------------------------------------------------------

    def style(self, parameters: bytes) -> None:
        """The last SGR so far: only a plain reset surely leaves nothing on."""
        self._drawing.styled = bool(parameters.strip(b"0;"))

    def shift(self, on: bool) -> None:
        """SO or SI: G1 is drawn instead of G0, or is not."""
        self._drawing.shifted_out = on

    def designate(self, slot: int, ascii_designated: bool) -> None:
        """A character set for G0 to G3."""
        if ascii_designated and not self._drawing.charsets:  # most programs do this all the time
            return
        other = frozenset(() if ascii_designated else (slot,))
        self._drawing.charsets = (self._drawing.charsets - {slot}) | other

    def save_cursor(self, _numbers: Numbers = ()) -> None:
        self._saved[self._screen] = copy.copy(self._drawing)

    def restore_cursor(self, _numbers: Numbers = ()) -> None:
        self._drawing = copy.copy(self._saved[self._screen])

    def save_cursor_or_set_margins(self, _numbers: Numbers) -> None:
        if _MARGINS not in self._modes:
            self.save_cursor()

    def set_region(self, numbers: Numbers) -> None:
        self._region = numbers[0] > 1 or any(numbers[1:])

    def set_cursor_shape(self, numbers: Numbers) -> None:
        self._cursor_shape = numbers[0] != 0

    def set_other_coding(self, on: bool) -> None:
        self._other_coding = on

    # -- the keyboard ---------------------------------------------------------------------------

    def push_keyboard(self, _numbers: Numbers) -> None:
        self._keyboards[self._screen].push()

    def pop_keyboard(self, numbers: Numbers) -> None:
        self._keyboards[self._screen].pop(max(numbers[0], 1))

    def set_keyboard(self, numbers: Numbers) -> None:
        self._keyboards[self._screen].set(numbers[0], numbers[1] if len(numbers) > 1 else 1)

    def modify_keys(self, numbers: Numbers) -> None:
        """With a value: modified. Without: back to what it was, and without a resource all of them."""
        if len(numbers) > 1 and numbers[0] in _MODIFIED_KEYS:
            self._modified_keys.add(numbers[0])
        elif numbers == (0,):
            self._modified_keys.clear()
        else:
            self._modified_keys.discard(numbers[0])

    def stop_modifying_keys(self, numbers: Numbers) -> None:
        """Off is not what it was, either."""
        self._modified_keys.update(each for each in numbers[:1] if each in _MODIFIED_KEYS)

    def set_eight_bit(self, on: bool) -> None:
        """Whether the terminal sends 8-bit controls."""
        self._eight_bit = on

    # -- the window -------------------------------------------------------------------------------

    def window(self, numbers: Numbers) -> None:
        if numbers[0] == 22:
            self.title_depth = min(self.title_depth + 1, _TITLES_MAX)
        elif numbers[0] == 23:
            self.title_depth = max(self.title_depth - 1, 0)

    def string(self, kept: bytes, whole: bool) -> None:
        """An OSC, DCS, APC, PM or SOS, cut if not `whole`."""
        if not kept.startswith(b"\x1b]"):
            return
        number, _, rest = kept[2:].partition(b";")
        if number == b"8":
            self._linked = bool(rest.partition(b";")[2])
        elif number == b"9" and rest.startswith(b"4;"):
            self._progress = rest[2:3] not in (b"", b"0", b";")
        elif number.isdigit() and len(number) <= 3:
            self._colours.string(int(number), rest, whole)

    # -- how it is undone ----------------------------------------------------------------------------

    def undo(self) -> bytes:
        """The bytes that undo all of it. Changes nothing.

        The alternate screen is left first: what is below it comes back with the way in
        which text was drawn there, and is undone after that.
        """
        steps = [
            b"\x1b[?2026l" if _SYNCHRONIZED in self._modes else b"",
            b"\x1b F" if self._eight_bit else b"",
            b"\x1b%G" if self._other_coding else b"",
            self._undo_alternate(),
        ]
        left = copy.copy(self)
        if left._alternate is not None:
            left._switch_screen(left._alternate, on=False)
        steps += [left._undo_keys(), left._undo_places(), left._undo_drawing(), left._undo_looks()]
        return b"".join(steps)

    def _undo_alternate(self) -> bytes:
        """Undo what belongs to the alternate screen, and leave it."""
        keyboard = self._keyboards[1].undo()
        if self._alternate is None:
            return b"\x1b[?47h" + keyboard + b"\x1b[?47l" if keyboard else b""
        region = b"\x1b[r" if self._region else b""
        origin = b"\x1b[?6l" if self._drawing.origin else b""
        return keyboard + origin + region + b"\x1b[?%dl" % self._alternate

    def _undo_keys(self) -> bytes:
        """What makes a terminal type other bytes, or more of them; and other switches."""
        steps = [self._keyboards[0].undo()]
        steps += [b"\x1b[>%dm" % resource for resource in sorted(self._modified_keys)]
        for mode in _OFF_BY_DEFAULT:
            if mode in self._modes:
                steps.append(b"\x1b>" if mode == _KEYPAD else b"\x1b[?%dl" % mode)
        steps += [b"\x1b[?%dh" % mode for mode in _ON_BY_DEFAULT if mode in self._modes]
        steps += [b"\x1b[%dl" % mode for mode in _ANSI_MODES if mode in self._ansi_modes]
        return b"".join(steps)

    def _undo_places(self) -> bytes:
        """Scroll region, margins and origin. All of them move the cursor, which has to stay.

        DECRC would bring the origin mode back with the place; then the cursor goes to
        the bottom, where nothing is overwritten.
        """
        reset = b"\x1b[?69l" if _MARGINS in self._modes else b""
        reset += b"\x1b[r" if self._region else b""
        if self._drawing.origin:
            return b"\x1b[?6l" + reset + b"\x1b[9999;1H"
        return b"\x1b7" + reset + b"\x1b8" if reset else b""

    def _undo_drawing(self) -> bytes:
        steps = [b"\x0f" if self._drawing.shifted_out else b""]
        steps += [b"\x1b%cB" % b"()*+"[slot] for slot in sorted(self._drawing.charsets)]
        steps.append(b"\x1b[0m" if self._drawing.styled else b"")
        steps.append(b"\x1b]8;;\x1b\\" if self._linked else b"")
        return b"".join(steps)

    def _undo_looks(self) -> bytes:
        steps = [
            b"\x1b[0 q" if self._cursor_shape else b"",
            self._colours.undo(),
            b"\x1b]9;4;0\x1b\\" if self._progress else b"",
            b"\x1b[23;0t" * self.title_depth,
        ]
        return b"".join(steps)
