"""The commands that run on this machine for clients: how many there may be, and their common end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from cmdop.errors import CommandRefused
from cmdop.exechost.interface import Program
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, EXECUTIONS_MAX
from cmdop.wire.exec_messages import Execute

StartProgram = Callable[[Execute], Program]
"""Starts a command. Raises CommandUnusable."""


class Running(Protocol):
    """What is asked of one of them (agent/executing.py)."""

    def kill(self) -> None:
        """End it at once. Any thread."""


class Executions:
    """The commands that run on this machine for clients."""

    def __init__(self, start: StartProgram) -> None:
        self.start = start
        # Guards the rest; told when one ends.
        self._change = threading.Condition()
        self._running: set[Running] = set()
        self._closed = False

    def enter(self, execution: Running) -> None:
        """One more. Raises CommandRefused when there are too many, or none are run any more."""
        with self._change:
            if self._closed or len(self._running) >= EXECUTIONS_MAX:
                reason = "it is stopping" if self._closed else f"it runs {EXECUTIONS_MAX} already"
                raise CommandRefused(host="the machine", reason=reason)
            self._running.add(execution)

    def leave(self, execution: Running) -> None:
        with self._change:
            self._running.discard(execution)
            self._change.notify_all()

    def close(self) -> None:
        """Kill what runs, and run nothing more. Returns once it is over, or soon. Twice is quiet."""
        with self._change:
            self._closed = True
            running = list(self._running)
        for execution in running:
            execution.kill()
        with self._change:
            self._change.wait_for(lambda: not self._running, CLOSE_TIMEOUT_SECONDS)

    def reopen(self) -> None:
        """Commands may be run again."""
        with self._change:
            self._closed = False
