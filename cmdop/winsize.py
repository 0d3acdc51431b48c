"""The size of a terminal: rows first, then columns, always this tuple."""

from __future__ import annotations

from typing import NamedTuple

from cmdop.limits import WINSIZE_MAX


class Winsize(NamedTuple):
    """Rows and columns of a terminal, in character cells."""

    rows: int
    cols: int

    def clamped(self) -> Winsize:
        """The nearest size that a PTY can have: 1 to `WINSIZE_MAX` each way."""
        return Winsize(min(max(self.rows, 1), WINSIZE_MAX), min(max(self.cols, 1), WINSIZE_MAX))


DEFAULT_WINSIZE = Winsize(24, 80)
