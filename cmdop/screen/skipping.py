"""Leaving out the rest of a control string that has become too long to keep."""

from __future__ import annotations

import re

_OSC = b"\x1b]"
_STRINGS = (b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_")
_END_OF_OSC = re.compile(rb"[\x07\x18\x1a\x1b]")
_END_OF_STRING = re.compile(rb"[\x18\x1a\x1b]")
_ESC = 0x1B


class Skipping:
    """Whether a string (ECMA-48 5.6: OSC, DCS, SOS, PM, APC) is being left out."""

    def __init__(self) -> None:
        self._end: re.Pattern[bytes] | None = None

    def begin(self, unfinished: bytes) -> None:
        """What is not finished is to be forgotten; the rest of it, if it is a string, too."""
        if unfinished.startswith(_OSC):
            self._end = _END_OF_OSC
        elif unfinished.startswith(_STRINGS):
            self._end = _END_OF_STRING

    def rest(self, data: bytes) -> bytes:
        """What of the output does not belong to the string."""
        if self._end is None:
            return data
        end = self._end.search(data)
        if end is None:
            return b""
        self._end = None
        return data[end.start() if data[end.start()] == _ESC else end.end() :]

    @property
    def is_on(self) -> bool:
        return self._end is not None

    @property
    def pending(self) -> bytes:
        """What makes a terminal leave out the rest, too: an OSC that none knows, or a PM."""
        if self._end is None:
            return b""
        return b"\x1b]7777;" if self._end is _END_OF_OSC else b"\x1b^"
