"""What a user's terminal is, whatever platform it is on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from cmdop.winsize import Winsize


class Output(ABC):
    """Where the terminal shows things. One thread writes at a time."""

    @abstractmethod
    def try_write(self, data: bytes | memoryview) -> int:
        """Write what the terminal takes now; how many bytes that was, 0 if none.

        It does not block where `poll_fd` can be waited for; elsewhere it blocks for no
        more than one piece of `STDOUT_PIECE_BYTES`. Raises TerminalGone for a terminal
        that went away or an output that was closed, OutputLost for a pipe or file that takes no more.
        """

    @property
    @abstractmethod
    def poll_fd(self) -> int | None:
        """A descriptor that is writable when `try_write` will take something, for select.

        None where the platform or the descriptor cannot be waited for.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what this opened; the process's own stdout stays open. Twice is quiet."""


class Terminal(ABC):
    """The terminal at both ends: keys that come in, bytes that are shown.

    One thread reads; any thread may `wake` it. Used as a `with` block, it is closed at
    the end.
    """

    output: Output

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def is_tty(self) -> bool:
        """Whether both ends are terminals, so that somebody sits there."""

    @abstractmethod
    def size(self) -> Winsize:
        """The size in cells; `DEFAULT_WINSIZE` where there is none to ask for."""

    @abstractmethod
    def raw(self) -> AbstractContextManager[None]:
        """Raw mode as a `with` block, entered last and left first.

        Every key arrives at once, as it is: no echo, no line editing, no signals from
        Ctrl-C, Ctrl-Z or Ctrl-\\. At the end the terminal's own settings are put back,
        whatever ended the block, and without waiting for output that nobody takes.
        A block inside another one does nothing, and so does one around an input that is
        no terminal. Raises TerminalGone when the terminal went away before.
        """

    @abstractmethod
    def read(self, timeout_seconds: float | None) -> bytes | None:
        """Bytes that were typed, at most `TERMINAL_READ_BYTES`.

        b"" at the end of input or when the terminal went away. None when nothing came
        in time, and from `wake` on, for good.
        """

    @abstractmethod
    def wake(self) -> None:
        """End `read`, now and from now on. From any thread or signal handler; twice is quiet."""

    @abstractmethod
    def on_resize(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        """Call back, for the length of a `with` block, when the size may have changed.

        It may have while the process was stopped, and a shell has put its own settings on the
        terminal then: inside this block raw mode outlives that.

        Entered on the main thread. The callback may come between any two steps of the
        main thread (a signal handler) or on the reading thread, and must not block.
        """

    @abstractmethod
    def on_end(self, callback: Callable[[int], None]) -> AbstractContextManager[None]:
        """Call back with the signal's number, instead of dying, for the length of a `with` block.

        These are the signals that ask the process to end. Ones that were ignored before
        stay ignored (nohup). The same rules as for `on_resize`.
        """

    @abstractmethod
    def drain_input(self, answers_due: bool = False) -> None:
        """Throw away what was typed and not read, before leaving raw mode.

        What is left would be typed into the user's own shell: the release of the key
        that left, reports of a mouse that is already off, answers to questions of the
        remote program. Keys typed right after the leaving key go with them; those in the
        same read as the key are dropped by the key contract anyway.

        With `answers_due` the program asked something lately (`ModeTracker.answers_due`).
        A terminal answers in order, so it is asked one more question here, and what comes
        up to that answer is thrown away; a terminal that does not answer costs
        `ANSWER_DRAIN_SECONDS`. Called when the reading thread has stopped, after the
        modes were undone. Never raises.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what this opened. Twice is quiet."""
