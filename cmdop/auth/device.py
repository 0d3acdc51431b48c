"""This client device's own static key (X25519), made at first run and kept 0600."""

from __future__ import annotations

import os
from typing import Final

from cmdop.home import Home

FILE: Final = "device.key"
_KEY_BYTES: Final = 32


def device_key(home: Home) -> bytes:
    """The private key, 32 bytes raw; two first runs at once get the same.

    Raises HomeUnusable, or ConfigCorrupt for a torn file.
    """
    return home.read(FILE, _whole) or _made(home)


def _made(home: Home) -> bytes:
    with home.locked(FILE) as file:
        key = file.read(_whole)
        if key is None:
            key = os.urandom(_KEY_BYTES)
            file.write(key)
    return key


def _whole(data: bytes) -> bytes:
    if len(data) != _KEY_BYTES:
        raise ValueError(f"it has {len(data)} bytes, and a key has {_KEY_BYTES}")
    return data
