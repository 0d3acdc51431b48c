"""The session leader as a child process: when and how it ends."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from abc import ABC, abstractmethod
from typing import Any

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

    @property
    @abstractmethod
    def reaped(self) -> Exited | None:
        """How it ended, if it was reaped; else the kernel has still to be asked."""

    @abstractmethod
    def release(self) -> None:
        """Leave no zombie and no descriptor. The child has ended or was sent SIGKILL."""


class WaitedChild(Child):
    """A child with a thread of its own, for where a process is no descriptor.

    The thread, `child->exit`, blocks until the child ends, closes the writing end of a
    pipe to wake whoever polls the other, and is gone. It leaves the zombie, so that this
    process can become another program (exec) at any moment and no exit status is lost:
    `exited` reaps, and `release`.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._reading, self._writing = os.pipe()
        # Guards the two below, and is held while a child that has ended is reaped.
        self._reaping = threading.Lock()
        self._exited: Exited | None = None
        self._released = False
        self._thread = threading.Thread(target=self._wait, name="child->exit", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._reading

    def exited(self, timeout_seconds: float = 0.0) -> Exited | None:
        return self._reap() if self._ended.wait(timeout_seconds) else None

    @property
    def reaped(self) -> Exited | None:
        return self._exited

    def release(self) -> None:
        with self._reaping:
            if self._released:
                return
            self._released = True
        # One that even SIGKILL does not end yet (a dead disk) keeps its thread, not us.
        if self.exited(CLOSE_TIMEOUT_SECONDS) is not None:
            self._thread.join()
        os.close(self._reading)
        self._reading = -1

    def _wait(self) -> None:
        _until_ended(self.pid)
        self._ended.set()
        os.close(self._writing)
        if self._released:
            self._reap()

    def _reap(self) -> Exited:
        with self._reaping:
            if self._exited is None:
                try:
                    code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                except ChildProcessError:
                    code = 0  # whoever ignores SIGCHLD never learns it
                self._exited = Exited(code) if code >= 0 else Exited(0, -code)
            return self._exited


class ReapedChild(Child):
    """A child that had ended, and was reaped, before this process became this program."""

    def __init__(self, pid: int, exited: Exited) -> None:
        self.pid, self._exited = pid, exited
        self._reading, writing = os.pipe()
        os.close(writing)

    def fileno(self) -> int:
        return self._reading

    def exited(self, timeout_seconds: float = 0.0) -> Exited | None:
        return self._exited

    @property
    def reaped(self) -> Exited | None:
        return self._exited

    def release(self) -> None:
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1


def _until_ended(pid: int) -> None:
    """Block until a child has ended, and leave it to be reaped."""
    if hasattr(select, "kqueue"):  # macOS, whose waitid is missing from Python before 3.13
        _until_noted(select, pid)
    else:
        _until_a_zombie(os, pid)


def _until_a_zombie(system: Any, pid: int) -> None:
    """waitid(2). The module is `Any` as each of the two is known on its own platforms only."""
    with contextlib.suppress(ChildProcessError):
        system.waitid(system.P_PID, pid, system.WEXITED | system.WNOWAIT)


def _until_noted(system: Any, pid: int) -> None:
    """kqueue(2), EVFILT_PROC."""
    with contextlib.closing(system.kqueue()) as queue:
        added = system.KQ_EV_ADD | system.KQ_EV_ONESHOT
        event = system.kevent(pid, system.KQ_FILTER_PROC, added, system.KQ_NOTE_EXIT)
        # A process that is about to end may be none for kqueue, and not yet a zombie.
        with contextlib.suppress(ProcessLookupError):
            queue.control([event], 1)
