"""The key contract of an attach: which key leaves, and that nothing else is touched.

- **Ctrl-D leaves**, in whatever encoding the remote program has switched the terminal
  to: the byte 0x04; `CSI 100;5u` (kitty) with its alternate keys, its press and repeat
  events, and caps lock or num lock on; `CSI 27;5;100~` (modifyOtherKeys); the key record
  of win32-input-mode. It is found at any split across reads. Bytes before it in the same
  read are sent, bytes after it are dropped. With Shift, Alt or Super it is another key,
  and its release is none: those pass.
- **Ctrl-C is forwarded** verbatim in every encoding, and so is **every other byte**, in
  order, once.
- **Inside a bracketed paste** (`ESC [ 200 ~` to `ESC [ 201 ~`) everything is data, 0x04
  included.
- A control byte is a key wherever it stands outside a paste, so that no unfinished
  escape sequence can lock a user in: `ESC` and 0x04 in one read leaves as well.
- `--detach-keys` names another key or a sequence of keys; then Ctrl-D is a byte like any
  other. What begins such a sequence is held back until the next key tells, and is
  forwarded if that is not the next of the sequence.
- The `ESC` key is not delayed noticeably: only what can still become an encoding of the
  wanted key is held back (`ESC`, `ESC [`, `ESC [1`, `ESC [10` …), and only for
  `KEY_HOLD_SECONDS`. After that it is forwarded and still followed: a key that a slow
  line tore apart leaves all the same.

The encodings themselves, and why 0x9b is not taken for `ESC [`, are in key_encoding.py.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from cmdop.client.key_encoding import first_numbers_of, is_silent, legacy_byte, may_become_key
from cmdop.errors import UsageError
from cmdop.limits import DETACH_KEYS_MAX, KEY_SEQUENCE_MAX_BYTES

DEFAULT_DETACH_KEYS = b"\x04"
"""Ctrl-D. A detach sequence is the bytes that its keys send in the legacy encoding."""

_ESC, _BEL = 0x1B, 0x07
_PASTE_START, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_CONTROL = re.compile(rb"[\x00-\x1f]")


class Typed(NamedTuple):
    """What a read came to: bytes to send now, and whether the leaving key was completed."""

    forward: bytes
    detach: bool


class _Place(Enum):
    """Where in an escape sequence the next byte is."""

    ESCAPE = auto()
    CSI = auto()
    COUNTED = auto()
    """A known number of bytes follows: SS3, an X10 mouse report, a Linux console's F1."""
    STRING = auto()
    """An answer of the terminal: OSC, DCS, APC; up to BEL or ESC."""


class _Key(NamedTuple):
    """A key of the sequence that is held back: its bytes, and its legacy byte."""

    raw: bytes
    value: int | None


