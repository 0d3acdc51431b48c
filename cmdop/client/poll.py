"""Waiting for a connection to bring something and for the terminal to take something."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Final, Protocol

_FD_SETSIZE: Final = 1024
"""Descriptors from this one on do not fit into select's sets (select(2))."""
_IN: Final = 0x001
_OUT: Final = 0x004
_ENDED: Final = 0x008 | 0x010 | 0x020
"""POLLIN, POLLOUT, and POLLERR, POLLHUP, POLLNVAL: the same numbers wherever there is a poll (poll(2))."""


class Readable(Protocol):
    def fileno(self) -> int: ...


def wait_for(readable: Readable | None, writable_fd: int | None, timeout_seconds: float) -> tuple[bool, bool]:
    """Block until the one can be read or the other written; which of them.

    Both are false when time is up. A closed connection counts as readable: the read
    will say so.
    """
    fd = -1 if readable is None else readable.fileno()
    if readable is not None and fd < 0:
        return True, False
    wanted = [fd] if fd >= 0 else []
    takers = [] if writable_fd is None else [writable_fd]
    try:
        came, room = wait_for_any(wanted, takers, max(0.0, timeout_seconds))
    except (OSError, ValueError):  # it was closed meanwhile
        return True, False
    return bool(came), bool(room)


def wait_for_any(
    readable_fds: Sequence[int], writable_fds: Sequence[int], timeout_seconds: float | None
) -> tuple[list[int], list[int]]:
    """Block until some of these can be read or written; which of them. None waits for ever.

    It is select, because poll does not know terminals on macOS, nor anything on Windows.
    A program that uses cmdop may have thousands of descriptors, though, and then it is poll.
    Raises OSError or ValueError for one that is closed.
    """
    poll = getattr(select, "poll", None)
    if poll is None or max((*readable_fds, *writable_fds), default=0) < _FD_SETSIZE:
        came, room, _ = select.select(readable_fds, writable_fds, [], timeout_seconds)
        return came, room
    poller = poll()
    for fd in {*readable_fds, *writable_fds}:
        poller.register(fd, _IN * (fd in readable_fds) | _OUT * (fd in writable_fds))
    events = dict(poller.poll(None if timeout_seconds is None else timeout_seconds * 1000))
    return (
        [fd for fd in readable_fds if events.get(fd, 0) & (_IN | _ENDED)],
        [fd for fd in writable_fds if events.get(fd, 0) & (_OUT | _ENDED)],
    )
