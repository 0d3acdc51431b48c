"""How the interpreter should run in a process that stays."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable

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

    The thread `signal->stop` does it, because what main is at may hold the very lock that
    stopping needs, or block for long: it blocks until a signal writes its number
    (signal.set_wakeup_fd), and ends with the process.
    """
    ear, bell = socket.socketpair()
    bell.setblocking(False)
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def listen() -> None:
        while came := ear.recv(1):
            if came[0] in numbers:
                stop(signal.Signals(came[0]).name)

    threading.Thread(target=listen, name="signal->stop", daemon=True).start()
    signal.set_wakeup_fd(bell.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: None)  # for the writing it has to be a function
