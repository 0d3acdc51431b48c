"""The terminal on a real PTY: raw mode and back, waking, a terminal that vanishes, output that never blocks."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("PTYs of Linux and macOS", allow_module_level=True)

import termios

from cmdop.errors import OutputLost, TerminalGone
from cmdop.limits import ANSWER_DRAIN_SECONDS, STDOUT_PIECE_BYTES
from cmdop.terminal.factory import open_terminal
from cmdop.terminal.interface import Terminal
from cmdop.terminal.posix import PosixOutput, PosixTerminal
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

TIMEOUT_SECONDS = 10.0


class Pty:
    """Both ends of a PTY: a terminal emulator's, and the one that a shell would have."""

    def __init__(self) -> None:
        self.emulator, self.shell = os.openpty()

    def vanish(self) -> None:
        """Close the emulator, as a window is closed."""
        os.close(self.emulator)
        self.emulator = -1

    def shown(self) -> bytes:
        """What the emulator has to show now."""
        assert select.select([self.emulator], [], [], TIMEOUT_SECONDS)[0]
        return os.read(self.emulator, 65536)

    def close(self) -> None:
        for fd in (self.emulator, self.shell):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def pty() -> Iterator[Pty]:
    made = Pty()
    yield made
    made.close()


@pytest.fixture
def terminal(pty: Pty) -> Iterator[Terminal]:
    with PosixTerminal(pty.shell, pty.shell) as made:
        yield made


def attributes(pty: Pty) -> list[Any]:
    return termios.tcgetattr(pty.shell)


# -- raw mode -----------------------------------------------------------------------------------


