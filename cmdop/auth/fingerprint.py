"""How a public key looks to people who compare it."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(public_key: bytes) -> str:
    """`SHA256:` and 43 characters of base64, as ssh shows its keys; of the 32 bytes of an X25519 key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip("=")
