"""What a remote program switched on in the user's terminal, and the bytes that undo it.

`ModeTracker` follows the output on its way to the terminal, at any split, without
keeping a screen. Everything that leaves no trace (text, cursor movements, all colours
but the last) is skipped inside one regular expression, so that a flood costs next to
nothing. What the sequences mean is in mode_sequences.py and mode_state.py.

The shape of sequences is that of ECMA-48 5.4 and xterm's ctlseqs
(invisible-island.net/xterm/ctlseqs). Only 7-bit controls are followed: in UTF-8 the
8-bit ones are parts of letters.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cmdop.limits import ANSWER_DUE_BYTES, TERMINAL_SEQUENCE_MAX_BYTES
from cmdop.terminal.mode_sequences import meaning
from cmdop.terminal.mode_state import ModeState
from cmdop.terminal.questions import Kind, Kinds, asked_by_string

# Finals of sequences that leave nothing to undo, for a control sequence as far as it has
# neither a private prefix nor an intermediate: skipped inside the regular expression.
_TRACELESS = rb"(?!\[[0-9;:]*[@-Z\[-bd-gi-kmovwy-~]|[DEHM\\])"

# A control sequence, a string up to what ends it, an escape sequence; each may be torn.
# Controls inside a control sequence do not end it, but for CAN, SUB and ESC; nor does,
# in some terminals, what is not ASCII.
_SEQUENCE_BYTES = (
    rb"\x1b" + _TRACELESS + rb"(?:\[[\x00-\x17\x19\x1c-\x3f\x7f-\xff]*[@-~]?"
    rb"|(\][^\x07\x18\x1a\x1b]*|[PX^_][^\x18\x1a\x1b]*)[\x07\x18\x1a]?"
    rb"|[ -/]*[0-~]?)"
)
_SEQUENCE = re.compile(_SEQUENCE_BYTES)
_SEQUENCE_OR_SHIFT = re.compile(_SEQUENCE_BYTES + rb"|[\x0e\x0f]")
_LAST_STYLE = re.compile(rb"(?s:.*)\x1b\[([0-9;:]*)m")

_TORN = re.compile(rb"\x1b(?:\[[^@-~]*|[ -/]*)")
_ENDLESS = (b"\x1b[<?>", b"\x1b  ")
"""What takes the place of the beginning of a sequence that is too long: it comes to nothing."""

_OSC_END = re.compile(rb"[\x07\x18\x1a\x1b]")
_STRING_END = re.compile(rb"[\x18\x1a\x1b]")

_CANCEL = b"\x18"
_CANCEL_STRING = b"\x18\x1b\\"
"""CAN ends an escape sequence and, with xterm, a string; ST ends it with the others."""


class Asked(NamedTuple):
    """A question to the terminal: of which kind, and where its last byte is among those fed."""

    kind: Kind
    last: int


class ModeTracker:
    """Fed with what the terminal took; knows at any time how to put it back."""

    def __init__(self) -> None:
        self._state = ModeState()
        self._tail = b""
        """The beginning of a sequence that is not complete yet."""
        self._string: bytes | None = None
        """What was kept of an unfinished string, its introducer in front."""
        self._position = 0
        self._asked_at: int | None = None
        self._fed_from = 0
        """Where in what is gone through the bytes begin that were fed last."""
        self._asked: list[Asked] = []

    def opening(self) -> bytes:
        """Bytes to write before the remote's first, so that its titles can be undone.

        They save the title (XTWINOPS 22), which nothing can ask a terminal for.
        """
        self._state.title_depth += 1
        return b"\x1b[22;0t"

    @property
    def answers_due(self) -> bool:
        """Whether the remote asked the terminal something whose answer may still come.

        True while the question is among the last `ANSWER_DUE_BYTES`: what a terminal may
        have before it, unread.
        """
        return self._asked_at is not None and self._position - self._asked_at <= ANSWER_DUE_BYTES

    def undo(self) -> bytes:
        """The bytes that undo what is on, and nothing for what is not. Changes nothing.

        Once they are fed as well, there is nothing to undo any more.
        """
        if self._string is not None:
            return _CANCEL_STRING + self._state.undo()
        return (_CANCEL if self._tail else b"") + self._state.undo()

    def feed(self, data: bytes) -> list[Asked]:
        """Follow bytes that were written to the terminal; the questions that end in them, in order."""
        self._position += len(data)
        self._asked = []
        self._fed_from = 0
        if self._string is None and not self._tail and b"\x1b" not in data:
            if b"\x0e" in data or b"\x0f" in data:
                self._state.shift(on=data.rfind(b"\x0e") > data.rfind(b"\x0f"))
            return self._asked
        at = 0
        if self._string is not None:
            at = self._rest_of_string(self._string, data)
        elif self._tail:
            self._fed_from = len(self._tail)
            data, self._tail = self._tail + data, b""
        self._follow(data, at)
        return self._asked

    def _follow(self, data: bytes, at: int) -> None:
        """Go through the sequences of `data` from `at` on."""
        styled_from = at
        pattern = _SEQUENCE_OR_SHIFT if b"\x0e" in data or b"\x0f" in data else _SEQUENCE
        for found in pattern.finditer(data, at):
            sequence, text = found.group(0, 1)
            if text is not None:
                self._follow_string(text, found.end(1), torn=found.end(1) == len(data))
                continue
            known = meaning(sequence) if len(sequence) <= TERMINAL_SEQUENCE_MAX_BYTES else None
            if known is None:
                self._follow_other(sequence, at_end=found.end() == len(data))
                continue
            effect, numbers, asks, about_drawing = known
            if about_drawing:
                self._style(data, styled_from, found.start())
                styled_from = found.end()
            if effect is not None:
                effect(self._state, numbers)
            if asks:
                self._ask(asks, found.end() - 1)
        self._style(data, styled_from, len(data))

    def _follow_other(self, sequence: bytes, at_end: bool) -> None:
        """A shift, or what is no whole sequence."""
        if sequence in (b"\x0e", b"\x0f"):
            self._state.shift(on=sequence == b"\x0e")
        elif at_end and _TORN.fullmatch(sequence):
            endless = len(sequence) > TERMINAL_SEQUENCE_MAX_BYTES
            self._tail = _ENDLESS[not sequence.startswith(b"\x1b[")] if endless else sequence

    def _ask(self, asks: Kinds, at: int) -> None:
        """Note questions whose last byte is at `at`."""
        self._asked_at = self._position
        for kind in asks:
            self._asked.append(Asked(kind, at - self._fed_from))

    def _style(self, data: bytes, start: int, stop: int) -> None:
        """Note the last SGR between two places: the ones before it do not matter."""
        last = _LAST_STYLE.match(data, start, stop)
        if last is not None:
            self._state.style(last[1])

    # -- strings --------------------------------------------------------------------------

    def _follow_string(self, text: bytes, end: int, torn: bool) -> None:
        """A string, from its introducer to before its end, which is at `end`."""
        kept = b"\x1b" + text[: TERMINAL_SEQUENCE_MAX_BYTES - 1]
        if torn:
            self._string = kept
        else:
            self._end_string(kept, end)

    def _rest_of_string(self, begun: bytes, data: bytes) -> int:
        """Take the rest of the unfinished string; where in `data` it ends."""
        end = (_OSC_END if begun.startswith(b"\x1b]") else _STRING_END).search(data)
        stop = len(data) if end is None else end.start()
        kept = begun + data[: min(stop, TERMINAL_SEQUENCE_MAX_BYTES - len(begun))]
        if end is None:
            self._string = kept
            return stop
        self._string = None
        self._end_string(kept, stop)
        return stop if end[0] == b"\x1b" else end.end()

    def _end_string(self, kept: bytes, end: int) -> None:
        """It is complete. One that is broken off counts as complete: some terminals act on it."""
        whole = len(kept) < TERMINAL_SEQUENCE_MAX_BYTES
        self._state.string(kept, whole)
        asks = asked_by_string(kept, whole)
        if asks:
            self._ask(asks, end)
