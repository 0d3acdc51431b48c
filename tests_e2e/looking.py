"""Somebody who looks at a terminal as a whole, for programs that draw on it rather than write lines."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

import pyte

from tests_e2e.terminal import UserTerminal
from tests_e2e.timing import START_SECONDS

_PIECE_BYTES = 65536


class Looking:
    """Reads a terminal alone from now on, and answers what it is asked as terminals do.

    Its lines are those of pyte's screen, without blanks at their ends.
    """

    def __init__(self, at: UserTerminal, rows: int = 24, cols: int = 80) -> None:
        self._at = at
        self._screen = pyte.Screen(cols, rows)
        self._screen.write_process_input = lambda text: at.type(text.encode())
        self._stream = pyte.ByteStream(self._screen)
        self.seen = b""
        at.resize(rows, cols)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def line(self, part: str) -> str:
        """The first line that has this in it; an empty text where none has."""
        return next((line for line in self.lines if part in line), "")

    def until(self, happened: Callable[[], bool], timeout_seconds: float = START_SECONDS) -> None:
        """Until this holds of what is shown; looked at whenever something new is."""
        deadline = time.monotonic() + timeout_seconds
        while not happened():
            left_seconds = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._at.fileno()], [], [], left_seconds)
            assert ready, f"not within {timeout_seconds:g} s:\n{self.text}"
            piece = os.read(self._at.fileno(), _PIECE_BYTES)
            self.seen += piece
            self._stream.feed(piece)

    def until_shown(self, *parts: str, timeout_seconds: float = START_SECONDS) -> None:
        self.until(lambda: all(part in self.text for part in parts), timeout_seconds)

    def until_gone(self, part: str) -> None:
        self.until(lambda: part not in self.text)

    def resize(self, rows: int, cols: int) -> None:
        """Make the window another size."""
        self._screen.resize(rows, cols)
        self._at.resize(rows, cols)
