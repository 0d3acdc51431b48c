"""A PTY under test: runs a shell command in it and collects what it says."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, ShellCommand

UNIT_SECONDS = 10.0
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def sh(script: str) -> ShellCommand:
    return ShellCommand("/bin/sh", ("sh", "-c", script))


BASH = ShellCommand("/bin/bash", ("bash", "--norc", "--noprofile", "-i"))


class Screen:
    """What a program wrote so far, and waiting for more of it."""

    def __init__(self, pty: Pty) -> None:
        self.pty = pty
        self.output = bytearray()
        self.flushes = 0
        self.closed = False

    def until(self, what: bytes | Callable[[Screen], Any], start: int = 0) -> bytes:
        """Read until `what` was said, or holds; all output so far."""
        done = what if callable(what) else lambda screen: screen.output.find(what, start) >= 0
        with self._deadline():
            while not done(self):
                assert not self.closed, bytes(self.output[-500:])
                assert not self.pty.wait(want_write=False).woken, (what, bytes(self.output[-500:]))
                self._read()
        return bytes(self.output)

    def to_the_end(self) -> tuple[bytes, Exited | None]:
        with self._deadline():
            while not self.closed:
                assert not self.pty.wait(want_write=False).woken, bytes(self.output[-500:])
                self._read()
        return bytes(self.output), self.pty.exit_status(UNIT_SECONDS)

    def type(self, data: bytes) -> None:
        """Give it all of the input, reading meanwhile as a terminal does."""
        view = memoryview(data)
        with self._deadline():
            while view:
                ready = self.pty.wait(want_write=True)
                assert not ready.woken, f"{len(view)} bytes left to type"
                if ready.readable:
                    self._read()
                if ready.writable:
                    view = view[self.pty.write(view) :]

    def _read(self) -> None:
        try:
            data, flushed = self.pty.read()
        except PtyClosed:
            self.closed = True
            return
        self.output += data
        self.flushes += flushed

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        timer = threading.Timer(UNIT_SECONDS, self.pty.wake)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def read_sizes(pty: Pty) -> list[int]:
    """How many bytes each read had, to the end."""
    sizes = []
    with suppress(PtyClosed):
        while True:
            pty.wait(want_write=False)
            sizes.append(len(pty.read().data))
    return sizes


def gone_within(pid: int, seconds: float = UNIT_SECONDS) -> bool:
    """Whether a process, a child or not, ends within that time (a zombie has ended)."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)
