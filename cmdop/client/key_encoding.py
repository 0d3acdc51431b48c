"""Which key an escape sequence from the terminal stands for.

A remote program may switch the terminal to an encoding in which a key that used to be
one byte arrives as a control sequence. `legacy_byte` turns those back into the byte
that the key sends in a terminal that nobody switched:

- `CSI key[:shifted[:base]];modifiers[:event];text u`: the kitty keyboard protocol
  (sw.kovidgoyal.net/kitty/keyboard-protocol), and xterm with formatOtherKeys=1;
- `CSI 27;modifiers;key ~`: xterm's modifyOtherKeys (xterm ctlseqs, "Alt and Meta Keys");
- `CSI Vk;Sc;Uc;Kd;Cs;Rc _`: the key record of win32-input-mode, `?9001`
  (microsoft/terminal, doc/specs/#4999 Improved keyboard handling in Conpty).

Only the 7-bit introducer `ESC [` counts. The 8-bit one, 0x9b, is not safe: in UTF-8 it
is the last byte of letters that people type (0xc3 0x9b is Û), in an X10 mouse report a
coordinate, so that whoever waits after it delays letters and whoever matches it may
leave because of text. No terminal in UTF-8 sends it.
"""

from __future__ import annotations

import re

from cmdop.limits import KEY_SEQUENCE_MAX_BYTES

_KEY_SEQUENCE = re.compile(rb"\x1b\[([0-9][0-9:;]*|;[0-9:;]*)([u~_])\Z")

# Modifiers of kitty and xterm: the parameter is 1 + these bits.
_SHIFT, _CTRL = 1, 4
_LOCKS = 64 | 128
"""caps_lock and num_lock: they are no part of the key that is pressed."""
_PRESS, _REPEAT, _RELEASE = 1, 2, 3

# dwControlKeyState of a Windows KEY_EVENT_RECORD.
_RIGHT_ALT, _LEFT_ALT, _RIGHT_CTRL, _LEFT_CTRL, _WINDOWS_SHIFT = 0x1, 0x2, 0x4, 0x8, 0x10
_WINDOWS_MODIFIERS = frozenset((0x10, 0x11, 0x12, 0x14, 0x5B, 0x5C, 0x90, 0x91, *range(0xA0, 0xA6)))

_KITTY_MODIFIERS = frozenset((57358, 57359, 57360, *range(57441, 57455)))
"""Lock keys, and the shift, control, alt, super, hyper, meta and level keys themselves."""

