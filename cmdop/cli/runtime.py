"""How the interpreter should run in a process that stays."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

_SWITCH_INTERVAL_SECONDS = 0.001


def settle() -> None:
    """Call in a process that carries keystrokes, once everything is imported.

    What was imported is taken out of garbage collection for good, so that one takes tenths
    of a millisecond. They come as Python has them: neither keys nor floods leave objects
    behind, and what peers do leave behind is not to pile up. A thread that computes gives
    way after 1 ms instead of 5.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)


def log_deaths_of_threads() -> None:
    """What a thread dies of goes into the log."""
    logger = logging.getLogger("cmdop")
    threading.excepthook = lambda died: logger.error("the thread %s died", died.thread, exc_info=died.exc_value)


def stop_on_signals(stop: Callable[[str], None]) -> None:
    """Let SIGTERM, SIGINT and SIGHUP stop us, but those that were ignored when we came (nohup).

    The thread `signal->stop` does it, because what a signal interrupts may hold the very
    lock that stopping needs; it ends with the stopping.
    """

    def stop_it(number: int, _: FrameType | None) -> None:
        reason = signal.Signals(number).name
        threading.Thread(target=stop, args=(reason,), name="signal->stop", daemon=True).start()

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop_it)
