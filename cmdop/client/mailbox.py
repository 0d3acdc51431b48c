"""What main waits for, in such a way that no signal comes too late: not in a lock, as every
queue does, but in select on a bell (client/bell.py).
"""

from __future__ import annotations

import contextlib
import queue
import time
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from cmdop.client.bell import Bell
from cmdop.client.poll import wait_for_any

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue that one thread gets from. Anyone may put, a signal handler too: whatever
    main is doing with it, which a SimpleQueue allows and a Condition does not."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._bell = Bell()

    def __len__(self) -> int:
        return self._items.qsize()

    def put(self, item: T) -> None:
        """From any thread. Never waits."""
        self._items.put(item)
        self._bell.ring()

    def get(self, timeout_seconds: float | None = None) -> T:
        """The next one; blocks. Raises queue.Empty when time is up; None waits for ever."""
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            self._bell.silence()
            with contextlib.suppress(queue.Empty):
                return self._items.get_nowait()
            left_seconds = None if until is None else until - time.monotonic()
            if left_seconds is not None and left_seconds <= 0:
                raise queue.Empty
            wait_for_any([self._bell.fileno()], [], left_seconds)

    def hearing_signals(self) -> AbstractContextManager[None]:
        """Let signals wake who gets, for the length of a `with` block (`Bell.hearing_signals`)."""
        return self._bell.hearing_signals()

    def close(self) -> None:
        """By who gets, as its last act. What is put later is lost; twice is quiet."""
        self._bell.close()
