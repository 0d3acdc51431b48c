"""What a program without a session can be asked for; the same with pipes and with a terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from cmdop.ptyhost.interface import Exited, ShellCommand
from cmdop.winsize import Winsize

__all__ = ["Exited", "Program", "ProgramReady", "ShellCommand", "Wants"]


class Wants(NamedTuple):
    """What `Program.wait` is to look at. Its end is always looked at until it was seen."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


class ProgramReady(NamedTuple):
    """Why `Program.wait` came back; several may be true at once.

    `ended` says that the program has exited. Its children may still hold its pipes.
    """

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    ended: bool = False


class Program(ABC):
    """A program, its standard streams and its process group.

    One thread owns it and calls everything but `wake`, `signal`, `resize` and
    `kill`, which any thread may call at any time.
    """

    @abstractmethod
    def wait(self, wants: Wants, timeout_seconds: float | None = None) -> ProgramReady:
        """Block until something wanted is ready, the program has ended, a `wake`, or time is up.

        A wake that came before the call counts. Ready for input is also who takes none any
        more, ready with output also who has written everything: the next call says so.
        """

    @abstractmethod
    def write(self, data: bytes | memoryview) -> int | None:
        """Give it input; how many bytes it took now, or None if it takes no more ever."""

    @abstractmethod
    def close_input(self) -> None:
        """Let it see the end of its input. Twice is quiet."""

    @abstractmethod
    def read(self, error: bool, size: int) -> bytes | None:
        """At most `size` bytes of what it wrote to standard output, or error; b"" when there is
        nothing now, None at the end. Never blocks."""

    @abstractmethod
    def close_output(self, error: bool) -> None:
        """Nobody reads it any more: writing to it fails from now on (SIGPIPE). Twice is quiet."""

    @abstractmethod
    def wake(self) -> None:
        """Make `wait` return."""

    @abstractmethod
    def signal(self, name: str) -> bool:
        """Send a signal ("INT", "SIGINT" or "2") to the process group; whether anybody got it.

        Raises UsageError for one that does not exist.
        """

    def resize(self, winsize: Winsize) -> None:  # noqa: B027 - there may be no terminal
        """Its terminal has another size; of no meaning without one."""

    @abstractmethod
    def hang_up(self) -> None:
        """Tell the process group that whoever wanted it is gone."""

    @abstractmethod
    def kill(self) -> None:
        """End the process group at once."""

    @abstractmethod
    def exited(self) -> Exited | None:
        """How the program itself ended; None while it runs."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back, once the program has ended or was killed. Twice is quiet.

        What it left running in the background is left alone, as sshd does.
        """
