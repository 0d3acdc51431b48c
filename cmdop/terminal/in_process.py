"""A terminal at which a program of this process sits: it types and reads bytes, and is shown nothing else.

What an attach types comes from `type`; what it shows goes to `shown`, through a pair of
sockets, which is bounded, can be waited for on every platform, and so holds a machine
back whose output nobody reads.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from cmdop.errors import TerminalGone
from cmdop.limits import SHOWN_AHEAD_BYTES, TERMINAL_READ_BYTES
from cmdop.terminal.interface import Output, Terminal
from cmdop.winsize import Winsize


class InProcessOutput(Output):
    """One end of the pair, which never blocks."""

    def __init__(self, sink: socket.socket) -> None:
        self._sink = sink
        self._sink.setblocking(False)
        self._sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SHOWN_AHEAD_BYTES)
        self._stopped = False

    def try_write(self, data: bytes | memoryview) -> int:
        if self._stopped:
            raise TerminalGone(reason="nobody reads it any more")
        try:
            return self._sink.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise TerminalGone(reason=error.strerror) from error

    @property
    def poll_fd(self) -> int | None:
        return self._sink.fileno()

    def stop(self) -> None:
        """Take nothing more. From any thread."""
        self._stopped = True

    def close(self) -> None:
        self.stop()
        self._sink.close()


class InProcessTerminal(Terminal):
    """Any thread may type, resize and wake; one reads what is shown, one what was typed."""

    output: InProcessOutput

    def __init__(self, winsize: Winsize) -> None:
        self._screen, sink = socket.socketpair()
        self.output = InProcessOutput(sink)
        self._winsize = winsize
        self._typed = bytearray()
        self._input_ended = self._woken = False
        self._reading = self._left = False
        self._resized: Callable[[], None] | None = None
        # Guards all of these but the output; told of every change of what was typed.
        self._change = threading.Condition()

    # -- for the program ----------------------------------------------------------------------

    def type(self, data: bytes) -> None:
        """Type these bytes; blocks while `TERMINAL_READ_BYTES` were typed and not read.

        What is typed behind the end of input, or from `wake` on, is dropped.
        """
        rest = memoryview(data)
        while rest:
            with self._change:
                self._change.wait_for(lambda: self._deaf or len(self._typed) < TERMINAL_READ_BYTES)
                if self._deaf:
                    return
                room = TERMINAL_READ_BYTES - len(self._typed)
                self._typed += rest[:room]
                self._change.notify_all()
            rest = rest[room:]

    def end_input(self) -> None:
        """Nothing more is typed; what was is still read. Twice is quiet."""
        with self._change:
            self._input_ended = True
            self._change.notify_all()

    @property
    def _deaf(self) -> bool:
        return self._woken or self._input_ended

    def shown(self, timeout_seconds: float | None) -> bytes | None:
        """Bytes that were shown, at most `TERMINAL_READ_BYTES`; None when nothing came in time.

        b"" once the terminal is closed and everything was read, or from `leave` on. One thread
        at a time.
        """
        with self._change:
            if self._left:
                return b""
            self._reading = True
        try:
            self._screen.settimeout(timeout_seconds)
            return self._screen.recv(TERMINAL_READ_BYTES)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            raise TerminalGone(reason=error.strerror) from error
        finally:
            with self._change:
                self._reading = False
                if self._left:
                    self._screen.close()

    def leave(self) -> None:
        """Nobody reads any more. After `close`, which ends a read; twice is quiet."""
        with self._change:
            self._left = True
            if not self._reading:
                self._screen.close()

    def resize(self, winsize: Winsize) -> None:
        """Give the terminal another size."""
        with self._change:
            self._winsize, resized = winsize, self._resized
        if resized is not None:
            resized()

    # -- the interface ------------------------------------------------------------------------

    @property
    def is_tty(self) -> bool:
        return False

    def size(self) -> Winsize:
        return self._winsize

    def raw(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def read(self, timeout_seconds: float | None) -> bytes | None:
        with self._change:
            self._change.wait_for(lambda: self._typed or self._deaf, timeout_seconds)
            if self._woken or not (self._typed or self._input_ended):
                return None
            typed, self._typed = bytes(self._typed), bytearray()
            self._change.notify_all()
            return typed

    def wake(self) -> None:
        """Besides, nothing more is shown: what would undo the modes of a program is for eyes."""
        self.output.stop()
        with self._change:
            self._woken = True
            self._change.notify_all()

    @contextlib.contextmanager
    def on_resize(self, callback: Callable[[], None]) -> Iterator[None]:
        with self._change:
            self._resized = callback
        try:
            yield
        finally:
            with self._change:
                self._resized = None

    def on_end(self, callback: Callable[[int], None]) -> AbstractContextManager[None]:
        """Signals are the program's own."""
        return contextlib.nullcontext()

    def drain_input(self, answers_due: bool = False) -> None:
        """Nothing is left for anybody else."""

    def close(self) -> None:
        self.wake()
        self.output.close()
