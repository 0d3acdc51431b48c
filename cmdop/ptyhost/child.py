"""The session leader as a child process: when and how it ends."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod

from cmdop.limits import CLOSE_TIMEOUT_SECONDS
from cmdop.ptyhost.interface import Exited


class Child(ABC):
    """A child that some thread may wait for in select, without a SIGCHLD handler."""

    pid: int

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable, or hung up, from the child's end on."""

    @abstractmethod
    def exited(self, timeout_seconds: float = 0.0) -> Exited | None:
        """How it ended, None while it runs; waits at most that long for it."""

    @abstractmethod
    def release(self) -> None:
        """Leave no zombie and no descriptor. The child has ended or was sent SIGKILL."""


class WaitedChild(Child):
    """A child with a thread of its own, for where a process is no descriptor.

    The thread, `child->exit`, blocks in waitpid until the child ends, closes the writing
    end of a pipe to wake whoever polls the other, and is gone.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._exited: Exited | None = None
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._wait, name="child->exit", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._reading

    def exited(self, timeout_seconds: float = 0.0) -> Exited | None:
        self._ended.wait(timeout_seconds)
        return self._exited

    def release(self) -> None:
        if self._reading < 0:
            return
        # One that even SIGKILL does not end yet (a dead disk) keeps its thread, not us.
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        os.close(self._reading)
        self._reading = -1

    def _wait(self) -> None:
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            code = 0  # whoever ignores SIGCHLD never learns it
        self._exited = Exited(code) if code >= 0 else Exited(0, -code)
        self._ended.set()
        os.close(self._writing)
