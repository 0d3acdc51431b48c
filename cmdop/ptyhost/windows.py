"""A program in a ConPTY, through pywinpty.

pywinpty's PTY has (cols, rows) and speaks str; both are turned round here, and nowhere
else. Its blocking read goes on in a thread of its own, because a console cannot be
waited for together with other things.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import signal as signals
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, cast

from cmdop.errors import ShellUnusable
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, PTY_READ_BYTES
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, PtyRead, Ready, ShellCommand
from cmdop.ptyhost.signals import signal_number
from cmdop.winsize import Winsize

_BUFFER_BYTES = 4 * PTY_READ_BYTES
_KILL_TIMEOUT_SECONDS = 5.0
_CTRL_C = "\x03"


_LOG = logging.getLogger("cmdop.agent")


class Console(Protocol):
    """What is used of pywinpty's PTY, versions 2 and 3."""

    @property
    def pid(self) -> int | None: ...
    def spawn(self, appname: str, cmdline: str | None, cwd: str | None, env: str | None) -> bool: ...
    def read(self, *, blocking: bool) -> str: ...
    def write(self, to_write: str) -> int: ...
    def set_size(self, cols: int, rows: int) -> None: ...
    def isalive(self) -> bool: ...
    def get_exitstatus(self) -> int | None: ...


def open_console(command: ShellCommand, env: Mapping[str, str], cwd: str, winsize: Winsize) -> ConPty:
    """The command, running in a new ConPTY of that size. Raises ShellUnusable."""
    from winpty import PTY, WinptyError

    size = winsize.clamped()
    try:
        console = cast(Console, PTY(size.cols, size.rows))
        arguments = subprocess.list2cmdline(command.argv[1:])
        block = "".join(f"{name}={value}\0" for name, value in env.items())
        # The command line starts with a blank: pywinpty puts the program's name before it.
        started = console.spawn(command.path, " " + arguments if arguments else None, cwd, block)
    except (WinptyError, OSError) as error:
        raise ShellUnusable(shell=command.path, reason=str(error)) from error
    if not started:
        raise ShellUnusable(shell=command.path, reason="the console did not start it")
    return ConPty(console)


class ConPty(Pty):
    """A console and the program in it.

    The thread `console->buffer` blocks in the console's read, which comes back with
    output, when the program ends and when it is killed; and on a full buffer, until
    `read` or `close` make room.
    """

    def __init__(self, console: Console) -> None:
        self.pid = console.pid or 0
        self._console = console
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Guards the buffer, its end, the wake and the closing; told of every change of them.
        self._changed = threading.Condition()
        self._buffer: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._ended = self._woken = self._closed = False
        self._thread = threading.Thread(target=self._pump, name="console->buffer", daemon=True)
        self._thread.start()

    def wait(self, want_write: bool, want_read: bool = True) -> Ready:
        with self._changed:
            self._changed.wait_for(lambda: want_write or self._woken or (want_read and self._readable))
            woken, self._woken = self._woken, False
            return Ready(want_read and self._readable, want_write, woken)

    def read(self) -> PtyRead:
        """As `Pty.read`; a console never tells of a flush."""
        with self._changed:
            pieces: list[bytes] = []
            size = 0
            while self._buffer and (not size or size + len(self._buffer[0]) <= PTY_READ_BYTES):
                pieces.append(self._buffer.popleft())
                size += len(pieces[-1])
            self._buffered_bytes -= size
            self._changed.notify_all()
            if not pieces and self._ended:
                raise PtyClosed
        return PtyRead(b"".join(pieces), flushed=False)

    def write(self, data: bytes | memoryview) -> int:
        text = self._decoder.decode(bytes(data))
        try:
            if text:
                self._console.write(text)
        except Exception as error:
            raise PtyClosed from error
        return len(data)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def resize(self, winsize: Winsize) -> None:
        size = winsize.clamped()
        with _gone_is_quiet():
            self._console.set_size(size.cols, size.rows)

    def signal(self, signal: str | int) -> bool:
        """An interrupt is the key; any other signal there is on Windows ends the program."""
        number = signal_number(signal)
        if self._closed or not self._console.isalive():
            return False
        with _gone_is_quiet():
            if number == signals.SIGINT:
                self._console.write(_CTRL_C)
            else:
                os.kill(self.pid, number)
        return True

    def hangup(self) -> None:
        # What a console program is told when its window is closed comes with ClosePseudoConsole,
        # which pywinpty does when the object goes; a polite end from outside there is not.
        self.wake()

    def kill(self) -> None:
        if self._closed or not self._console.isalive():
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            tree = ["taskkill", "/F", "/T", "/PID", str(self.pid)]
            subprocess.run(tree, capture_output=True, timeout=_KILL_TIMEOUT_SECONDS, check=False)

    def exit_status(self, timeout_seconds: float = 0.0) -> Exited | None:
        if timeout_seconds:
            self._thread.join(timeout_seconds)
        status = None if self._console.isalive() else self._console.get_exitstatus()
        return None if status is None else Exited(status & 0xFFFFFFFF)

    def foreground_command(self) -> str:
        return ""

    def hand_over(self) -> dict[str, Any] | None:
        """Nothing: here exec is another process, and a console belongs to the one that made it."""
        return None

    def keep(self) -> None:
        """Nothing was handed over."""

    def close(self) -> None:
        if self._closed:
            return
        self.kill()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        cancel = getattr(self._console, "cancel_io", None)  # pywinpty 3: ends a blocked read
        if cancel is not None:
            with _gone_is_quiet():
                cancel()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    @property
    def _readable(self) -> bool:
        return bool(self._buffer) or self._ended

    def _pump(self) -> None:
        try:
            while not self._closed:
                self._keep(self._console.read(blocking=True).encode("utf-8", "replace"))
        except Exception:  # noqa: BLE001 - WinptyError has no base of its own; whatever it is, it is the end
            _LOG.debug("the console's output ended", exc_info=True)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _keep(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._buffered_bytes < _BUFFER_BYTES)
            if data:
                self._buffer.append(data)
                self._buffered_bytes += len(data)
                self._changed.notify_all()


def _gone_is_quiet() -> contextlib.suppress:
    """pywinpty's errors are plain Exceptions; after the program's end they say only that."""
    return contextlib.suppress(Exception)
