"""A terminal on Linux and macOS: termios, and signals for its size.

Raw mode is that of cfmakeraw(3). Settings are always changed at once (TCSANOW): to
drain the output first, as TCSADRAIN and TCSAFLUSH do, is to wait for whoever stopped
reading it, and leaving must not wait.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from cmdop.deadline import Deadline
from cmdop.errors import OutputLost, TerminalGone
from cmdop.limits import ANSWER_DRAIN_SECONDS, STDOUT_PIECE_BYTES, TERMINAL_READ_BYTES
from cmdop.terminal.interface import Output, Terminal
from cmdop.terminal.signals import handled
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

assert sys.platform != "win32"

_GONE = frozenset((errno.EIO, errno.EPIPE, errno.EBADF, errno.ENXIO, errno.ENODEV, errno.ECONNRESET))
_N_TTY_BYTES = 4096
_PASTE_BYTES = 1024
"""Nobody types that much between two reads."""
_FULL = frozenset((errno.EAGAIN, errno.EWOULDBLOCK))

_HARMLESS = {"SIGCHLD", "SIGCLD", "SIGURG", "SIGWINCH", "SIGINFO", "SIGPIPE", "SIGXFSZ"}
"""Ignored by default (signal(7)), the last two by Python."""
_JOB_CONTROL = {"SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"}
_BEYOND_HELP = {"SIGKILL", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"}
"""Cannot be caught, or tell that the interpreter itself is broken."""


def _end_signals() -> list[int]:
    """Every signal that would end the process with the terminal left raw."""
    spared = {getattr(signal, name, None) for name in _HARMLESS | _JOB_CONTROL | _BEYOND_HELP}
    return sorted(number for number in signal.valid_signals() if number not in spared)


_ARE_YOU_THERE = b"\x1b[5n"
_HERE = re.compile(rb"\x1b\[[03]n")
"""DSR 5 and its answer (ECMA-48 8.3.35): every terminal knows it, few programs ask it."""


class PosixOutput(Output):
    """Writes to a terminal without blocking, or to anything else in small pieces.

    A terminal is opened a second time, by its name: O_NONBLOCK belongs to the open file
    description, and that of stdout is shared with the user's shell.
    """

    def __init__(self, fd: int) -> None:
        self._own_fd = _reopen(fd)
        self._fd = fd if self._own_fd is None else self._own_fd
        self._piece_bytes: int | None = None
        self._poll_fd: int | None = self._fd
        if self._own_fd is None:
            self._piece_bytes = STDOUT_PIECE_BYTES
            if _is_pipe(fd):
                # A pipe that is ready takes this much without blocking (POSIX, PIPE_BUF).
                self._piece_bytes = min(STDOUT_PIECE_BYTES, select.PIPE_BUF)
            else:
                self._poll_fd = None

    def try_write(self, data: bytes | memoryview) -> int:
        if self._fd < 0:
            raise TerminalGone(reason="it was closed")
        piece = data if self._piece_bytes is None else memoryview(data)[: self._piece_bytes]
        try:
            if self._own_fd is None and self._poll_fd is not None and not select.select([], [self._poll_fd], [], 0)[1]:
                return 0
            return os.write(self._fd, piece)
        except OSError as error:
            if error.errno in _FULL:
                return 0
            lost = OutputLost if self._own_fd is None else TerminalGone
            raise lost(reason=error.strerror) from error

    @property
    def poll_fd(self) -> int | None:
        return self._poll_fd

    def close(self) -> None:
        own, self._own_fd, self._fd, self._poll_fd = self._own_fd, None, -1, None
        if own is not None:
            with contextlib.suppress(OSError):
                os.close(own)


class PosixTerminal(Terminal):
    """The terminal at `stdin_fd` and `stdout_fd`."""

    def __init__(self, stdin_fd: int, stdout_fd: int) -> None:
        self._stdin_fd, self._stdout_fd = stdin_fd, stdout_fd
        self.output: Output = PosixOutput(stdout_fd)
        self._raw_attributes: list[Any] | None = None
        """The settings of raw mode, for as long as it lasts."""
        self._ahead_bytes, self._ahead_end = 0, b"\0"
        """How much was typed before raw mode and is still to be read, and the key that ends a line's input there."""
        self._woken = False
        # Socket objects and not descriptors: waking one that is closed is an error, and
        # never a byte into what was opened under its number since.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    @property
    def is_tty(self) -> bool:
        return os.isatty(self._stdin_fd) and os.isatty(self._stdout_fd)

    def size(self) -> Winsize:
        for fd in (self._stdout_fd, self._stdin_fd):
            with contextlib.suppress(OSError):
                found = os.get_terminal_size(fd)
                if found.lines > 0 and found.columns > 0:
                    return Winsize(found.lines, found.columns).clamped()
        return DEFAULT_WINSIZE

    def raw(self) -> AbstractContextManager[None]:
        return self._raw()

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        if self._raw_attributes is not None or not os.isatty(self._stdin_fd):
            yield
            return
        try:
            saved = termios.tcgetattr(self._stdin_fd)
        except termios.error as error:
            raise TerminalGone(reason=_reason(error)) from error
        self._raw_attributes = _made_raw(saved)
        try:
            _set_attributes(self._stdin_fd, self._raw_attributes)
            self._ahead_bytes, self._ahead_end = _waiting_bytes(self._stdin_fd), _end_key(saved)
            yield
        finally:
            self._raw_attributes = None
            with _not_stopped(), contextlib.suppress(TerminalGone):
                _set_attributes(self._stdin_fd, saved)

    def read(self, timeout_seconds: float | None) -> bytes | None:
        deadline = Deadline(timeout_seconds)
        watched: list[Any] = [self._stdin_fd, self._wake_reader]
        while not self._woken:
            try:
                # select, because poll and kqueue do not take terminals on macOS. Its limit on
                # descriptor numbers is far from 0 and from one that was opened early.
                ready, _, _ = select.select(watched, [], [], deadline.remaining_seconds)
                if self._woken or self._stdin_fd not in ready:
                    return None
                return self._as_typed(self._read_all(os.read(self._stdin_fd, TERMINAL_READ_BYTES)))
            except (OSError, ValueError) as error:
                # EAGAIN: another process with this terminal was faster, or made it non-blocking.
                if not isinstance(error, OSError) or error.errno not in _FULL:
                    return None if self._woken else b""
        return None

    def _as_typed(self, data: bytes) -> bytes:
        """With the key that ends a line's input (VEOF) where it was typed before raw mode: Linux keeps it as NUL."""
        ahead = min(self._ahead_bytes, len(data))
        self._ahead_bytes -= ahead
        return data[:ahead].replace(b"\0", self._ahead_end) + data[ahead:] if ahead else data

    def _read_all(self, data: bytes) -> bytes:
        """What was read and what is there behind it: a paste comes in pieces of 4 KiB (n_tty)."""
        if len(data) < _PASTE_BYTES:
            return data
        pieces, size = [data], len(data)
        while size < TERMINAL_READ_BYTES - _N_TTY_BYTES and select.select([self._stdin_fd], [], [], 0)[0]:
            piece = os.read(self._stdin_fd, _N_TTY_BYTES)
            if not piece:
                break  # the end, which the next read will tell
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def wake(self) -> None:
        self._woken = True
        with contextlib.suppress(OSError):  # closed, or so full that it is awake
            self._wake_writer.send(b"\0")

    def on_resize(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        def heard(number: int) -> None:
            if number == signal.SIGCONT:
                self._raw_once_more()
            callback()

        return handled([signal.SIGWINCH, signal.SIGCONT], heard, keep_ignored=False)

    def _raw_once_more(self) -> None:
        """We were stopped, and a shell has its own settings on meanwhile. In the background this
        stops us anew (SIGTTOU), until we are in the foreground."""
        attributes = self._raw_attributes
        if attributes is not None:
            with contextlib.suppress(TerminalGone):  # the reading will say so
                _set_attributes(self._stdin_fd, attributes)

    def on_end(self, callback: Callable[[int], None]) -> AbstractContextManager[None]:
        return handled(_end_signals(), callback, keep_ignored=True)

    def drain_input(self, answers_due: bool = False) -> None:
        with contextlib.suppress(OSError, ValueError, TerminalGone, termios.error):
            if answers_due and self.is_tty and self.output.try_write(_ARE_YOU_THERE) == len(_ARE_YOU_THERE):
                self._read_past_answer()
            if os.isatty(self._stdin_fd):
                termios.tcflush(self._stdin_fd, termios.TCIFLUSH)

    def _read_past_answer(self) -> None:
        deadline = Deadline(ANSWER_DRAIN_SECONDS)
        seen = b""
        while not _HERE.search(seen):
            if not select.select([self._stdin_fd], [], [], deadline.remaining_seconds)[0]:
                return
            read = os.read(self._stdin_fd, TERMINAL_READ_BYTES)
            if not read or deadline.passed:
                return
            seen = seen[-len(_ARE_YOU_THERE) :] + read

    def close(self) -> None:
        self._woken = True
        self.output.close()
        self._wake_reader.close()
        self._wake_writer.close()


def _reopen(fd: int) -> int | None:
    """The same terminal opened anew for non-blocking writing, or None if that cannot be."""
    own = -1
    try:
        own = os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        # In a container the name may lead to another terminal, or to a file.
        if _identity(own) == _identity(fd):
            return own
    except OSError:
        return None
    os.close(own)
    return None


def _identity(fd: int) -> tuple[int, int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_rdev


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _made_raw(attributes: list[Any]) -> list[Any]:
    """The settings of cfmakeraw(3): every byte as it comes, one at a time."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, control = attributes
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    control = list(control)
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, control]


def _waiting_bytes(fd: int) -> int:
    """How much can be read at once; 0 where that cannot be told."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def _end_key(attributes: list[Any]) -> bytes:
    """The key that ended a line's input with these settings; NUL where there was none."""
    return bytes(attributes[6][termios.VEOF]) if attributes[3] & termios.ICANON else b"\0"


def _set_attributes(fd: int, attributes: list[Any]) -> None:
    """Change the settings at once. Raises TerminalGone."""
    while True:
        try:
            termios.tcsetattr(fd, termios.TCSANOW, attributes)
            return
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise TerminalGone(reason=_reason(error)) from error


@contextlib.contextmanager
def _not_stopped() -> Iterator[None]:
    """Let a process that is no longer in the foreground change settings without being stopped (SIGTTOU)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reason(error: termios.error) -> str:
    return str(error.args[1] if len(error.args) > 1 else error)
