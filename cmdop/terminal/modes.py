"""What a remote program switched on in the user's terminal, and the bytes that undo it.

`ModeTracker` follows the output on its way to the terminal, at any split, without
keeping a screen. Everything that leaves no trace (text, colours, cursor movements) is
skipped inside one regular expression, so that a flood costs next to nothing.

Sources: xterm's ctlseqs (invisible-island.net/xterm/ctlseqs), ECMA-48 for the shape of
sequences, the kitty keyboard protocol (sw.kovidgoyal.net/kitty/keyboard-protocol),
Contour's synchronized output (2026), colour scheme reports (2031) and in-band resize
(2048), microsoft/terminal's win32-input-mode (9001). Only 7-bit controls are followed:
in UTF-8 the 8-bit ones are parts of letters.
"""

from __future__ import annotations

import re

from cmdop.limits import ANSWER_DUE_BYTES, TERMINAL_SEQUENCE_MAX_BYTES
from cmdop.terminal.mode_state import ModeState

# Finals of control sequences that leave no mode on, as far as they have neither a private
# prefix nor an intermediate: skipped without leaving the regular expression.
_TRACELESS = rb"(?!\[[0-9;:]*[@-Z\[-bd-gi-kmosv-wy-~]|[78DEHMZ\\])"

# ECMA-48 5.4: parameters and intermediates, then a final. Controls in between are carried
# out by the terminal and do not end the sequence; CAN, SUB, ESC and what is not ASCII do.
_BODY = rb"([\x00-\x17\x19\x1c-\x3f\x7f]*)([@-~])?"
_ESCAPE = rb"\x1b" + _TRACELESS + rb"(?:\[" + _BODY + rb"|([\]PX^_])|([ -/]*)([0-~])?)"

_SEQUENCE = re.compile(_ESCAPE)
_SEQUENCE_OR_SHIFT = re.compile(_ESCAPE + rb"|([\x0e\x0f])")
_LAST_STYLE = re.compile(rb"(?s:.*)\x1b\[([0-9;:]*)m")

_OSC_END = re.compile(rb"[\x07\x18\x1a\x1b]")
_STRING_END = re.compile(rb"[\x18\x1a\x1b]")
_CONTROLS = bytes([*range(0x20), 0x7F])

_CANCEL = b"\x18"
_CANCEL_STRING = b"\x18\x1b\\"
"""CAN ends an escape sequence and, with xterm, a string; ST ends it with the others."""


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

    def opening(self) -> bytes:
        """Bytes to write before the remote's first, so that its titles can be undone.

        Saves the terminal's title (XTWINOPS 22). Not to be called in the middle of output.
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

    def feed(self, data: bytes) -> None:
        """Follow bytes that were written to the terminal."""
        self._position += len(data)
        if self._string is None and not self._tail and b"\x1b" not in data:
            if b"\x0e" in data or b"\x0f" in data:
                self._state.shifted_out = data.rfind(b"\x0e") > data.rfind(b"\x0f")
            return
        at = 0
        if self._string is not None:
            at = self._end_string(data, 0)
        elif self._tail:
            data, self._tail = self._tail + data, b""
        self._follow(data, at)

    def _follow(self, data: bytes, at: int) -> None:
        """Go through the sequences of `data` from `at` on."""
        styled_from = at
        pattern = _SEQUENCE_OR_SHIFT if b"\x0e" in data or b"\x0f" in data else _SEQUENCE
        while found := pattern.search(data, at):
            at = found.end()
            body, final, string, intermediates, escape_final = found.group(1, 2, 3, 4, 5)
            if final is not None:
                self._control_sequence(body, final)
            elif escape_final is not None:
                self._state.escape_sequence(intermediates, escape_final)
            elif string is not None:
                self._string = data[found.start() : at]
                at = self._end_string(data, at)
            elif body is None and intermediates is None:
                self._state.shifted_out = found.group() == b"\x0e"
            elif at == len(data):
                self._keep(data[found.start() :])
            if self._state.style_forgotten:
                self._state.style_forgotten = False
                styled_from = at
        last = _LAST_STYLE.match(data, styled_from)
        if last is not None:
            self._state.style(last[1])

    def _keep(self, torn: bytes) -> None:
        """Remember the beginning of a sequence. An endless one becomes one without a meaning."""
        self._tail = torn if len(torn) <= TERMINAL_SEQUENCE_MAX_BYTES else torn[:2] + b"<?>"

    def _control_sequence(self, body: bytes, final: bytes) -> None:
        body = body.translate(None, _CONTROLS)
        if self._state.control_sequence(body, final):
            self._asked_at = self._position

    def _end_string(self, data: bytes, at: int) -> int:
        """Take the rest of a string from `at` on; where it ends.

        A string that is broken off counts as complete: some terminals act on it.
        """
        kept = self._string or b""
        end = (_OSC_END if kept.startswith(b"\x1b]") else _STRING_END).search(data, at)
        stop = len(data) if end is None else end.start()
        kept += data[at : min(stop, at + TERMINAL_SEQUENCE_MAX_BYTES - len(kept))]
        self._string = kept
        if end is None:
            return stop
        self._string = None
        if self._state.string(kept):
            self._asked_at = self._position
        return stop if end.group() == b"\x1b" else end.end()
