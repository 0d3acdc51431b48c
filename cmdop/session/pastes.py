"""Where a client's typing is inside a bracketed paste (xterm's ctlseqs, DECSET 2004)."""

from __future__ import annotations

from typing import Final

_START: Final = b"\x1b[200~"
_END: Final = b"\x1b[201~"
_SURE_BYTES: Final = 2
"""ESC alone is a key; from here on it may well become a marker."""


class PasteScanner:
    """Follows one client's input, split anywhere."""

    __slots__ = ("_inside", "_torn")

    def __init__(self, inside: bool = False, torn: bytes = b"") -> None:
        self._inside = inside
        self._torn = torn

    @property
    def open(self) -> bool:
        """Whether keys of others would come into the middle of a paste, or of its marker."""
        return self._inside or len(self._torn) >= _SURE_BYTES

    @property
    def state(self) -> tuple[bool, bytes]:
        """What makes an equal scanner."""
        return self._inside, self._torn

    def feed(self, data: bytes) -> None:
        if not self._inside and not self._torn and b"\x1b" not in data:
            return
        text = self._torn + data
        at = 0
        while (found := text.find(_END if self._inside else _START, at)) >= 0:
            at = found + len(_START)
            self._inside = not self._inside
        self._torn = _beginning(text[at:], _END if self._inside else _START)


def _beginning(text: bytes, marker: bytes) -> bytes:
    """The longest end of `text` with which `marker` begins."""
    return next(
        (marker[:size] for size in range(min(len(marker) - 1, len(text)), 0, -1) if text.endswith(marker[:size])), b""
    )