_CTRL_BYTES = {
    **{ord(letter): ord(letter) & 0x1F for letter in "abcdefghijklmnopqrstuvwxyz"},
    # Without the shift bit an upper-case letter is caps lock, as xterm reports it.
    **{ord(letter): ord(letter) & 0x1F for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    **dict.fromkeys(b" 2@", 0x00),
    **dict.fromkeys(b"3[", 0x1B),
    **dict.fromkeys(b"4\\", 0x1C),
    **dict.fromkeys(b"5]", 0x1D),
    **dict.fromkeys(b"6^~", 0x1E),
    **dict.fromkeys(b"7/_", 0x1F),
}
"""Ctrl with a key is this byte; from kitty's table of legacy ctrl mappings."""

_SHIFTED_SYMBOLS = frozenset(b"@^_")
_SHIFTED_CTRL = {ord("2"): ord("@"), ord("6"): ord("^"), ord("-"): ord("_")}
"""Symbols that need shift on a US keyboard, for terminals that do not say what shift makes of a key."""


def legacy_byte(sequence: bytes) -> int | None:
    """The byte that this press of a key sends in the legacy encoding, or None.

    None for everything that is no press of a plain character or of Ctrl with one:
    releases, keys with Alt or Super, cursor keys, answers of the terminal.
    """
    parsed = _parse(sequence)
    if parsed is None:
        return None
    fields, final = parsed
    if final == b"u":
        return _kitty_byte(fields)
    if final == b"_":
        return _windows_byte(fields)
    if len(fields) == 3 and fields[0] == [27] and len(fields[1]) == len(fields[2]) == 1:
        return _modified_byte(fields[2][0], 0, fields[1][0])
    return None


def is_silent(sequence: bytes) -> bool:
    """Whether this is a key that comes up, or a modifier key by itself: it types nothing."""
    parsed = _parse(sequence)
    if parsed is None or parsed[1] == b"~":
        return False
    fields, final = parsed
    if final == b"_":
        return _field(fields, 3) == 0 or _field(fields, 0) in _WINDOWS_MODIFIERS
    return _field(fields, 1, 1) == _RELEASE or fields[0][0] in _KITTY_MODIFIERS


def may_become_key(beginning: bytes, first_numbers: frozenset[int] | None) -> bool:
    """Whether these bytes can still grow into the encoding of a key.

    `first_numbers` are those that such a sequence may begin with (None: any). A number
    past ASCII may always come first, for the key of a keyboard in another script that
    has the wanted one as its base layout key.
    """
    if len(beginning) > KEY_SEQUENCE_MAX_BYTES:
        return False
    if len(beginning) <= 2:
        return beginning in (b"\x1b", b"\x1b[")
    body = beginning[2:]
    number = body.replace(b":", b";").partition(b";")[0]
    if not beginning.startswith(b"\x1b[") or body.strip(b"0123456789:;") or number.startswith(b"0") or len(number) > 7:
        return False
    if number == body or first_numbers is None:
        return True
    return number != b"" and (int(number) in first_numbers or int(number) >= 0x80)


def first_numbers_of(keys: bytes) -> frozenset[int] | None:
    """What the encodings of these keys may begin with; None when it may be anything."""
    if not all(1 <= key <= 26 for key in keys):
        return None
    return frozenset({27}.union(*({key + 0x40, key + 0x60} for key in keys)))


def _parse(sequence: bytes) -> tuple[list[list[int]], bytes] | None:
    """Parameters with their sub-parameters, and the final byte; an empty one is 0."""
    found = _KEY_SEQUENCE.match(sequence) if len(sequence) <= KEY_SEQUENCE_MAX_BYTES else None
    if found is None:
        return None
    fields = [[int(part or 0) for part in field.split(b":")] for field in found[1].split(b";")]
    return fields, found[2]


def _field(fields: list[list[int]], index: int, part: int = 0) -> int:
    return fields[index][part] if index < len(fields) and part < len(fields[index]) else 0


def _kitty_byte(fields: list[list[int]]) -> int | None:
    event = _field(fields, 1, 1) or _PRESS
    if len(fields) > 3 or event not in (_PRESS, _REPEAT):
        return None
    key, shifted, base = (_field(fields, 0, part) for part in range(3))
    if key >= 0x80 and base:  # a keyboard in another script: the key in that place
        key = base
    text = fields[2] if len(fields) == 3 else []
    return _modified_byte(key, shifted, _field(fields, 1) or 1, text[0] if len(text) == 1 else 0)


def _modified_byte(key: int, shifted: int, modifiers: int, text: int = 0) -> int | None:
    """The byte of `key` with a modifier parameter; `shifted` and `text` are 0 where unknown."""
    bits = (modifiers - 1) & ~_LOCKS
    if bits == _CTRL:
        return _CTRL_BYTES.get(key)
    if bits == _CTRL | _SHIFT:
        symbol = shifted or _SHIFTED_CTRL.get(key, key)
        return _CTRL_BYTES[symbol] if symbol in _SHIFTED_SYMBOLS else None
    if bits not in (0, _SHIFT):
        return None
    typed = text or (shifted if bits and shifted else key)
    return typed if 0x20 < typed < 0x7F else None


def _windows_byte(fields: list[list[int]]) -> int | None:
    key, typed, down, state = (_field(fields, index) for index in (0, 2, 3, 4))
    ctrl, alt, shift = state & (_LEFT_CTRL | _RIGHT_CTRL), state & (_LEFT_ALT | _RIGHT_ALT), state & _WINDOWS_SHIFT
    if down != 1:
        return None
    if 0x20 < typed < 0x7F:
        return typed if bool(ctrl) == bool(alt) else None  # AltGr is Ctrl and Alt together
    if not ctrl or alt:
        return None
    if typed == 0:
        return 0 if key in (0x20, 0x32) else None
    if 1 <= typed <= 26:
        return typed if key == typed + 0x40 and not shift else None
    return typed if typed < 0x20 else None
