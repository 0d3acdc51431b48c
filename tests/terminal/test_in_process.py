"""A terminal at which a program sits: what it types is read, what it is shown waits, and both are bounded."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator

import pytest

from cmdop.errors import TerminalGone
from cmdop.limits import SHOWN_AHEAD_BYTES, TERMINAL_READ_BYTES
from cmdop.terminal.in_process import InProcessTerminal
from cmdop.winsize import Winsize

TIMEOUT_SECONDS = 10.0


@pytest.fixture
def terminal() -> Iterator[InProcessTerminal]:
    terminal = InProcessTerminal(Winsize(30, 100))
    yield terminal
    terminal.close()
    terminal.leave()


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, name="test", daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(TIMEOUT_SECONDS)
    return not thread.is_alive()


# -- typing -----------------------------------------------------------------------------------


def test_what_was_typed_is_read_at_once_and_in_order(terminal: InProcessTerminal) -> None:
    terminal.type(b"one ")
    terminal.type(b"two\x04")
    assert terminal.read(None) == b"one two\x04"
    assert terminal.read(0.0) is None


def test_much_is_read_in_pieces_and_typing_waits_for_it(terminal: InProcessTerminal) -> None:
    data = bytes(number % 251 for number in range(3 * TERMINAL_READ_BYTES + 1))
    typing = in_background(lambda: terminal.type(data))
    read = b""
    while len(read) < len(data):
        piece = terminal.read(TIMEOUT_SECONDS)
        assert piece
        assert len(piece) <= TERMINAL_READ_BYTES
        read += piece
    assert read == data
    assert ended(typing)


def test_the_end_of_input_comes_behind_what_was_typed(terminal: InProcessTerminal) -> None:
    terminal.type(b"last")
    terminal.end_input()
    terminal.end_input()
    terminal.type(b"too late")
    assert terminal.read(None) == b"last"
    assert terminal.read(None) == b""


@pytest.mark.parametrize("end", [InProcessTerminal.wake, InProcessTerminal.close])
def test_waking_ends_reading_and_typing_for_good(
    terminal: InProcessTerminal, end: Callable[[InProcessTerminal], None]
) -> None:
    found: list[bytes | None] = []
    reading = in_background(lambda: found.append(terminal.read(None)))
    end(terminal)
    assert ended(reading)
    assert found == [None]
    terminal.type(b"x" * (2 * TERMINAL_READ_BYTES))
    assert terminal.read(None) is None


def test_who_types_too_much_is_woken_as_well(terminal: InProcessTerminal) -> None:
    typing = in_background(lambda: terminal.type(b"x" * (2 * TERMINAL_READ_BYTES)))
    terminal.wake()
    assert ended(typing)


# -- showing ------------------------------------------------------------------------------------


def test_what_was_shown_is_what_the_program_reads(terminal: InProcessTerminal) -> None:
    assert terminal.shown(0.0) is None
    assert terminal.output.try_write(b"hello") == 5
    assert terminal.shown(None) == b"hello"
    assert terminal.shown(0.01) is None


def test_output_that_nobody_reads_is_bounded_and_can_be_waited_for(terminal: InProcessTerminal) -> None:
    taken = 0
    while piece := terminal.output.try_write(b"x" * 4096):
        taken += piece
    assert taken <= 8 * SHOWN_AHEAD_BYTES
    fd = terminal.output.poll_fd
    assert fd is not None
    assert select.select([], [fd], [], 0.0)[1] == []
    while terminal.shown(0.0):
        pass
    assert select.select([], [fd], [], TIMEOUT_SECONDS)[1] == [fd]
    assert terminal.output.try_write(b"x") == 1


def test_what_was_shown_before_the_end_is_still_read(terminal: InProcessTerminal) -> None:
    terminal.output.try_write(b"last words")
    terminal.wake()
    with pytest.raises(TerminalGone):
        terminal.output.try_write(b"undone")
    terminal.close()
    terminal.close()
    assert terminal.shown(None) == b"last words"
    assert terminal.shown(None) == b""
    assert terminal.shown(0.0) == b""


def test_a_reader_is_woken_by_the_end(terminal: InProcessTerminal) -> None:
    found: list[bytes | None] = []
    reading = in_background(lambda: found.append(terminal.shown(None)))
    terminal.close()
    terminal.leave()
    assert ended(reading)
    assert found == [b""]
    terminal.leave()
    assert terminal.shown(None) == b""


def test_output_to_a_program_that_left_says_that_it_is_gone(terminal: InProcessTerminal) -> None:
    terminal.leave()
    with pytest.raises(TerminalGone):
        terminal.output.try_write(b"x")


# -- what a terminal is besides --------------------------------------------------------------------


def test_it_is_no_tty_and_has_the_size_that_it_is_given(terminal: InProcessTerminal) -> None:
    assert not terminal.is_tty
    assert terminal.size() == Winsize(30, 100)
    told: list[Winsize] = []
    with terminal.on_resize(lambda: told.append(terminal.size())):
        terminal.resize(Winsize(50, 132))
    terminal.resize(Winsize(1, 1))
    assert told == [Winsize(50, 132)]
    assert terminal.size() == Winsize(1, 1)


def test_it_has_no_modes_and_no_signals(terminal: InProcessTerminal) -> None:
    with terminal.raw(), terminal.on_end(lambda number: pytest.fail("no signal is ours")):
        terminal.type(b"x")
    terminal.drain_input()
    assert terminal.read(None) == b"x"
