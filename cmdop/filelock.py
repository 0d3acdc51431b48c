"""Locking a file that is open: held by its descriptor, so that it dies with its process.

Two descriptors exclude each other within one process too (flock(2), not POSIX record locks).
"""

from __future__ import annotations

import os
import sys

_FAR_AWAY_BYTES = 1 << 30
"""Windows locks bytes, and nobody else can read them: one that is not in the file."""


def lock(fd: int, blocking: bool) -> bool:
    """Take the lock; False when another one has it, unless blocking. Raises OSError."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            os.lseek(fd, _FAR_AWAY_BYTES, os.SEEK_SET)
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if blocking else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not blocking:  # LK_LOCK gives up after ten seconds: once more
                    return False
            else:
                os.lseek(fd, 0, os.SEEK_SET)
                return True
    else:
        import fcntl

        try:
            fcntl.flock(fd, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def unlock(fd: int) -> None:
    """Closing is not enough at once: a child that is just being started has a copy until its exec."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(fd, _FAR_AWAY_BYTES, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_UN)
