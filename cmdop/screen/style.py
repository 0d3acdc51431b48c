"""A style as the library encodes it, and the SGR sequence that switches to it.

16 bytes: three colours (text, background, underline), flags (u16), two unused. A colour
is its kind (0 none, 1 of the palette, 2 RGB) and three bytes. Flags 0 to 7 are bold,
italic, faint, blink, inverse, invisible, struck out, overlined; 8 to 10 the underline
(0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed).

SGR: ECMA-48 8.3.117 and xterm's ctlseqs. What is not in every terminal's SGR (kinds and
colours of underlines) is written with colons, so that the others skip it.
"""

from __future__ import annotations

import functools

from cmdop.screen.state import PLAIN

_ATTRIBUTES = (1, 3, 2, 5, 7, 8, 9, 53)
_TEXT, _BACKGROUND = 30, 40
_BRIGHT = 60


@functools.lru_cache(maxsize=4096)
def sgr(style: bytes) -> bytes:
    """From any style to this one."""
    flags = int.from_bytes(style[12:14], "little")
    codes = [b"%d" % code for bit, code in enumerate(_ATTRIBUTES) if flags >> bit & 1]
    underline = flags >> 8 & 7
    if underline:
        codes.append(b"4" if underline == 1 else b"4:%d" % underline)
    codes += _colour(style[0:4], _TEXT) + _colour(style[4:8], _BACKGROUND)
    if style[8] == 1:
        codes.append(b"58:5:%d" % style[9])
    elif style[8] == 2:
        codes.append(b"58:2::%d:%d:%d" % tuple(style[9:12]))
    return b"\x1b[0;%sm" % b";".join(codes) if codes else b"\x1b[m"


def _colour(colour: bytes, base: int) -> list[bytes]:
    if colour[0] == 1:
        index = colour[1]
        if index < 8:
            return [b"%d" % (base + index)]
        if index < 16:
            return [b"%d" % (base + _BRIGHT + index - 8)]
        return [b"%d;5;%d" % (base + 8, index)]
    if colour[0] == 2:
        return [b"%d;2;%d;%d;%d" % (base + 8, *colour[1:4])]
    return []


def colours_blanks(style: bytes) -> bool:
    """Whether what is erased in this style looks different from what is erased plain."""
    return style[4] != 0


def background(kind: int, content: int) -> bytes:
    """The style of a blank cell: `kind` 2 for a colour of the palette, 3 for RGB."""
    colour = bytes((1, content & 0xFF, 0, 0)) if kind == 2 else b"\x02" + content.to_bytes(3, "little")
    return PLAIN[:4] + colour + PLAIN[8:]
