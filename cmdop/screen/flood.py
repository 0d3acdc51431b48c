"""Which output need not be shown to a model, as nothing is left of it in the end.

Text without any sequence changes a terminal only in what is on its screen, in its
scrollback and where its cursor is. Once so many lines of more such text have come that
they fill both, all of that is as if the text had never been. So a model that is behind in
a flood of text may leave out all but the end of it. (The library forgets the oldest lines
of the scrollback by pages, so that how many of them are left may be another number.)
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import NamedTuple

_TEXT = string.printable.encode().translate(None, b"\x0b\x0c")
"""ASCII, and of the controls only tab, line feed and carriage return."""


class Piece(NamedTuple):
    """Some output."""

    data: bytes
    lines: int
    """How many of them end in it; 0 when it is more than text with line ends in it."""


def is_plain(data: bytes) -> bool:
    """Whether it is text and line ends and no more."""
    return not data.translate(None, _TEXT)


def piece(data: bytes) -> Piece:
    """The piece of this output."""
    return Piece(data, data.count(b"\n") if b"\r" in data and is_plain(data) else 0)


def left_out(pieces: Iterable[Piece], lines: int) -> int:
    """How many of the first pieces may be left out, if screen and scrollback hold so many lines.

    The first piece that stays does not count for them: only from its first carriage return
    on is the cursor where it would have been.
    """
    text: list[int] = []
    for each in pieces:
        if not each.lines:
            break  # what comes from here on finds the terminal as it would have been
        text.append(each.lines)
    seen = 0
    for at in range(len(text) - 1, 1, -1):
        seen += text[at]
        if seen >= lines:
            return at - 1
    return 0
