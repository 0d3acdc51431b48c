"""A program in a terminal that no session keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from cmdop.exechost.factory import open_in_terminal
from cmdop.exechost.interface import Exited, Program, ShellCommand, Wants
from cmdop.winsize import Winsize

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are for POSIX")
Run = Callable[[str], Program]


@pytest.fixture
def run() -> Iterator[Run]:
    opened: list[Program] = []

    def open_one(script: str) -> Program:
        command = ShellCommand("/bin/sh", ("sh", "-c", script))
        opened.append(open_in_terminal(command, {"PATH": "/usr/bin:/bin"}, "/", Winsize(30, 100)))
        return opened[-1]

    yield open_one
    for program in opened:
        program.kill()
        program.close()


def read_all(program: Program) -> bytes:
    pieces = []
    while True:
        if program.wait(Wants(stdout=True)).stdout:
            data = program.read(False, 7)
            if data is None:
                return b"".join(pieces)
            pieces.append(data)


def end_of(program: Program) -> Exited:
    while not program.wait(Wants()).ended:
        pass
    end = program.exited()
    assert end is not None
    return end


def test_it_has_a_terminal_of_that_size_for_both_outputs(run: Run) -> None:
    program = run("stty size; echo err >&2; exit 4")
    assert read_all(program) == b"30 100\r\nerr\r\n"
    assert program.read(True, 10) is None
    assert end_of(program) == Exited(4)


def test_the_end_of_its_input_is_typed(run: Run) -> None:
    program = run("stty -echo; echo ready; wc -c")
    while b"ready" not in (program.read(False, 100) or b""):
        program.wait(Wants(stdout=True))
    assert program.write(b"four\n") == 5
    program.close_input()
    assert program.write(b"more") is None
    assert read_all(program).split() == [b"5"]


def test_who_no_one_watches_any_more_is_hung_up(run: Run) -> None:
    program = run("echo ready; while :; do echo more; done")
    program.wait(Wants(stdout=True))
    program.close_output(error=False)
    assert end_of(program).signal


def test_a_program_may_live_on_without_its_terminal(run: Run) -> None:
    program = run("exec >/dev/null 2>&1 </dev/null; sleep 0.2; exit 6")
    assert read_all(program) == b""
    assert end_of(program) == Exited(6)
