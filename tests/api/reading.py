"""Reading the output of an attached session until something is there."""

from __future__ import annotations

import re
import time

import cmdop

TIMEOUT_SECONDS = 10.0


def read_until(session: cmdop.AttachedSession, pattern: bytes) -> bytes:
    """The output up to and with the first match."""
    output, until = b"", time.monotonic() + TIMEOUT_SECONDS
    while not re.search(pattern, output):
        data = session.read(max(0.0, until - time.monotonic()))
        assert data, output
        output += data
    return output


def read_to_end(session: cmdop.AttachedSession) -> bytes:
    """All output until the session ended, or was detached from."""
    output, until = b"", time.monotonic() + TIMEOUT_SECONDS
    while (data := session.read(max(0.0, until - time.monotonic()))) != b"":
        assert data is not None, output
        output += data
    return output
