"""What signals to this process mean for the command that it runs elsewhere."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Final

from cmdop.client.executing import Executing
from cmdop.terminal.signals import handled

_LEAVING: Final = ("SIGTERM", "SIGHUP")


@contextlib.contextmanager
def attended(executing: Executing) -> Iterator[None]:
    """For the length of the block Ctrl-C interrupts the command, and what ends us ends it."""
    leaving = [getattr(signal, name) for name in _LEAVING if hasattr(signal, name)]
    with (
        handled([signal.SIGINT], lambda _: executing.interrupt(), keep_ignored=True),
        handled(leaving, executing.leave, keep_ignored=True),
    ):
        yield
