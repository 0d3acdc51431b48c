"""What main waits for, in such a way that no signal comes too late.

Python's own handlers of signals are run by the main thread, between two of its steps. A
signal that comes just before it blocks in a lock, as every queue does, or that the kernel
gives to another thread, is handled only once something else wakes it. Here main blocks
in select, and a signal rings the bell by itself, whatever main is about to do
(signal.set_wakeup_fd).
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Iterator
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

    @contextlib.contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Let signals wake who gets, for the length of a `with` block. Elsewhere than on the
        main thread, which alone hears of them, it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._bell.ringing_fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    def close(self) -> None:
        """By who gets, as its last act. What is put later is lost; twice is quiet."""
        self._bell.close()
