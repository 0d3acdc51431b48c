"""Masking of long payloads, in C: 2 µs for 60 KB instead of 200.

Apart from framing.py because importing websockets takes longer than a short attach
should: it is imported when there is much to mask.
"""

from __future__ import annotations

from websockets.frames import apply_mask as _apply_mask  # type: ignore[attr-defined]


def apply_mask(payload: bytes, key: bytes) -> bytes:
    """The payload under a key of four bytes (RFC 6455 §5.3)."""
    return _apply_mask(payload, key)
