"""Waiting for a connection to bring something and for the terminal to take something."""

from __future__ import annotations

import select
from typing import Protocol


class Readable(Protocol):
    def fileno(self) -> int: ...


def wait_for(readable: Readable | None, writable_fd: int | None, timeout_seconds: float) -> tuple[bool, bool]:
    """Block until the one can be read or the other written; which of them.

    Both are false when time is up. A closed connection counts as readable: the read
    will say so. poll has no limit on descriptor numbers; where there is none
    (Windows) select does, for sockets.
    """
    fd = -1 if readable is None else readable.fileno()
    if readable is not None and fd < 0:
        return True, False
    if not hasattr(select, "poll"):
        came, room, _ = select.select(
            [fd] if fd >= 0 else [], [] if writable_fd is None else [writable_fd], [], max(0.0, timeout_seconds)
        )
        return bool(came), bool(room)
    poller = select.poll()
    if fd >= 0:
        poller.register(fd, select.POLLIN)
    if writable_fd is not None:
        poller.register(writable_fd, select.POLLOUT)
    happened = dict(poller.poll(max(0.0, timeout_seconds) * 1000))
    return fd in happened, writable_fd in happened