class KeyMachine:
    """The contract above as a machine without I/O, for one attach.

    Fed with whatever a read returned. The reader, while `held`, waits for no more than
    `KEY_HOLD_SECONDS` and then calls `flush`. With no `detach_keys` no key leaves: what
    types is a program.
    """

    def __init__(self, detach_keys: bytes = DEFAULT_DETACH_KEYS) -> None:
        self._keys = detach_keys
        self._special = re.compile(b"[\x1b" + re.escape(detach_keys[:1]) + b"]")
        self._first_numbers = first_numbers_of(detach_keys)
        self._matched: list[_Key] = []
        self._pasting = False
        self._paste_tail = b""
        # The escape sequence that is being read.
        self._sequence = bytearray()
        self._unsent = bytearray()
        self._place = _Place.ESCAPE
        self._missing = 0
        self._forwarded = False
        """It is no longer held back, only followed to its end."""
        self._waited = False
        """`flush` was called on it, and need not be again."""

    @property
    def held(self) -> bool:
        """Whether `flush` is wanted if no byte comes for `KEY_HOLD_SECONDS`."""
        return bool(self._sequence) and not self._waited

    def feed(self, data: bytes) -> Typed:
        """Judge what was read. Once `detach` is true the rest of `data` is dropped."""
        if not self._keys or (self._idle and b"\x1b" not in data and self._keys[0] not in data):
            return Typed(data, False)
        out, at = bytearray(), 0
        while at < len(data):
            if self._pasting:
                at = self._paste(data, at, out)
                continue
            passed_to = self._run(data, at)
            if passed_to > at:
                out += data[at:passed_to]
                at = passed_to
            elif self._judge(data[at], out):
                return Typed(bytes(out), True)
            else:
                at += 1
        return Typed(bytes(out), False)

    def flush(self) -> Typed:
        """No byte came for `KEY_HOLD_SECONDS`: what waited for one is forwarded.

        Keys of a detach sequence stay held; a lone ESC may be the last of them.
        """
        out = bytearray()
        place = self._place
        if not self.held:
            return Typed(b"", False)
        if place is _Place.CSI:
            self._forward_sequence(out)
            self._waited = True
        else:
            self._forget_sequence()
        if place is _Place.ESCAPE:
            if self._press(b"\x1b", _ESC, out):
                return Typed(bytes(out), True)
            if not self._matched:  # followed on, in case the rest of a torn key comes
                self._begin_sequence()
                self._unsent.clear()
                self._forwarded = self._waited = True
        return Typed(bytes(out), False)

    def finish(self) -> bytes:
        """The input is at its end: everything that is still held back."""
        out = bytearray()
        self._forward_sequence(out)
        self._forget_sequence()
        return bytes(out)

    # -- runs of bytes that need no judging one by one -----------------------------------

    @property
    def _idle(self) -> bool:
        return not (self._sequence or self._matched or self._pasting)

    def _run(self, data: bytes, at: int) -> int:
        """How far from `at` bytes can be passed on as they are."""
        if self._idle:
            found = self._special.search(data, at)
        elif self._place is _Place.STRING and self._forwarded:
            found = _CONTROL.search(data, at)
        else:
            return at
        return found.start() if found else len(data)

    def _paste(self, data: bytes, at: int, out: bytearray) -> int:
        """Pass on the paste that `data` has from `at` on; where it ends."""
        window = self._paste_tail + data[at:]
        end = window.find(_PASTE_END)
        if end < 0:
            self._paste_tail = window[-(len(_PASTE_END) - 1) :]
            stop = len(data)
        else:
            stop = at + end + len(_PASTE_END) - len(self._paste_tail)
            self._pasting, self._paste_tail = False, b""
        out += data[at:stop]
        return stop

    # -- one byte at a time ----------------------------------------------------------------

    def _judge(self, byte: int, out: bytearray) -> bool:
        """Take one byte; whether it completed the leaving key."""
        if self._sequence:
            if self._continues(byte):
                return self._extend(byte, out)
            if self._end_sequence(out):
                return True
        if byte == _ESC:
            self._begin_sequence()
            return False
        return self._press(bytes((byte,)), byte, out)

    def _continues(self, byte: int) -> bool:
        """Whether `byte` belongs to the escape sequence that is being read."""
        if self._place is _Place.ESCAPE and self._waited:
            return byte == ord("[")  # the ESC was a key of its own, unless this is a torn sequence
        return byte >= 0x20 or (byte == _BEL and self._place is _Place.STRING)

    def _extend(self, byte: int, out: bytearray) -> bool:
        if len(self._sequence) <= KEY_SEQUENCE_MAX_BYTES:
            self._sequence.append(byte)
        self._unsent.append(byte)
        if self._is_final(byte):
            return self._end_sequence(out)
        if self._forwarded or not self._may_wait():
            self._forward_sequence(out)
        return False

    def _is_final(self, byte: int) -> bool:
        """Whether `byte` ends the sequence; else moves on to the place after it."""
        if self._place is _Place.ESCAPE:
            self._place = {0x5B: _Place.CSI, 0x4F: _Place.COUNTED}.get(byte, self._place)
            if byte in b"]PX^_":
                self._place = _Place.STRING
            self._missing = 1
            return self._place is _Place.ESCAPE  # Alt with a character
        if self._place is _Place.CSI:
            if len(self._sequence) == 3 and byte in b"M[":
                self._place, self._missing = _Place.COUNTED, 3 if byte == ord("M") else 1
                return False
            return byte >= 0x40
        if self._place is _Place.COUNTED:
            self._missing -= 1
            return self._missing == 0
        return byte == _BEL

    def _may_wait(self) -> bool:
        """Whether what was read of the sequence is to be held back.

        Between two keys of a detach sequence any control sequence is, to its end: it may
        be the release of the first, which does not break the sequence.
        """
        if self._matched and self._place is _Place.CSI:
            return len(self._sequence) <= KEY_SEQUENCE_MAX_BYTES
        return may_become_key(bytes(self._sequence), self._first_numbers)

    def _begin_sequence(self) -> None:
        self._forget_sequence()
        self._sequence += b"\x1b"
        self._unsent += b"\x1b"

    def _forget_sequence(self) -> None:
        self._sequence.clear()
        self._unsent.clear()
        self._place = _Place.ESCAPE
        self._forwarded = self._waited = False

    def _forward_sequence(self, out: bytearray) -> None:
        """Send what is held back, in order."""
        out += b"".join(key.raw for key in self._matched)
        self._matched.clear()
        out += self._unsent
        self._unsent.clear()
        self._forwarded = True

    def _end_sequence(self, out: bytearray) -> bool:
        """The sequence is complete, or was broken off by a control byte."""
        sequence, raw, waited = bytes(self._sequence), bytes(self._unsent), self._waited
        self._forget_sequence()
        if sequence == b"\x1b":
            return not waited and self._press(raw, _ESC, out)
        if self._matched and is_silent(sequence):
            last = self._matched[-1]
            if len(last.raw) <= KEY_SEQUENCE_MAX_BYTES * DETACH_KEYS_MAX:
                self._matched[-1] = last._replace(raw=last.raw + raw)
                return False
        detach = self._press(raw, legacy_byte(sequence), out)
        self._pasting = sequence == _PASTE_START
        return detach

    def _press(self, raw: bytes, value: int | None, out: bytearray) -> bool:
        """A whole key: hold it back as part of the detach sequence, or forward it."""
        matched = self._matched
        matched.append(_Key(raw, value))
        while any(key.value != wanted for key, wanted in zip(matched, self._keys, strict=False)):
            out += matched.pop(0).raw
        if len(matched) < len(self._keys):
            return False
        matched.clear()
        return True


def parse_detach_keys(text: str) -> bytes:
    """The sequence that `--detach-keys` names, in docker's syntax.

    Keys separated by commas; each is one printable ASCII character, or `ctrl-` and one
    of a-z @ [ \\ ] ^ _. Raises UsageError.
    """
    names = text.split(",")
    if len(names) > DETACH_KEYS_MAX:
        raise UsageError(reason=f"--detach-keys takes at most {DETACH_KEYS_MAX} keys")
    return bytes(_parse_key(name, text) for name in names)


def _parse_key(name: str, text: str) -> int:
    if len(name) == 1 and "\x20" < name < "\x7f":
        return ord(name)
    prefix, key = name[:5].lower(), name[5:].lower()
    if prefix == "ctrl-" and len(key) == 1 and (key in "@[\\]^_" or "a" <= key <= "z"):
        return ord(key) & 0x1F
    raise UsageError(
        reason=f'--detach-keys "{text}": "{name}" is no key; write characters and ctrl-LETTER, '
        "separated by commas, as in ctrl-p,ctrl-q"
    )
