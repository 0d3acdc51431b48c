"""A program in a PTY of its own, which no session keeps: `exec --tty`."""

from __future__ import annotations

from typing import Final

from cmdop.exechost.interface import Exited, Program, ProgramReady, Wants
from cmdop.ptyhost.interface import Pty, PtyClosed
from cmdop.winsize import Winsize

_LOOK_SECONDS: Final = 1.0
"""How often to look whether a program has ended that holds no terminal any more."""
_END_OF_INPUT: Final = b"\x04"
"""VEOF, as a terminal has it unless it was told otherwise (termios(3))."""


class TerminalProgram(Program):
    """Its outputs are one, and the end of its input is the key that says so."""

    def __init__(self, pty: Pty) -> None:
        self.pty = pty
        self._input_closed = self._closed = self._unseen = False
        self._kept = b""
        """Read, and not asked for yet."""

    def wait(self, wants: Wants, timeout_seconds: float | None = None) -> ProgramReady:
        if timeout_seconds is not None:
            return ProgramReady(ended=self.pty.exit_status(timeout_seconds) is not None)
        if wants.stdout and self._kept:
            return ProgramReady(stdout=True)
        if self._closed:
            # It has most likely ended; who only let go of its terminal may live on.
            return ProgramReady(stdout=wants.stdout, ended=self.pty.exit_status(_LOOK_SECONDS) is not None)
        ready = self.pty.wait(wants.stdin, wants.stdout or self._unseen)
        if ready.readable and self._unseen:
            self._next()
            return ProgramReady()
        return ProgramReady(stdin=ready.writable, stdout=ready.readable)

    def _next(self) -> bytes | None:
        """What it put out; None once that is over."""
        try:
            return None if self._closed else self.pty.read().data
        except PtyClosed:
            self._closed = True
            return None

    def write(self, data: bytes | memoryview) -> int | None:
        try:
            return None if self._input_closed else self.pty.write(data)
        except PtyClosed:
            self._input_closed = True
            return None

    def close_input(self) -> None:
        if not self._input_closed:
            self.write(_END_OF_INPUT)
            self._input_closed = True

    def read(self, error: bool, size: int) -> bytes | None:
        if error or self._unseen:
            return None
        data = self._kept or self._next()
        if data is not None:
            data, self._kept = data[:size], data[size:]
        return data

    def close_output(self, error: bool) -> None:
        """Nobody sees it any more: as if the terminal were gone. What comes is dropped."""
        if not error and not self._unseen:
            self._unseen, self._kept = True, b""
            self.pty.hangup()

    def wake(self) -> None:
        self.pty.wake()

    def signal(self, name: str) -> bool:
        return self.pty.signal(name)

    def resize(self, winsize: Winsize) -> None:
        self.pty.resize(winsize)

    def hang_up(self) -> None:
        self.pty.hangup()

    def kill(self) -> None:
        self.pty.kill()

    def exited(self) -> Exited | None:
        return self.pty.exit_status()

    def close(self) -> None:
        self.pty.close()
