"""The ConPTY adapter over a console that is made of Python."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from cmdop.limits import PTY_READ_BYTES
from cmdop.ptyhost.interface import Exited
from cmdop.ptyhost.windows import ConPty
from cmdop.winsize import Winsize
from tests.ptyhost.driver import UNIT_SECONDS, Screen, read_sizes


class FakeConsole:
    """Answers like pywinpty's PTY: (cols, rows), str, an exception at the end."""

    pid = 4711

    def __init__(self) -> None:
        self.said: queue.Queue[str | None] = queue.Queue()
        self.heard: list[str] = []
        self.size = (80, 24)
        self.status: int | None = None
        self.reads = 0

    def spawn(self, appname: str, cmdline: str | None, cwd: str | None, env: str | None) -> bool:
        return True

    def read(self, *, blocking: bool) -> str:
        assert blocking
        text = self.said.get(timeout=UNIT_SECONDS)
        self.reads += 1
        if text is None:
            raise EOFError("Standard out reached EOF")
        return text

    def write(self, to_write: str) -> int:
        self.heard.append(to_write)
        return len(to_write)

    def set_size(self, cols: int, rows: int) -> None:
        self.size = (cols, rows)

    def isalive(self) -> bool:
        return self.status is None

    def get_exitstatus(self) -> int | None:
        return self.status

    def end(self, status: int) -> None:
        self.status = status
        self.said.put(None)


@pytest.fixture
def console() -> FakeConsole:
    return FakeConsole()


@pytest.fixture
def pty(console: FakeConsole) -> Iterator[ConPty]:
    pty = ConPty(console)
    yield pty
    console.end(0)
    pty.close()


def test_output_arrives_as_utf_8_and_then_the_end(pty: ConPty, console: FakeConsole) -> None:
    for piece in ("grüß", "", " dich\r\n"):
        console.said.put(piece)
    console.end(3)
    assert Screen(pty).to_the_end() == ("grüß dich\r\n".encode(), Exited(3))


def test_a_character_split_over_two_writes_is_one(pty: ConPty, console: FakeConsole) -> None:
    snowman = "☃".encode()
    assert pty.write(b"a" + snowman[:1]) == 2
    assert pty.write(memoryview(snowman[1:])) == 2
    assert "".join(console.heard) == "a☃"


def test_rows_and_columns_are_turned_round(pty: ConPty, console: FakeConsole) -> None:
    pty.resize(Winsize(rows=33, cols=111))
    assert console.size == (111, 33)


def test_output_that_nobody_reads_stops_the_reading_of_the_console(pty: ConPty, console: FakeConsole) -> None:
    for _ in range(20):
        console.said.put("x" * PTY_READ_BYTES)
    pty.wait(want_write=False)
    console.end(0)
    output, _ = Screen(pty).to_the_end()
    assert len(output) == 20 * PTY_READ_BYTES


def test_a_read_is_never_more_than_the_limit(pty: ConPty, console: FakeConsole) -> None:
    for _ in range(10):
        console.said.put("x" * (PTY_READ_BYTES // 3))
    console.end(0)
    assert max(read_sizes(pty)) <= PTY_READ_BYTES


def test_a_wake_from_another_thread_ends_the_waiting(pty: ConPty) -> None:
    threading.Thread(target=pty.wake).start()
    assert pty.wait(want_write=False) == (False, False, True)


def test_an_interrupt_is_the_key(pty: ConPty, console: FakeConsole) -> None:
    assert pty.signal("INT")
    assert console.heard == ["\x03"]


def test_a_program_that_runs_has_no_exit_status(pty: ConPty) -> None:
    assert pty.exit_status() is None


def test_closing_twice_is_quiet_and_ends_the_thread(console: FakeConsole) -> None:
    pty = ConPty(console)
    console.end(0)
    pty.close()
    pty.close()
    assert "console->buffer" not in [thread.name for thread in threading.enumerate()]
    assert not pty.signal("TERM")
