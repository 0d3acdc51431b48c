"""Waking who selects, by whatever happens in the process: signals, too.

Python's own handlers of signals are run by the main thread, between two of its steps. A
signal that comes just before it blocks, or that the kernel gives to another thread, is
handled only once something else wakes it. So a signal rings the bell by itself, whatever
main is about to do (signal.set_wakeup_fd), and main blocks in select on that.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator


class Bell:
    """Something to select on: readable from `ring` on, until `silence`."""

    def __init__(self) -> None:
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    def fileno(self) -> int:
        return self._ear.fileno()

    def ring(self) -> None:
        """From any thread. One that rings already is enough."""
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def silence(self) -> None:
        with contextlib.suppress(OSError):
            self._ear.recv(4096)

    @contextlib.contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Let signals ring, for the length of a `with` block, and nobody else who has them rung
        (asyncio). Elsewhere than on the main thread, which alone hears of them, it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    def close(self) -> None:
        """By the thread that listens, as its last act; who rings later is not heard."""
        self._ear.close()
        self._bell.close()
