"""A user's terminal that the test plays, true to terminal/interface.py."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from cmdop.errors import TerminalGone
from cmdop.terminal.interface import Output, Terminal
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

TIMEOUT_SECONDS = 10.0
HOLDS_BYTES = 4096
"""What it takes before somebody looks at it."""


def _close_both(read_fd: int, write_fd: int) -> None:
    os.close(write_fd)
    os.close(read_fd)


class FakeOutput(Output):
    """A pipe that nobody reads but the test: full after `HOLDS_BYTES`."""

    def __init__(self, blind: bool = False) -> None:
        self._read_fd, self._fd = os.pipe()
        self.give_back = weakref.finalize(self, _close_both, self._read_fd, self._fd)
        """The pipe goes with the terminal; or before, when this is called."""
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, HOLDS_BYTES)
        os.set_blocking(self._fd, False)
        os.set_blocking(self._read_fd, False)
        self._blind = blind
        self.fails: Exception | None = None
        self.shown = bytearray()
        self.closed = False
        # Guards `shown`; told of every change.
        self._change = threading.Condition()

    def try_write(self, data: bytes | memoryview) -> int:
        if self.fails is not None:
            raise self.fails
        if self.closed:
            raise TerminalGone(reason="it was closed")
        if self._blind:  # it takes everything, as a file does
            with self._change:
                self.shown += data
                self._change.notify_all()
            return len(data)
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    @property
    def poll_fd(self) -> int | None:
        return None if self._blind else self._fd

    def close(self) -> None:
        self.closed = True

    def look(self) -> bytes:
        """Everything that was written so far; what was full is empty then."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._read_fd, 65536):
                self.shown += piece
        return bytes(self.shown)

    def until_shown(self, size: int, end: bytes = b"") -> bytes:
        """Look until there is that much, and it ends so."""
        while len(self.look()) < size or not self.shown.endswith(end):
            if self._blind:
                with self._change:
                    assert self._change.wait_for(lambda: len(self.shown) >= size, TIMEOUT_SECONDS), bytes(self.shown)
            else:
                ready = select.select([self._read_fd], [], [], TIMEOUT_SECONDS)[0]
                assert ready, (len(self.shown), bytes(self.shown[-100:]))
        return bytes(self.shown)


class FakeTerminal(Terminal):
    """Keys come from the test; `log` tells in which order things were done to it."""

    output: FakeOutput

    def __init__(self, is_tty: bool = True, blind: bool = False, winsize: Winsize = DEFAULT_WINSIZE) -> None:
        self.output = FakeOutput(blind)
        self.log: list[str] = []
        self.winsize = winsize
        self.timeouts: list[float | None] = []
        self.fails: BaseException | None = None
        """Raised by the next read."""
        self.size_fails: BaseException | None = None
        self._is_tty = is_tty
        self._reads: deque[bytes] = deque()
        self._woken = False
        self._resized: Callable[[], None] | None = None
        self._ending: Callable[[int], None] | None = None
        # Guards everything; told of every change.
        self._change = threading.Condition()

    # -- what the user does -------------------------------------------------------------------

    def press(self, *reads: bytes) -> None:
        """Type; each of these is what one read brings. b"" is the end of input."""
        with self._change:
            self._reads.extend(reads)
            self._change.notify_all()

    def resize(self, winsize: Winsize) -> None:
        self.winsize = winsize
        if self._resized is not None:
            self._resized()

    def kill(self, number: int) -> None:
        """Send a signal; once the terminal is put back it goes to nobody here."""
        ending = self._ending
        assert ending is not None or "restored" in self.log
        if ending is not None:
            ending(number)

    def fail(self, error: BaseException) -> None:
        with self._change:
            self.fails = error
            self._change.notify_all()

    def until(self, condition: Callable[[FakeTerminal], bool]) -> None:
        with self._change:
            assert self._change.wait_for(lambda: condition(self), TIMEOUT_SECONDS), self.log

    def until_raw(self) -> None:
        self.until(lambda terminal: "raw" in terminal.log)

    def until_read(self) -> None:
        """Wait until everything that was typed was read."""
        self.until(lambda terminal: not terminal._reads and terminal.log[-1:] == ["reading"])

    def _note(self, what: str) -> None:
        with self._change:
            self.log.append(what)
            self._change.notify_all()

    # -- the interface --------------------------------------------------------------------------

    @property
    def is_tty(self) -> bool:
        return self._is_tty

    def size(self) -> Winsize:
        if self.size_fails is not None:
            raise self.size_fails
        return self.winsize

    def raw(self) -> AbstractContextManager[None]:
        return self._within("raw", "restored")

    @contextlib.contextmanager
    def _within(self, before: str, after: str) -> Iterator[None]:
        self._note(before)
        try:
            yield
        finally:
            self._note(after)

    def read(self, timeout_seconds: float | None) -> bytes | None:
        with self._change:
            self.timeouts.append(timeout_seconds)
            if not self._reads:
                self.log.append("reading")
                self._change.notify_all()
            # Time passes only when nothing else can come, so no test waits for it.
            timeout = 0.0 if timeout_seconds is not None else None
            self._change.wait_for(lambda: self._woken or self._reads or self.fails is not None, timeout)
            if self.fails is not None:
                raise self.fails
            if self._woken or not self._reads:
                return None
            self._change.notify_all()
            return self._reads.popleft()

    def wake(self) -> None:
        with self._change:
            self._woken = True
            self._change.notify_all()

    @contextlib.contextmanager
    def on_resize(self, callback: Callable[[], None]) -> Iterator[None]:
        self._resized = callback
        try:
            yield
        finally:
            self._resized = None

    @contextlib.contextmanager
    def on_end(self, callback: Callable[[int], None]) -> Iterator[None]:
        self._ending = callback
        try:
            yield
        finally:
            self._ending = None

    def drain_input(self, answers_due: bool = False) -> None:
        self._note("drained")

    def close(self) -> None:
        self.output.close()
