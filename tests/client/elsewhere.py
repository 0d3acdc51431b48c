"""Signals that the kernel gives to another thread than main."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="signals are the process's own there")


@contextlib.contextmanager
def elsewhere(number: signal.Signals) -> Iterator[Callable[[], None]]:
    """What sends this process a signal, for another thread to call: that one gets it, and not main.

    So it interrupts nothing that main blocks in, just as one that came a moment before.
    """

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield send
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
