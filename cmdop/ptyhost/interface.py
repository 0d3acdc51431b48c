"""What a program in a PTY can be asked for; the same on every platform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from cmdop.winsize import Winsize


class ShellCommand(NamedTuple):
    """What to run: the program's absolute path, and its argv.

    A login shell has a dash before its name in `argv[0]` (login(1), bash(1) INVOCATION).
    """

    path: str
    argv: tuple[str, ...]


class Ready(NamedTuple):
    """Why `Pty.wait` came back. Several may be true at once."""

    readable: bool
    writable: bool
    woken: bool


class PtyRead(NamedTuple):
    """Output of the program, in order.

    `flushed` says that right after `data` the line discipline threw output away (an
    interrupt without NOFLSH): what is still unsent, `data` included, is what the user
    wanted to be rid of. Bytes from before and after a flush are never in one read.
    """

    data: bytes
    flushed: bool


class Exited(NamedTuple):
    """How the program ended: its exit status, or the signal that killed it (not 0)."""

    status: int
    signal: int = 0


class PtyClosed(Exception):
    """The program's output is at its end, or nobody is left to take input."""


class Pty(ABC):
    """A program, its terminal and its children.

    One thread owns it: that one calls `wait`, `read` and `close`. `write` is for one
    thread at a time, the owner or another, and not after `close`. Everything else may be
    called from any thread, never blocks on the program, and is quiet when the program has
    gone or the PTY is closed.
    """

    pid: int
    """The session leader's; it is not reused before `close`."""

    @abstractmethod
    def wait(self, want_write: bool, want_read: bool = True) -> Ready:
        """Block until there is output or its end, room for input, or a `wake`.

        Without `want_read` the output, its end included, stays where it is: the program
        will block on it. Only a flush is told of then, where the platform knows of one: the
        PTY is readable, and `read` brings it and no output. A wake that came before the call
        counts.
        """

    @abstractmethod
    def read(self) -> PtyRead:
        """The output that is there now, at most `PTY_READ_BYTES`; never blocks, may be empty.

        Raises PtyClosed once the program has exited and what it wrote has been read,
        even if its background children still hold the terminal; or when nobody holds it.
        """

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int:
        """Give input to the program; how many bytes it took now, 0 when it would block.

        Raises PtyClosed when nobody is left to read it.
        """

    @abstractmethod
    def wake(self) -> None:
        """Make `wait` return with `woken`; wakes before that are one."""

    @abstractmethod
    def resize(self, winsize: Winsize) -> None:
        """Give the terminal another size; the foreground program is told (SIGWINCH)."""

    @abstractmethod
    def signal(self, signal: str | int) -> bool:
        """Send a signal ("INT", "SIGINT" or 2) to the foreground process group.

        Whether there was somebody to send it to, who may be signalled by this user.
        Raises UsageError for one that does not exist.
        """

    @abstractmethod
    def hangup(self) -> None:
        """Tell the session leader and the foreground group that the terminal is gone."""

    @abstractmethod
    def kill(self) -> None:
        """End everything in the session, at once."""

    @abstractmethod
    def exit_status(self, timeout_seconds: float = 0.0) -> Exited | None:
        """How the program ended, None while it runs; waits at most that long for it."""

    @abstractmethod
    def foreground_command(self) -> str:
        """The command line of the program in the foreground, "" when it cannot be known."""

    @abstractmethod
    def hand_over(self) -> dict[str, Any] | None:
        """What the program that this process is about to become (exec: the same pid, so
        that its children stay its own) needs to go on with the PTY: for `factory.take_over`,
        and fit for JSON. None where a PTY cannot be kept (Windows), and when it is closed.

        It only describes, and makes descriptors inheritable: unread output, a flush that
        nobody saw yet and an exit status stay in the kernel. So the PTY still works if the
        exec fails, after `keep`. Between this and the exec nobody may call `read`, `write`
        or `exit_status`: what they bring would be lost, or done twice. And no program may
        be started: it would inherit the descriptors. By the owner, or while it waits.
        """

    @abstractmethod
    def keep(self) -> None:
        """There was no exec after `hand_over`: no program may inherit anything any more."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back, by the owner. Twice is quiet.

        A program that still runs is killed, with all of its session. Background jobs of
        one that has exited are left alone, as sshd does; they have lost their terminal.
        """
