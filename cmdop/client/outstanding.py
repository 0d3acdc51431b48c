"""The questions that the terminal was asked and has not answered, in their order.

Terminals answer in order. So an answer is that to the first question of its kind, and
the questions before it are not answered any more: the terminal does not know them.
Exceptions: answers for which the terminal has to ask somebody else may come late (those
with `in_order` false), and what it may also say unasked proves nothing about others.

xterm's Shift-F3, `CSI 1;2 R`, and F3 with other modifiers have the shape of a cursor's
place in the first row. Such a one is taken for the place if that can be the next answer.
Should a second place come then, which nobody asked for, the first one was the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from cmdop.limits import ANSWER_EXPECTED_SECONDS, ANSWER_SEQUENCE_MAX_BYTES, QUESTIONS_MAX, REPORT_EXPECTED_SECONDS
from cmdop.terminal.questions import CURSOR, Kind

_MODIFIED_F3 = re.compile(rb"\x1b\[1;(?:[2-9]|1[0-6])R")
"""1 and the bits of Shift, Alt, Ctrl and Meta (xterm ctlseqs, "PC-Style Function Keys")."""


@dataclass(slots=True)
class _Run:
    """The same question, `count` times in a row; forgotten at `until`."""

    kind: Kind
    mine: bool
    count: int
    until: float
    turn: int
    """Counts the runs."""


class _Doubt(NamedTuple):
    """What was dropped as a cursor's place, the answer to the run of that turn, and may have been a key."""

    key: bytes
    turn: int
    until: float


class Answered(NamedTuple):
    """An answer at the beginning of what was typed: `length` bytes, of a string those before its text."""

    length: int
    is_string: bool
    instead: bytes | None
    """What is typed in its place, mostly nothing; None for the answer itself."""


class Outstanding:
    """The queue. Told the time, in seconds, on every call that depends on it."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._turn = 0
        self._doubt: _Doubt | None = None

    def __bool__(self) -> bool:
        return bool(self._runs) or self._doubt is not None

    def ask(self, kind: Kind, mine: bool, now: float) -> None:
        """The terminal was asked; `mine` says whether its answer is to be typed."""
        until = now + (REPORT_EXPECTED_SECONDS if kind.unasked else ANSWER_EXPECTED_SECONDS)
        last = self._runs[-1] if self._runs else None
        if last is not None and last.kind is kind and last.mine is mine:
            last.count += 1
            last.until = until
            return
        self._turn += 1
        self._runs.append(_Run(kind, mine, 1, until, self._turn))
        del self._runs[:-QUESTIONS_MAX]

    def forget_late(self, now: float) -> None:
        """Give up questions that were not answered in time."""
        if any(run.until <= now for run in self._runs):
            self._runs = [run for run in self._runs if run.until > now]
        if self._doubt is not None and self._doubt.until <= now:
            self._doubt = None

    def take(self, typed: bytes, now: float) -> Answered | None:
        """The answer that `typed` begins with, which is not expected any more then; None for anything else."""
        seen: set[Kind] = set()
        for place, run in enumerate(self._runs):
            length = 0 if run.kind in seen else run.kind.match(typed)
            if length:
                return self._answered(place, typed[:length], now)
            seen.add(run.kind)
        length = CURSOR.match(typed) if self._doubt is not None else 0
        if not length or self._doubt is None or _MODIFIED_F3.match(typed):
            return None
        key, self._doubt = self._doubt.key, None
        return Answered(length, is_string=False, instead=key)

    def _answered(self, place: int, answer: bytes, now: float) -> Answered | None:
        run = self._runs[place]
        is_key = _MODIFIED_F3.fullmatch(answer) is not None
        if (is_key or run.kind.unasked) and any(before.kind.sure for before in self._runs[:place]):
            return None  # it cannot come yet, so it is no answer
        if not run.kind.many:
            run.count -= 1
        passed = 0 if is_key or run.kind.unasked else place
        self._runs = [
            each for at, each in enumerate(self._runs) if each.count and (at >= passed or not each.kind.in_order)
        ]
        if is_key:
            self._doubt = None if run.mine else _Doubt(answer, run.turn, now + ANSWER_EXPECTED_SECONDS)
        elif self._doubt is not None and run.turn > self._doubt.turn and not run.kind.unasked:
            self._doubt = None
        return Answered(len(answer), run.kind.is_string, None if run.mine else b"")

    def may_begin(self, typed: bytes) -> tuple[bool, bool]:
        """Of `typed`, which `take` made nothing of: can it become an answer, and can it become one to drop."""
        if len(typed) > ANSWER_SEQUENCE_MAX_BYTES:
            return False, False
        expected = {(run.kind, run.mine) for run in self._runs}
        if self._doubt is not None:
            expected.add((CURSOR, False))
        found = {mine for kind, mine in expected if kind.may_become(typed)}
        return bool(found), False in found
