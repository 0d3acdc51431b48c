"""What a terminal types, without the answers that are not to be typed.

A machine without I/O, fed with whatever a read returned, in front of the key contract.
Everything else passes as it is, in order, once. Inside a bracketed paste nothing is an
answer. Held back is only what can still become an answer to drop, and that only for
`KEY_HOLD_SECONDS`: after that it is forwarded, and its rest as well.
"""

from __future__ import annotations

import re

from cmdop.client.outstanding import Answered, Outstanding
from cmdop.limits import ANSWER_EXPECTED_SECONDS, ANSWER_SEQUENCE_MAX_BYTES

_ESC, _BEL, _BACKSLASH = 0x1B, 0x07, 0x5C
_PASTE_START, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_CONTROL = re.compile(rb"[\x00-\x1f]")
"""Ends a string wherever it stands: no unfinished one can lock a user in (see keys.py)."""


class _Text:
    """The text of an answer that is a string, up to its end."""

    def __init__(self, dropped: bool, until: float) -> None:
        self.dropped, self.until = dropped, until


class Sieve:
    """Drops the answers that `outstanding` says are to be dropped."""

    def __init__(self, outstanding: Outstanding) -> None:
        self._outstanding = outstanding
        self._unfinished = b""
        """What the next bytes may go on with; its first `_passed` bytes were forwarded."""
        self._passed = 0
        self._pasting = False
        self._text: _Text | None = None
        self._out = bytearray()

    @property
    def busy(self) -> bool:
        """Whether bytes without an ESC among them have to be judged, too."""
        return bool(self._unfinished) or self._pasting or self._text is not None

    @property
    def held(self) -> bool:
        """Whether `flush` is wanted if no byte comes for `KEY_HOLD_SECONDS`."""
        return len(self._unfinished) > self._passed

    def flush(self) -> bytes:
        """No byte came for `KEY_HOLD_SECONDS`: what was held back. It is still followed to its end."""
        held, self._passed = self._unfinished[self._passed :], len(self._unfinished)
        return held

    def sift(self, typed: bytes, now: float) -> bytes:
        """What is left of `typed` and of what was held back before."""
        self._outstanding.forget_late(now)
        if not self.busy and not self._outstanding:
            return self._nothing_expected(typed)
        if self._text is not None and self._text.until <= now:
            self._text = None
        data, self._unfinished = self._unfinished + typed, b""
        self._out = bytearray()
        at = 0
        while at < len(data):
            if self._text is not None:
                at = self._follow_text(data, at, self._text)
            elif self._pasting:
                at = self._follow_paste(data, at)
            else:
                at = self._judge(data, at, now)
        if not self._unfinished:
            self._passed = 0
        return bytes(self._out)

    def _nothing_expected(self, typed: bytes) -> bytes:
        """All of it, once it is known whether a paste is going on at its end."""
        escape = typed.rfind(b"\x1b")
        if escape >= 0:
            self._pasting = typed.rfind(_PASTE_START) > typed.rfind(_PASTE_END)
            if (_PASTE_END if self._pasting else _PASTE_START).startswith(typed[escape:]):
                self._unfinished = typed[escape:]
                self._passed = len(self._unfinished)
        return typed

    def _forward(self, data: bytes, start: int, stop: int) -> None:
        self._out += data[max(start, self._passed) : stop]

    def _pass_on(self, data: bytes, at: int, length: int) -> int:
        self._forward(data, at, at + length)
        return at + length

    def _keep(self, data: bytes, start: int, forward: bool) -> int:
        """The rest of `data` is not finished; forwarded all the same, or held back."""
        if forward:
            self._forward(data, start, len(data))
        self._unfinished = data[start:]
        self._passed = len(self._unfinished) if forward else 0
        return len(data)

    def _judge(self, data: bytes, at: int, now: float) -> int:
        """Go on from `at`, outside of strings and pastes; how far that went."""
        escape = data.find(b"\x1b", at)
        if escape < 0:
            escape = len(data)
        self._forward(data, at, escape)
        rest = data[escape : escape + ANSWER_SEQUENCE_MAX_BYTES + 1]
        if rest.startswith(_PASTE_START):
            self._pasting = True
            return self._pass_on(data, escape, len(_PASTE_START))
        answer = self._outstanding.take(rest, now) if rest else None
        if answer is not None:
            return self._take_answer(data, escape, answer, now)
        if rest and escape + len(rest) == len(data):
            answers, to_drop = self._outstanding.may_begin(rest)
            if answers or _PASTE_START.startswith(rest):
                return self._keep(data, escape, forward=not to_drop or self._passed > escape)
        return self._pass_on(data, escape, min(len(rest), 1))

    def _take_answer(self, data: bytes, at: int, answer: Answered, now: float) -> int:
        """An answer, at `at`; one whose beginning was forwarded is forwarded to its end."""
        dropped = answer.instead is not None and self._passed <= at
        if answer.is_string:
            self._text = _Text(dropped, now + ANSWER_EXPECTED_SECONDS)
        if not dropped:
            return self._pass_on(data, at, answer.length)
        self._out += answer.instead or b""
        return at + answer.length

    def _follow_paste(self, data: bytes, at: int) -> int:
        end = data.find(_PASTE_END, at)
        if end >= 0:
            self._pasting = False
            return self._pass_on(data, at, end - at + len(_PASTE_END))
        escape = data.find(b"\x1b", max(at, len(data) - len(_PASTE_END) + 1))
        torn = escape if escape >= 0 and _PASTE_END.startswith(data[escape:]) else len(data)
        self._forward(data, at, torn)
        return self._keep(data, torn, forward=True)

    def _follow_text(self, data: bytes, at: int, text: _Text) -> int:
        found = _CONTROL.search(data, at)
        stop = len(data) if found is None else found.start()
        torn = stop == len(data) - 1 and data[stop] == _ESC
        if found is not None and not torn:
            self._text = None
            if data[stop] == _BEL:
                stop += 1
            elif data[stop] == _ESC and data[stop + 1] == _BACKSLASH:
                stop += 2
        if not text.dropped:
            self._forward(data, at, stop)
        return self._keep(data, stop, forward=not text.dropped) if torn else stop
