"""This client device's own static key (X25519), made at first run and kept 0600."""

from __future__ import annotations

import os
from typing import Final

from cmdop.home import Home

FILE: Final = "device.key"
_KEY_BYTES: Final = 32


def device_key(home: Home) -> bytes:
    """The private key, 32 bytes raw. Raises HomeUnusable, or ConfigCorrupt for a torn file."""
    key = home.read_bytes(FILE)
    if key is None:
        key = os.urandom(_KEY_BYTES)
        home.write_bytes(FILE, key)
    if len(key) != _KEY_BYTES:
        raise home.set_aside(FILE, f"it has {len(key)} bytes, and a key has {_KEY_BYTES}")
    return key
