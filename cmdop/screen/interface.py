"""A terminal model: fed with a session's output, it can show its state to any terminal."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

from cmdop.winsize import Winsize


class Snapshot(NamedTuple):
    """What brings a terminal to the model's state. To be written in this order.

    Nothing in it is a question: no terminal answers any of it.
    """

    data: bytes
    """Scrollback, screen, cursor and modes. It ends outside of any escape sequence and
    of any UTF-8 character."""
    reports: bytes
    """Switches on the reports that some terminals give at once when asked to report
    changes: of focus (1004), of the colour scheme (2031), of visibility (2033), of the
    size (2048). Empty for most programs. What a terminal says to it has to be kept from
    the PTY."""
    pending: bytes
    """The beginning of a sequence or character that the output so far ends in. The live
    output goes on right behind it."""

    @property
    def whole(self) -> bytes:
        """All three, in the order of writing."""
        return self.data + self.reports + self.pending


class Capture(abc.ABC):
    """The model's state at one moment, to be drawn later: without holding up the output."""

    @abc.abstractmethod
    def draw(self) -> Snapshot:
        """What shows this state. Can be asked for once. It may take some 100 ms."""


class TerminalModel(abc.ABC):
    """What a terminal of a session's size would show after all of its output.

    Every method may be called from any thread. None raises for any input: a model that
    breaks is replaced by a simpler one.
    """

    @abc.abstractmethod
    def feed(self, data: bytes) -> None:
        """Output of the PTY, in order, split anywhere. It does not wait for an answer."""

    @abc.abstractmethod
    def resize(self, winsize: Winsize) -> None:
        """The PTY has another size from here on."""

    @abc.abstractmethod
    def capture(self, history: bool = True, redraw: bool = False, fits: bool = True) -> Capture:
        """The state as of now.

        With `history` the newest part of the scrollback comes first, and what the
        terminal showed before scrolls away above it. With `redraw` the screen is drawn
        over what the terminal shows, whatever state it is in; no scrollback then.
        The terminal has the model's size, unless it is said that it does not fit: then
        each row is a line of its own in its upper left corner, which is cut at its edge
        and goes on with no other one. That only goes with `redraw`.
        """

    def snapshot(self, history: bool = True, redraw: bool = False, fits: bool = True) -> Snapshot:
        """`capture` and `draw` at once."""
        return self.capture(history, redraw, fits).draw()

    @abc.abstractmethod
    def answer(self, answering: bool) -> None:
        """Whether the questions in the output to come are answered by the model.

        They are not until this is called: a terminal is there to answer.
        """

    @abc.abstractmethod
    def answers(self) -> bytes:
        """What is to be typed into the PTY for the questions so far; each answer once.

        It waits until the model has seen all of the output, if there was a question: not to
        be called while holding a lock that others need at once.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back. Twice is quiet."""


class ScreenModel(TerminalModel):
    """A session's model, which stays when its process becomes another program."""

    @abc.abstractmethod
    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        """What the program that this process is about to become (exec: the same pid, so
        that its children stay its own) needs to go on with the model, for
        `factory.take_over_screen`: what is fit for JSON, and what is large.

        It makes descriptors inheritable and changes nothing else, so that the model goes on
        after `keep` if the exec fails. Until then nobody may call anything else, and no
        program may be started. It waits for a snapshot that is being received, and one
        that is asked for later waits for `keep`. What was captured and not drawn is lost.
        """

    @abc.abstractmethod
    def keep(self) -> None:
        """There was no exec after `hand_over`: go on. Quiet if nothing was handed over."""
