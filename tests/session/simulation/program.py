"""A program in a PTY, and a terminal, as small as they can be and still tell one byte from another."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from cmdop.session.keyboard import Typist

TOGGLE, CLEAR, ASK = b"M", b"C", b"\x05"
_CONTROLS: Final = TOGGLE + CLEAR + ASK + b"\x00"
_LINE_BYTES: Final = 8
INPUT_ROOM: Final = 12
REPLAY_MAX: Final = _LINE_BYTES + 3
OUTPUT_ROOM: Final = 64
READ_BYTES: Final = 32

_BOOK: Final = bytes(random.Random(7).choices(b"abcdefghijklnopqrstuvwxyz0123456789" + 2 * TOGGLE + 2 * ASK, k=8192))
"""What every program prints. No part of it comes twice, so a byte too few or too many shows."""


class Screen(NamedTuple):
    """What a terminal shows: the last few characters, and a mode that one byte toggles."""

    text: bytes = b""
    mode: bool = False

    def fed(self, data: bytes) -> Screen:
        """The screen after these bytes more."""
        cleared = data.rfind(CLEAR)
        text = b"" if cleared >= 0 else self.text
        text += data[cleared + 1 :].translate(None, _CONTROLS)
        return Screen(text[-_LINE_BYTES:], self.mode != (data.count(TOGGLE) % 2 == 1))

    def drawn(self) -> bytes:
        """What makes this of any screen without modes."""
        return CLEAR + self.text + (TOGGLE if self.mode else b"")

    def undo(self) -> bytes:
        """What switches its modes off."""
        return TOGGLE if self.mode else b""


class Model:
    """The agent's model of the terminal. It answers questions where nobody else does."""

    def __init__(self, answering: bool) -> None:
        self.answering = answering
        self.screen = Screen()
        self.fed = 0
        self.answered: set[int] = set()
        """Offsets of the questions that it answered."""
        self._answers = 0

    def feed(self, data: bytes) -> None:
        if self.answering:
            asked = questions(data, self.fed)
            self.answered.update(asked)
            self._answers += len(asked)
        self.screen = self.screen.fed(data)
        self.fed += len(data)

    def answers(self) -> bytes:
        answers, self._answers = self._answers, 0
        return b"?" * answers


def questions(data: bytes, offset: int) -> list[int]:
    """The offsets of the questions in it."""
    found, at = [], data.find(ASK)
    while at >= 0:
        found.append(offset + at)
        at = data.find(ASK, at + 1)
    return found


class Program:
    """It reads when it is told to, prints when it is told to, and blocks when its PTY is full."""

    def __init__(self) -> None:
        self._page = 0
        self.unread = bytearray()
        """Its output in the kernel."""
        self._kept: int | None = None
        """How much of it was on its way already when the rest was thrown away."""
        self.exited = False
        self.room = INPUT_ROOM
        self.log: list[tuple[Typist, bytes]] = []
        """What was typed, in the order in which the PTY took it, and by whom."""

    def print(self, size: int) -> None:
        size = 0 if self.exited else min(size, OUTPUT_ROOM - len(self.unread))
        page = self._page % len(_BOOK)
        printed = _BOOK[page : page + size]
        self._page += len(printed)
        self.unread += printed

    def read_input(self, size: int) -> None:
        self.room = min(self.room + size, INPUT_ROOM)

    def interrupt(self, kept: int = 0) -> None:
        """What the line discipline does without NOFLSH: all but the first bytes of the output are gone."""
        if not self.exited and self._kept is None:
            del self.unread[kept:]
            self._kept = len(self.unread)

    # -- what the agent does --------------------------------------------------------------

    @property
    def readable(self) -> bool:
        return bool(self.unread) or self._kept is not None or self.exited

    @property
    def over(self) -> bool:
        """Whether it exited, and all that it wrote was read."""
        return self.exited and not self.unread and self._kept is None

    def read(self) -> tuple[bytes, bool]:
        """Output, and whether the kernel threw output away right behind it."""
        size = READ_BYTES if self._kept is None else self._kept
        flushed, self._kept = self._kept is not None, None
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data, flushed

    def write(self, typist: Typist, data: bytes) -> int:
        """How much of it the PTY took."""
        taken = min(len(data), self.room)
        self.room -= taken
        if taken:
            self.log.append((typist, data[:taken]))
        return taken
