"""Which control sequence does what to `ModeState`: the table, and its look-up.

Sources: xterm's ctlseqs (invisible-island.net/xterm/ctlseqs), ECMA-48 5.4 for the shape,
the kitty keyboard protocol (sw.kovidgoyal.net/kitty/keyboard-protocol).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from cmdop.terminal.mode_state import ModeState, Numbers
from cmdop.terminal.questions import Kinds, asked

_COMPLETE = re.compile(rb"\x1b(?:\[([<-?]?)([0-9:;]*)([ -/]*)([@-~])|([ -/]*)([0-Z\\`-~]))")
_NO_PART = bytes([*range(0x18), 0x19, *range(0x1C, 0x20), *range(0x7F, 0x100)])
"""Controls inside a sequence are carried out by the terminal, and are no part of it."""

Effect = Callable[[ModeState, Numbers], None]

_CONTROL_SEQUENCES: dict[bytes, Effect] = {
    b"?h": ModeState.set_private,  # DECSET
    b"?l": ModeState.reset_private,  # DECRST
    b"?s": ModeState.save_private,  # XTSAVE
    b"?r": ModeState.restore_private,  # XTRESTORE
    b"h": ModeState.set_ansi,  # SM
    b"l": ModeState.reset_ansi,  # RM
    b"s": ModeState.save_cursor_or_set_margins,  # SCOSC, DECSLRM
    b"u": ModeState.restore_cursor,  # SCORC
    b"r": ModeState.set_region,  # DECSTBM
    b" q": ModeState.set_cursor_shape,  # DECSCUSR
    b">u": ModeState.push_keyboard,
    b"<u": ModeState.pop_keyboard,
    b"=u": ModeState.set_keyboard,
    b">m": ModeState.modify_keys,  # XTMODKEYS
    b">n": ModeState.stop_modifying_keys,
    b"t": ModeState.window,  # XTWINOPS
}
_ESCAPE_SEQUENCES: dict[bytes, Effect] = {
    b"=": lambda state, _: state.set_private((66,)),  # DECKPAM
    b">": lambda state, _: state.reset_private((66,)),  # DECKPNM
    b"7": ModeState.save_cursor,  # DECSC
    b"8": ModeState.restore_cursor,  # DECRC
    b"c": ModeState.reset,  # RIS
    b"n": lambda state, _: state.shift(on=True),  # LS2
    b"o": lambda state, _: state.shift(on=True),  # LS3
    b" F": lambda state, _: state.set_eight_bit(on=False),  # S7C1T
    b" G": lambda state, _: state.set_eight_bit(on=True),  # S8C1T
    b"%@": lambda state, _: state.set_other_coding(on=True),  # leaves UTF-8: ECMA-35 15.4
    b"%G": lambda state, _: state.set_other_coding(on=False),
}
_CHARSET_SLOTS = {b"(": 0, b")": 1, b"-": 1, b"*": 2, b".": 2, b"+": 3, b"/": 3}

_ABOUT_DRAWING = frozenset((b"s", b"u", b"7", b"8", b"c"))
_ABOUT_DRAWING_MODES = frozenset((1048, 1049))


class Meaning(NamedTuple):
    """What a sequence does: `effect` with `numbers`, or nothing that is undone (None)."""

    effect: Effect | None
    numbers: Numbers
    asks: Kinds
    """What the terminal answers, in this order."""
    about_drawing: bool
    """It saves, restores or resets the style, which has to be told before."""


@functools.lru_cache(maxsize=512)
def meaning(sequence: bytes) -> Meaning | None:
    """The meaning of one escape or control sequence; None for one that is not complete, or none.

    To be called with short ones only: the last ones are remembered.
    """
    parsed = _COMPLETE.fullmatch(sequence[:1] + sequence[1:].translate(None, _NO_PART))
    if parsed is None:
        return None
    prefix, parameters, intermediates, final, escape_intermediates, escape_final = parsed.groups()
    if final is None:
        kind = escape_intermediates + escape_final
        effect = _ESCAPE_SEQUENCES.get(kind) or _designation(escape_intermediates, kind)
        asks = asked(b"c", (0,)) if kind == b"Z" else ()  # DECID
        return Meaning(effect, (0,), asks, about_drawing=kind in _ABOUT_DRAWING)
    kind = prefix + intermediates + final
    numbers = tuple(int(part.partition(b":")[0] or 0) for part in parameters.split(b";"))
    about_drawing = kind in _ABOUT_DRAWING or not _ABOUT_DRAWING_MODES.isdisjoint(numbers)
    return Meaning(_CONTROL_SEQUENCES.get(kind), numbers, asked(kind, numbers), about_drawing)


def _designation(intermediates: bytes, kind: bytes) -> Effect | None:
    """What designates a character set to G0, G1, G2 or G3 (ECMA-35 14.3)."""
    slot = _CHARSET_SLOTS.get(intermediates[:1])
    if slot is None:
        return None
    ascii_designated = kind[1:] == b"B"
    return lambda state, _: state.designate(slot, ascii_designated)
