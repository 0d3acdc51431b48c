"""A program in a PTY of Linux or macOS.

The master is non-blocking and in packet mode (TIOCPKT in tty_ioctl(4)): every read has a
byte in front, 0 before output, or else bits that tell what the line discipline did. The
one that matters is TIOCPKT_FLUSHWRITE: it threw away what was not read yet.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal as signals
import struct
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from typing import Any

from cmdop.errors import ShellLost, ShellUnusable
from cmdop.limits import PTY_READ_BYTES
from cmdop.ptyhost import processes
from cmdop.ptyhost.child import Child, ReapedChild
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, PtyRead, Ready, ShellCommand
from cmdop.ptyhost.signals import signal_number
from cmdop.winsize import Winsize

assert sys.platform != "win32"

StartChild = Callable[[ShellCommand, Mapping[str, str], str, int], Child]
AdoptChild = Callable[[int], Child]

_PACKET_BYTES = 4096
"""Output in one read, at most; Linux never has more."""
_KEYSTROKE_BYTES = 64
"""Less than this in one read is somebody typing: a second look costs more than it brings."""
_IUTF8 = 0x4000
"""<asm/termbits.h> and macOS <sys/termios.h>: erase takes whole characters back."""
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


def open_posix_pty(
    start: StartChild, command: ShellCommand, env: Mapping[str, str], cwd: str, winsize: Winsize
) -> PosixPty:
    """The command, running in a new PTY of that size. Raises ShellUnusable."""
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise ShellUnusable(shell=command.path, reason=f"no PTY: {error.strerror}") from error
    try:
        _prepare(master, slave, winsize)
        return _adopt(master, start(command, env, cwd, slave))
    except OSError as error:
        os.close(master)
        raise ShellUnusable(shell=command.path, reason=error.strerror) from error
    finally:
        os.close(slave)


def take_over_posix_pty(adopt: AdoptChild, kept: dict[str, Any]) -> PosixPty:
    """The PTY that `PosixPty.hand_over` described, before the exec. Raises ShellLost.

    An older version may have described it: what is added needs a default.
    """
    master = int(kept["master"])
    try:
        os.set_inheritable(master, False)
        pty = _adopt(master, _adopted(adopt, int(kept["pid"]), kept["exited"]))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(master)
        raise ShellLost(reason=error.strerror) from error
    pty.go_on(exit_seen=bool(kept["exit_seen"]), after_exit_bytes=int(kept["after_exit_bytes"]))
    return pty


def _adopted(adopt: AdoptChild, pid: int, exited: list[int] | None) -> Child:
    """Raises OSError; the child is killed then."""
    if exited is not None:  # who has been reaped is no child any more, and its pid perhaps another's
        return ReapedChild(pid, Exited(*exited))
    try:
        return adopt(pid)
    except OSError:  # out of descriptors
        processes.send(pid, signals.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        raise


def _adopt(master: int, child: Child) -> PosixPty:
    try:
        return PosixPty(master, child)
    except OSError:  # out of descriptors
        processes.send(child.pid, signals.SIGKILL)
        child.release()
        raise


def _prepare(master: int, slave: int, winsize: Winsize) -> None:
    attributes = termios.tcgetattr(slave)
    attributes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    termios.tcsetwinsize(slave, winsize.clamped())
    fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
    os.set_blocking(master, False)


class PosixPty(Pty):
    """The master of a PTY and the child that leads the session on its slave."""

    def __init__(self, master: int, child: Child) -> None:
        self.pid = child.pid
        self._master, self._child = master, child
        self._waking, self._wake = os.pipe()
        os.set_blocking(self._waking, False)
        os.set_blocking(self._wake, False)
        self._pollers: dict[tuple[bool, bool, bool], select.poll] = {}
        self._hung_up = False
        self._status_only = False
        """Nobody wants output now, only to hear of a flush."""
        self._exit_seen = False
        self._after_exit_bytes = 0
        # Guards the descriptors against being closed, and reused by others, while a thread
        # that is not the owner uses one. Only short system calls are made under it.
        self._lock = threading.Lock()
        self._closed = False

    def go_on(self, exit_seen: bool, after_exit_bytes: int) -> None:
        """Before the first use: how far the program that had this PTY before had come."""
        self._exit_seen, self._after_exit_bytes = exit_seen, after_exit_bytes

    # -- the owner's thread ---------------------------------------------------------------

    def wait(self, want_write: bool, want_read: bool = True) -> Ready:
        events = dict(self._poller(want_write, want_read).poll())
        master = events.get(self._master, 0)
        exited = self._child.fileno() in events
        self._exit_seen |= exited
        self._hung_up = bool(master & _GONE)
        self._status_only = not want_read
        woken = self._waking in events
        if woken:
            os.read(self._waking, 4096)
        return Ready(
            readable=bool(master & select.POLLPRI)
            or (want_read and (exited or bool(master & (select.POLLIN | _GONE)))),
            writable=want_write and bool(master & (select.POLLOUT | _GONE)),
            woken=woken,
        )

    def read(self) -> PtyRead:
        if self._after_exit_bytes >= PTY_READ_BYTES:
            raise PtyClosed
        pieces: list[bytes] = []
        size = 0
        while size <= PTY_READ_BYTES - _PACKET_BYTES and (packet := self._read_packet()):
            if packet[0] & termios.TIOCPKT_FLUSHWRITE:
                return PtyRead(b"".join(pieces), flushed=True)
            # Of the other bits none says anything about output: flow control, and flushed input.
            if packet[0] == termios.TIOCPKT_DATA:
                pieces.append(packet[1:])
                size += len(packet) - 1
                if size < _KEYSTROKE_BYTES:
                    break  # an echo; a flood comes in larger pieces, and is drained
            if self._status_only:
                break
        if not pieces and not self._status_only and (packet is None or self._exit_seen):
            raise PtyClosed
        if self._exit_seen:
            # The kernel holds less than one full read; more is from those left behind.
            self._after_exit_bytes += size
        return PtyRead(b"".join(pieces), flushed=False)

    def write(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            if self._hung_up:
                raise PtyClosed from None
            return 0
        except OSError as error:
            raise PtyClosed from error

    def hand_over(self) -> dict[str, Any] | None:
        with self._lock:
            if self._closed:
                return None
            os.set_inheritable(self._master, True)
        exited = self._child.reaped
        return {
            "pid": self.pid,
            "master": self._master,
            "exited": None if exited is None else list(exited),
            "exit_seen": self._exit_seen,
            "after_exit_bytes": self._after_exit_bytes,
        }

    def keep(self) -> None:
        with self._lock:
            if not self._closed:
                os.set_inheritable(self._master, False)

    def close(self) -> None:
        if self._closed:
            return
        if self._child.exited() is None:
            self.kill()
        with self._lock:
            self._closed = True
            for fd in (self._master, self._waking, self._wake):
                os.close(fd)
        self._pollers.clear()
        self._child.release()

    # -- any thread -------------------------------------------------------------------------

    def wake(self) -> None:
        with self._lock:
            if not self._closed:
                try:
                    os.write(self._wake, b"\0")
                except BlockingIOError:
                    pass  # it is full of wakes

    def resize(self, winsize: Winsize) -> None:
        with self._lock:
            if not self._closed:
                try:
                    termios.tcsetwinsize(self._master, winsize.clamped())
                except (OSError, termios.error):
                    pass  # nobody holds the other side: nobody to tell

    def signal(self, signal: str | int) -> bool:
        number = signal_number(signal)
        group = self._foreground_group()
        return group > 0 and processes.send_to_group(group, number)

    def hangup(self) -> None:
        """The leader first, as the kernel does it (tty_signal_session_leader): a shell whose
        child died of it before would be at its prompt, and bash may sit there with it."""
        group = self._foreground_group()
        both = (signals.SIGHUP, signals.SIGCONT)  # who is stopped could not die of the first
        if not self._closed:
            for number in both:
                processes.send(self.pid, number)
        if group > 0 and group != self.pid:
            for number in both:
                processes.send_to_group(group, number)

    def kill(self) -> None:
        if not self._closed:
            processes.kill_session(self.pid)

    def exit_status(self, timeout_seconds: float = 0.0) -> Exited | None:
        return self._child.exited(timeout_seconds)

    def foreground_command(self) -> str:
        group = self._foreground_group()
        return processes.command_of(group) if group > 0 else ""

    # -- steps ----------------------------------------------------------------------------------

    def _foreground_group(self) -> int:
        """The foreground process group; 0 when there is none."""
        with self._lock:
            if self._closed:
                return 0
            try:
                return os.tcgetpgrp(self._master)
            except OSError:
                return 0

    def _poller(self, want_write: bool, want_read: bool) -> select.poll:
        # Poll always tells of a hangup: a master of which it is known is left out unless wanted.
        watched = want_write or want_read or not self._hung_up
        poller = self._pollers.get((want_write, want_read, watched))
        if poller is None:
            poller = self._pollers[want_write, want_read, watched] = select.poll()
            poller.register(self._waking, select.POLLIN)
            if watched:
                reading = select.POLLPRI | (select.POLLIN if want_read else 0)
                poller.register(self._master, reading | (select.POLLOUT if want_write else 0))
            if want_read:
                poller.register(self._child.fileno(), select.POLLIN)
        return poller

    def _read_packet(self) -> bytes | None:
        """One packet; b"" when there is none now, None when there will be none."""
        try:
            return os.read(self._master, 1 + _PACKET_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last one who held the slave has gone
                raise
            return None