def test_raw_mode_is_raw_and_is_put_back_exactly(pty: Pty, terminal: Terminal) -> None:
    before = attributes(pty)
    with terminal.raw():
        during = attributes(pty)
        assert not during[3] & (termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        assert not during[0] & (termios.ICRNL | termios.IXON)
        assert not during[1] & termios.OPOST
    assert attributes(pty) == before


def test_raw_mode_keeps_unusual_settings_of_the_user(pty: Pty, terminal: Terminal) -> None:
    unusual = attributes(pty)
    unusual[3] &= ~termios.ECHO
    unusual[0] |= termios.IXOFF
    unusual[6][termios.VINTR] = b"\x07"
    termios.tcsetattr(pty.shell, termios.TCSANOW, unusual)
    before = attributes(pty)
    with terminal.raw():
        pass
    assert attributes(pty) == before


def test_raw_mode_is_put_back_after_an_exception(pty: Pty, terminal: Terminal) -> None:
    before = attributes(pty)
    with pytest.raises(KeyboardInterrupt), terminal.raw():
        raise KeyboardInterrupt
    assert attributes(pty) == before


def test_raw_mode_inside_raw_mode_does_nothing(pty: Pty, terminal: Terminal) -> None:
    before = attributes(pty)
    with terminal.raw():
        raw = attributes(pty)
        with terminal.raw():
            pass
        assert attributes(pty) == raw
    assert attributes(pty) == before


def test_raw_mode_is_put_back_while_output_is_stuck(pty: Pty, terminal: Terminal) -> None:
    before = attributes(pty)
    done = threading.Event()

    def attach() -> None:
        with terminal.raw():
            while terminal.output.try_write(b"x" * 4096):
                pass  # until the emulator, which reads nothing, is full
        done.set()

    threading.Thread(target=attach, daemon=True).start()
    assert done.wait(TIMEOUT_SECONDS)
    assert attributes(pty) == before


def test_leaving_raw_mode_of_a_vanished_terminal_is_quiet(pty: Pty, terminal: Terminal) -> None:
    with terminal.raw():
        pty.vanish()


def test_every_key_arrives_as_it_is_in_raw_mode(pty: Pty, terminal: Terminal) -> None:
    keys = bytes(range(256))
    with terminal.raw():
        os.write(pty.emulator, keys)
        read = b""
        while len(read) < len(keys):
            data = terminal.read(TIMEOUT_SECONDS)
            assert data
            read += data
    assert read == keys


def test_what_was_typed_before_raw_mode_is_not_lost(pty: Pty, terminal: Terminal) -> None:
    os.write(pty.emulator, b"early")
    with terminal.raw():
        assert terminal.read(TIMEOUT_SECONDS) == b"early"


@pytest.mark.parametrize("key", [b"\x04", b"\x05"], ids=["usual", "of the user's own"])
def test_the_key_that_ends_input_is_itself_though_it_was_typed_before_raw_mode(
    pty: Pty, terminal: Terminal, key: bytes
) -> None:
    """Ctrl-D while it still dials: it is to leave, and not to be a NUL for the machine."""
    settings = attributes(pty)
    settings[6][termios.VEOF] = key
    termios.tcsetattr(pty.shell, termios.TCSANOW, settings)
    os.write(pty.emulator, b"ahead" + key + b"more")
    with terminal.raw():
        assert read(terminal, 10) == b"ahead" + key + b"more"
        os.write(pty.emulator, b"\0")
        assert read(terminal, 1) == b"\0"


def read(terminal: Terminal, size: int) -> bytes:
    """So many keys, in however many reads."""
    keys = b""
    while len(keys) < size:
        piece = terminal.read(TIMEOUT_SECONDS)
        assert piece
        keys += piece
    return keys


def test_a_pipe_has_no_raw_mode(pty: Pty) -> None:
    reader, writer = os.pipe()
    with PosixTerminal(reader, pty.shell) as terminal:
        before = attributes(pty)
        with terminal.raw():
            assert attributes(pty) == before
        assert not terminal.is_tty
    os.close(reader)
    os.close(writer)


# -- reading --------------------------------------------------------------------------------------


def test_reading_ends_when_time_is_up(terminal: Terminal) -> None:
    assert terminal.read(0) is None
    assert terminal.read(0.001) is None


def test_wake_ends_a_read_and_every_later_one(pty: Pty, terminal: Terminal) -> None:
    results: list[bytes | None] = []
    reader = threading.Thread(target=lambda: results.append(terminal.read(None)), daemon=True)
    reader.start()
    terminal.wake()
    reader.join(TIMEOUT_SECONDS)
    assert results == [None]
    os.write(pty.emulator, b"late\n")
    assert terminal.read(None) is None
    terminal.wake()


def test_waking_a_closed_terminal_is_quiet(pty: Pty) -> None:
    terminal = PosixTerminal(pty.shell, pty.shell)
    terminal.close()
    terminal.close()
    terminal.wake()
    assert terminal.read(None) is None


def test_a_vanished_terminal_is_the_end_of_input(pty: Pty, terminal: Terminal) -> None:
    with terminal.raw():
        pty.vanish()
        assert terminal.read(TIMEOUT_SECONDS) == b""


def test_a_terminal_that_vanishes_while_it_is_read_is_the_end_of_input(pty: Pty, terminal: Terminal) -> None:
    results: list[bytes | None] = []
    with terminal.raw():
        reader = threading.Thread(target=lambda: results.append(terminal.read(None)), daemon=True)
        reader.start()
        pty.vanish()
        reader.join(TIMEOUT_SECONDS)
    assert results == [b""]


def test_the_end_of_a_pipe_is_the_end_of_input(pty: Pty) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"last")
    os.close(writer)
    with PosixTerminal(reader, pty.shell) as terminal:
        assert terminal.read(None) == b"last"
        assert terminal.read(None) == b""
    os.close(reader)


# -- the size -----------------------------------------------------------------------------------------


