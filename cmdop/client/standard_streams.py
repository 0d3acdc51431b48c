"""This process's own standard streams, as plain descriptors: blocking, whole, in bytes.

Whoever started us may have made them non-blocking, for itself too: they are left as they
are, and waited for.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable


def reader(fd: int) -> Callable[[int], bytes]:
    """Reads at most so many bytes, b"" at the end; blocks, and nothing wakes it."""

    def read(size: int) -> bytes:
        while True:
            try:
                return os.read(fd, size)
            except BlockingIOError:
                select.select([fd], [], [])
            except OSError:  # a terminal that is gone, a closed descriptor
                return b""

    return read


def writer(fd: int) -> Callable[[bytes], None]:
    """Writes everything; blocks, and nothing wakes it. Raises OSError."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                select.select([], [fd], [])

    return write


def closer(fd: int) -> Callable[[], None]:
    """Lets go of a descriptor, so that whoever reads it sees the end. Its number stays taken."""

    def close() -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd)
        os.close(nowhere)

    return close
