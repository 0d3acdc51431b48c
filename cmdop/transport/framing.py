"""The one WebSocket frame that counts: a whole, binary message (RFC 6455 §5.2).

Every keystroke is six of these, made or read, and a general implementation spends more
on each than all the rest of its way. So they are made and read here, in a few steps.
Everything else that RFC 6455 has (fragments, pings, closes, nonsense) is cut out whole
and left to the libraries that know it: websocket-client where we dialled, websockets
where we accepted.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

from cmdop.errors import RemoteProtocolError
from cmdop.limits import MIB

_BINARY: Final = 0x82
"""FIN, no reserved bits, opcode 2."""
_MASKED: Final = 0x80
_SHORT_MAX_BYTES: Final = 125
_MEDIUM: Final = 126
_LONG: Final = 127
_MEDIUM_MAX_BYTES: Final = 0xFFFF
_SMALL_BYTES: Final = 8192
"""Up to here masking in Python is cheap."""
_WORTH_IMPORTING_BYTES: Final = 4 * MIB
"""Of longer ones: what masks in C takes 30 ms to import, and Python 6 for a megabyte."""


class OddFrame(NamedTuple):
    """A frame that is not a whole binary message, header included."""

    raw: bytes


def binary_frame(message: bytes, masked: bool) -> bytes:
    """A message as one frame; `masked` for the end that dialled (RFC 6455 §5.3)."""
    size = len(message)
    bit = _MASKED if masked else 0
    if size <= _SHORT_MAX_BYTES:
        header = bytes((_BINARY, bit | size))
    elif size <= _MEDIUM_MAX_BYTES:
        header = struct.pack("!BBH", _BINARY, bit | _MEDIUM, size)
    else:
        header = struct.pack("!BBQ", _BINARY, bit | _LONG, size)
    if not masked:
        return header + message
    key = os.urandom(4)
    return header + key + mask(message, key)


class _Masking:
    """How much was masked in Python that C would do faster, once it is imported."""

    long_bytes = 0


def mask(payload: bytes, key: bytes) -> bytes:
    """The payload under a key of four bytes; the same again takes it off."""
    size = len(payload)
    if size > _SMALL_BYTES:
        _Masking.long_bytes += size
        if _Masking.long_bytes > _WORTH_IMPORTING_BYTES:
            from cmdop.transport.masking import apply_mask

            return apply_mask(payload, key)
    stretched = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")


class Fragments:
    """A message that comes in pieces (RFC 6455 §5.4), as far as it has come.

    What they take in memory is what they hold, so that a flood of empty ones is for nothing.
    """

    __slots__ = ("_begun", "_max_bytes", "_message")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun, self._message = False, bytearray()

    @property
    def begun(self) -> bool:
        """Whether the first one has come, and not yet the last one."""
        return self._begun

    def add(self, piece: bytes, continues: bool, last: bool) -> bytes | None:
        """The message, once this was its last piece. Raises RemoteProtocolError for a piece that
        does not follow from those before, and for a message longer than `max_bytes`."""
        if continues != self._begun:
            raise RemoteProtocolError(reason="a fragment out of place")
        if len(self._message) + len(piece) > self._max_bytes:
            raise RemoteProtocolError(reason="a message without end")
        self._begun = True
        self._message += piece
        if not last:
            return None
        message, self._message, self._begun = bytes(self._message), bytearray(), False
        return message


class FrameReader:
    """Cuts received bytes into frames.

    `masked` says whether the other end dialled. No frame longer than `max_bytes` is
    believed: RemoteProtocolError.
    """

    __slots__ = ("_at", "_data", "_masked_bit", "_max_bytes")

    def __init__(self, masked: bool, max_bytes: int) -> None:
        self._masked_bit = _MASKED if masked else 0
        self._max_bytes = max_bytes
        self._data = b""
        self._at = 0

    @property
    def buffered(self) -> bool:
        """Whether `next` has something before more is fed: part of a frame is nothing."""
        if self._at >= len(self._data):
            return False
        size, start = self._layout(self._data, self._at)
        return size > self._max_bytes or start + size <= len(self._data)

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> bytes | OddFrame | None:
        """The next whole message, or a frame that is none, or None until more is fed."""
        data, at = self._data, self._at
        if at >= len(data):
            self._data, self._at = b"", 0  # or a flood's last piece would stay until more comes
            return None
        size, start = self._layout(data, at)
        if size > self._max_bytes:
            raise RemoteProtocolError(reason=f"a message of {size} bytes")
        end = start + size
        if end > len(data):
            return None
        self._at = end
        if data[at] != _BINARY or (data[at + 1] & _MASKED) != self._masked_bit:
            return OddFrame(data[at:end])
        if not self._masked_bit:
            return data[start:end]
        return mask(data[start:end], data[start - 4 : start])

    def _layout(self, data: bytes, at: int) -> tuple[int, int]:
        """Size and start of the payload; beyond the data while the header is not complete."""
        have = len(data) - at
        if have < 2:
            return 0, len(data) + 1
        size, start = data[at + 1] & 0x7F, at + 2
        if size >= _MEDIUM:
            wide = 2 if size == _MEDIUM else 8
            start += wide
            if have < 2 + wide:
                return 0, len(data) + 1
            size = int.from_bytes(data[at + 2 : start], "big")
        if data[at + 1] & _MASKED:
            start += 4
        return size, start
