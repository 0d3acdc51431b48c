"""Waiting for a connection to bring something and for the terminal to take something."""

from __future__ import annotations

import select
from typing import Protocol


class Readable(Protocol):
    def fileno(self) -> int: ...


def wait_for(readable: Readable | None, writable_fd: int | None, timeout_seconds: float) -> tuple[bool, bool]:
    """Block until the one can be read or the other written; which of them.

    Both are false when time is up. A closed connection counts as readable: the read
    will say so. It is select, because poll does not know terminals on macOS, nor
    anything on Windows.
    """
    fd = -1 if readable is None else readable.fileno()
    if readable is not None and fd < 0:
        return True, False
    wanted = [fd] if fd >= 0 else []
    takers = [] if writable_fd is None else [writable_fd]
    try:
        came, room, _ = select.select(wanted, takers, [], max(0.0, timeout_seconds))
    except (OSError, ValueError):  # it was closed meanwhile
        return True, False
    return bool(came), bool(room)
