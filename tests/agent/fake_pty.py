"""A program in a PTY that the test plays, true to ptyhost/interface.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cmdop.limits import PTY_READ_BYTES
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, PtyRead, Ready
from cmdop.winsize import Winsize

TIMEOUT_SECONDS = 10.0
KERNEL_BYTES = 4096
"""What a PTY holds of output that nobody reads."""


class FakePty(Pty):
    """Prints what the test prints and takes what the test lets it take.

    `room_bytes` is how much input it takes, None for any amount. A `deaf` program does
    not end of SIGHUP. What breaks the interface's rules is kept in `misuse`.
    """

    def __init__(self, room_bytes: int | None = None, deaf: bool = False, session_id: str = "") -> None:
        self.pid, self.session_id = 4711, session_id
        self.typed = bytearray()
        self.sizes: list[Winsize] = []
        self.signals: list[str] = []
        self.closed = False
        self.misuse: list[str] = []
        self.waiting: tuple[bool, bool] | None = None
        """What the owner waits for now: room for input, output."""
        self._deaf, self._room = deaf, room_bytes
        self._unread = bytearray()
        self._exited: Exited | None = None
        self._hung_up = False
        self._flushed = False
        self._woken = False
        self._owner: threading.Thread | None = None
        # Guards everything; told of every change.
        self._change = threading.Condition()

    # -- what the test does ----------------------------------------------------------------

    def print(self, data: bytes) -> None:
        """Print; blocks, as a program does, while nobody reads what was printed before."""
        at = 0
        with self._change:
            while at < len(data):
                self._until(lambda: len(self._unread) < KERNEL_BYTES or self._exited is not None)
                if self._exited is not None:
                    return
                piece = data[at : at + KERNEL_BYTES - len(self._unread)]
                self._unread += piece
                at += len(piece)
                self._change.notify_all()

    def flush(self) -> None:
        """Throw away what was printed and not read, as the kernel does on an interrupt."""
        with self._change:
            self._unread.clear()
            self._flushed = True
            self._change.notify_all()

    def exit(self, status: int = 0, signal: int = 0) -> None:
        with self._change:
            self._exited = self._exited or Exited(status, signal)
            self._change.notify_all()

    def lose_terminal(self) -> None:
        """Close the terminal and run on."""
        with self._change:
            self._hung_up = True
            self._change.notify_all()

    def make_room(self, size: int) -> None:
        """Take that much more input."""
        with self._change:
            self._room = (self._room or 0) + size
            self._change.notify_all()

    def until_typed(self, size: int) -> bytes:
        """Everything that was typed, once it is that much."""
        with self._change:
            self._until(lambda: len(self.typed) >= size)
            return bytes(self.typed)

    def until(self, condition: Callable[[FakePty], bool]) -> None:
        """Wait until this holds; looked at after every change."""
        with self._change:
            self._until(lambda: condition(self))

    def until_idle(self, reading: bool) -> None:
        """Wait until the owner waits, for output or not, and everything readable is read."""
        self.until(lambda pty: pty.waiting is not None and pty.waiting[1] is reading and not (reading and pty._unread))

    def _until(self, condition: Callable[[], bool]) -> None:
        assert self._change.wait_for(condition, TIMEOUT_SECONDS), "it did not come to that"

    # -- the interface -----------------------------------------------------------------------

    def wait(self, want_write: bool, want_read: bool = True) -> Ready:
        with self._change:
            self._only_owner()
            self.waiting = (want_write, want_read)
            self._change.notify_all()
            self._change.wait_for(lambda: self._woken or any(self._ready(want_write, want_read)))
            self.waiting = None
            readable, writable = self._ready(want_write, want_read)
            woken, self._woken = self._woken, False
            return Ready(readable, writable, woken)

    def _ready(self, want_write: bool, want_read: bool) -> tuple[bool, bool]:
        over = self._exited is not None or self._hung_up
        readable = want_read and (self._readable() or over)
        return readable, want_write and (self._room != 0 or over)

    def read(self) -> PtyRead:
        with self._change:
            self._only_owner()
            if not self._readable() and (self._exited is not None or self._hung_up):
                raise PtyClosed
            data = bytes(self._unread[:PTY_READ_BYTES])
            del self._unread[:PTY_READ_BYTES]
            flushed = self._flushed and not self._unread
            self._flushed = self._flushed and not flushed
            self._change.notify_all()
            return PtyRead(data, flushed)

    def _readable(self) -> bool:
        return bool(self._unread) or self._flushed

    def write(self, data: bytes | memoryview) -> int:
        with self._change:
            if self.closed:
                self.misuse.append("write after close")
            if self._exited is not None or self._hung_up:
                raise PtyClosed
            taken = len(data) if self._room is None else min(len(data), self._room)
            self.typed += data[:taken]
            if self._room is not None:
                self._room -= taken
            self._change.notify_all()
            return taken

    def wake(self) -> None:
        with self._change:
            self._woken = True
            self._change.notify_all()

    def resize(self, winsize: Winsize) -> None:
        with self._change:
            self.sizes.append(winsize)
            self._change.notify_all()

    def signal(self, signal: str | int) -> bool:
        with self._change:
            self.signals.append(str(signal))
            return self._exited is None

    def hangup(self) -> None:
        self.signal("HUP")
        if not self._deaf:
            self.exit(signal=1)

    def kill(self) -> None:
        self.signal("KILL")
        self.exit(signal=9)

    def exit_status(self, timeout_seconds: float = 0.0) -> Exited | None:
        with self._change:
            self._change.wait_for(lambda: self._exited is not None, timeout_seconds)
            return self._exited

    def foreground_command(self) -> str:
        return "" if self.closed else "fake"

    def hand_over(self) -> dict[str, Any] | None:
        return None if self.closed else {"fake": self.session_id}

    def keep(self) -> None:
        self._owner = None

    def close(self) -> None:
        with self._change:
            self._only_owner()
            self.closed = True
            self._exited = self._exited or Exited(0, 9)
            self._change.notify_all()

    def _only_owner(self) -> None:
        self._owner = self._owner or threading.current_thread()
        if self._owner is not threading.current_thread():
            self.misuse.append(f"used by {threading.current_thread().name} and by {self._owner.name}")
        if self.closed:
            self.misuse.append("used after close")