def resize(pty: Pty, rows: int, cols: int) -> None:
    fcntl.ioctl(pty.shell, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def test_the_size_is_rows_and_columns(pty: Pty, terminal: Terminal) -> None:
    resize(pty, 33, 101)
    assert terminal.size() == Winsize(33, 101)


def test_a_terminal_without_a_size_has_the_default_one(pty: Pty, terminal: Terminal) -> None:
    resize(pty, 0, 0)
    assert terminal.size() == DEFAULT_WINSIZE


def test_the_size_of_the_input_counts_when_the_output_is_a_pipe(pty: Pty) -> None:
    resize(pty, 40, 90)
    reader, writer = os.pipe()
    with PosixTerminal(pty.shell, writer) as terminal:
        assert terminal.size() == Winsize(40, 90)
    os.close(reader)
    os.close(writer)


def test_a_resize_calls_back_only_inside_the_block(terminal: Terminal) -> None:
    calls: list[int] = []
    before = signal.getsignal(signal.SIGWINCH)
    with terminal.on_resize(lambda: calls.append(1)):
        os.kill(os.getpid(), signal.SIGWINCH)
        assert calls == [1]
    assert signal.getsignal(signal.SIGWINCH) is before


def test_raw_mode_comes_back_with_a_process_that_was_stopped(pty: Pty, terminal: Terminal) -> None:
    before, calls = attributes(pty), []
    with terminal.on_resize(lambda: calls.append(1)):
        with terminal.raw():
            raw = attributes(pty)
            termios.tcsetattr(pty.shell, termios.TCSANOW, before)  # as a shell does whose job was stopped
            signal.raise_signal(signal.SIGCONT)
            assert attributes(pty) == raw
            assert calls == [1]
        signal.raise_signal(signal.SIGCONT)
        assert attributes(pty) == before


def test_a_signal_that_ends_calls_back_instead(terminal: Terminal) -> None:
    calls: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with terminal.on_end(calls.append):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            os.kill(os.getpid(), number)
        assert calls == [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_was_ignored_stays_ignored(terminal: Terminal) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        calls: list[int] = []
        with terminal.on_end(calls.append):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not calls
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# -- output ---------------------------------------------------------------------------------------------


def test_output_that_nobody_reads_does_not_block(pty: Pty, terminal: Terminal) -> None:
    poll_fd = terminal.output.poll_fd
    assert poll_fd is not None
    with terminal.raw():
        sent = 0
        while select.select([], [poll_fd], [], 0)[1]:
            sent += terminal.output.try_write(b"x" * 4096)
        assert sent > 0
        # The kernel may still move some of it out of the way.
        while taken := terminal.output.try_write(b"x" * 4096):
            sent += taken
        received = 0
        while received < sent:
            received += len(pty.shown())
        assert select.select([], [poll_fd], [], TIMEOUT_SECONDS)[1]
        assert terminal.output.try_write(memoryview(b"more")) == 4


def test_the_users_own_descriptor_stays_blocking(pty: Pty) -> None:
    before = fcntl.fcntl(pty.shell, fcntl.F_GETFL)
    with PosixTerminal(pty.shell, pty.shell) as terminal:
        assert terminal.output.try_write(b"text") == 4
        assert fcntl.fcntl(pty.shell, fcntl.F_GETFL) == before
        assert terminal.output.poll_fd != pty.shell
    assert fcntl.fcntl(pty.shell, fcntl.F_GETFL) == before
    assert os.isatty(pty.shell)


def test_output_to_a_vanished_terminal_says_that_it_is_gone(pty: Pty, terminal: Terminal) -> None:
    pty.vanish()
    with pytest.raises(TerminalGone):
        terminal.output.try_write(b"text")


def test_output_to_a_closed_pipe_says_that_it_cannot_be_written() -> None:
    reader, writer = os.pipe()
    output = PosixOutput(writer)
    assert output.try_write(b"text") == 4
    os.close(reader)
    with pytest.raises(OutputLost):
        output.try_write(b"text")
    output.close()
    os.close(writer)


def test_output_to_a_full_pipe_does_not_block() -> None:
    reader, writer = os.pipe()
    output = PosixOutput(writer)
    sent = 0
    while taken := output.try_write(b"x" * 100_000):
        assert taken <= STDOUT_PIECE_BYTES
        sent += taken
    assert len(os.read(reader, sent)) > 0
    assert os.get_blocking(writer)
    output.close()
    os.close(reader)
    os.close(writer)


def test_output_that_cannot_be_waited_for_is_written_in_pieces(tmp_path: Any) -> None:
    path = tmp_path / "typescript"
    with path.open("wb") as file:
        output = PosixOutput(file.fileno())
        assert output.poll_fd is None
        assert output.try_write(b"x" * 100_000) == STDOUT_PIECE_BYTES
        output.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert PosixOutput(ours.fileno()).poll_fd is None


def test_closed_output_takes_nothing_and_closing_twice_is_quiet(pty: Pty) -> None:
    output = PosixOutput(pty.shell)
    output.close()
    output.close()
    with pytest.raises(TerminalGone):
        output.try_write(b"text")
    assert os.isatty(pty.shell)


# -- what is left over when leaving -----------------------------------------------------------------------


def test_leaving_throws_away_what_was_not_read(pty: Pty, terminal: Terminal) -> None:
    with terminal.raw():
        os.write(pty.emulator, b"\x1b[100;5:3u")
        assert select.select([pty.shell], [], [], TIMEOUT_SECONDS)[0]
        terminal.drain_input()
        assert terminal.read(0) is None


def test_leaving_waits_for_answers_that_are_due(pty: Pty, terminal: Terminal) -> None:
    def answer() -> None:
        shown = b""
        while b"\x1b[5n" not in shown:
            shown += pty.shown()
        for part in (b"\x1b[?62;4c\x1b[", b"0n", b""):
            os.write(pty.emulator, part)

    with terminal.raw():
        emulator = threading.Thread(target=answer)
        emulator.start()
        terminal.drain_input(answers_due=True)
        emulator.join(TIMEOUT_SECONDS)
        assert terminal.read(0) is None


def test_leaving_does_not_wait_long_for_a_terminal_that_answers_nothing(pty: Pty, terminal: Terminal) -> None:
    with terminal.raw():
        terminal.drain_input(answers_due=True)
    assert pty.shown() == b"\x1b[5n"
    assert ANSWER_DRAIN_SECONDS <= 0.1


def test_leaving_a_vanished_or_stuck_terminal_is_quiet(pty: Pty, terminal: Terminal) -> None:
    with terminal.raw():
        while terminal.output.try_write(b"x" * 4096):
            pass
        terminal.drain_input(answers_due=True)
        pty.vanish()
        terminal.drain_input(answers_due=True)
    terminal.close()
    terminal.drain_input()


# -- a process of its own --------------------------------------------------------------------------------------

CHILD = """
from cmdop.client.mailbox import Mailbox
from cmdop.terminal.factory import open_terminal
heard = Mailbox()
with open_terminal() as terminal, heard.hearing_signals():
    with terminal.raw(), terminal.on_resize(lambda: heard.put(None)), terminal.on_end(heard.put):
        assert terminal.is_tty
        while not terminal.output.try_write(b"ready"):
            pass
        heard.get()
        print(*terminal.size(), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP])
def test_a_process_with_this_terminal_puts_it_back(pty: Pty, number: signal.Signals) -> None:
    resize(pty, 44, 111)
    before = attributes(pty)
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=pty.shell, stdout=pty.shell) as process:
        shown = b""
        while b"ready" not in shown:
            shown += pty.shown()
        assert attributes(pty) != before
        process.send_signal(number)
        while b"44 111" not in shown:
            shown += pty.shown()
        assert process.wait(TIMEOUT_SECONDS) == 0
    assert attributes(pty) == before


def test_the_factory_opens_what_is_there(pty: Pty) -> None:
    with open_terminal(pty.shell, pty.shell) as terminal:
        assert terminal.is_tty
