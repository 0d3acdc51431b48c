"""A program with pipes: the same of every adapter, here with real programs."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from cmdop.errors import CommandUnusable, UsageError
from cmdop.exechost.interface import Exited, Program, ProgramReady, ShellCommand, Wants
from cmdop.exechost.threaded import ThreadedProgram, open_threaded_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are for POSIX")
TIMEOUT_SECONDS = 10.0
ENV = {"PATH": os.environ.get("PATH", "")}
ALL = Wants(False, True, True)

Open = Callable[[ShellCommand, Mapping[str, str], str, bool], Program]
Run = Callable[..., Program]


def posix(command: ShellCommand, env: Mapping[str, str], cwd: str, with_input: bool) -> Program:
    from cmdop.exechost.factory import open_program

    return open_program(command, env, cwd, with_input)


def launched(command: ShellCommand, env: Mapping[str, str], cwd: str, with_input: bool) -> Program:
    """As on a POSIX system that is not Linux."""
    from cmdop.exechost.posix import open_posix_program
    from cmdop.ptyhost.launcher import start_piped_child

    return open_posix_program(start_piped_child, command, env, cwd, with_input)


ADAPTERS: dict[str, Open] = {"posix": posix, "launched": launched, "threaded": open_threaded_program}


@pytest.fixture(params=list(ADAPTERS))
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a script in a shell: `run("echo hi", with_input=True)`."""
    opened: list[Program] = []

    def open_one(script: str, *, with_input: bool = False, cwd: str = "/", **env: str) -> Program:
        command = ShellCommand("/bin/sh", ("sh", "-c", script))
        opened.append(ADAPTERS[request.param](command, {**ENV, **env}, cwd, with_input))
        return opened[-1]

    yield open_one
    for program in opened:
        program.kill()
        program.close()


def until(program: Program, wants: Wants, what: Callable[[ProgramReady], bool]) -> ProgramReady:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        ready = program.wait(wants, deadline - time.monotonic())
        if what(ready):
            return ready
    raise AssertionError(f"never {wants}")


def read_all(program: Program, error: bool = False) -> bytes:
    """Everything up to the end of one output."""
    pieces = []
    while True:
        until(program, Wants(False, not error, error), lambda ready: ready.stderr if error else ready.stdout)
        data = program.read(error, 1000)
        if data is None:
            return b"".join(pieces)
        pieces.append(data)


def end_of(program: Program) -> Exited:
    if program.exited() is None:  # else the end may have been told already
        until(program, Wants(), lambda ready: ready.ended)
    end = program.exited()
    assert end is not None
    return end


def test_its_outputs_are_two_and_end_with_it(run: Run) -> None:
    program = run("echo out; echo err >&2; exit 3")
    assert (read_all(program), read_all(program, error=True)) == (b"out\n", b"err\n")
    assert end_of(program) == Exited(3)


def test_every_byte_passes_both_ways(run: Run) -> None:
    program = run("cat", with_input=True)
    data = bytes(range(256))
    assert program.write(data) == 256
    program.close_input()
    assert read_all(program) == data


def test_without_input_there_is_nothing_to_read(run: Run) -> None:
    assert read_all(run("cat; echo over")) == b"over\n"


def test_a_program_that_reads_nothing_takes_only_so_much(run: Run) -> None:
    program = run("exec sleep 60", with_input=True)
    taken = 0
    while program.wait(Wants(stdin=True), 0.2).stdin:
        taken += program.write(bytes(65536)) or 0
        assert taken < 16 * 2**20
    assert program.write(b"x") == 0


def test_a_program_that_closed_its_input_takes_no_more_ever(run: Run) -> None:
    program = run("exec <&-; echo closed; exec sleep 60", with_input=True)
    until(program, ALL, lambda ready: ready.stdout)
    until(program, Wants(stdin=True), lambda _: program.write(b"x" * 65536) is None)


def test_a_closed_output_is_an_error_to_who_writes_there(run: Run) -> None:
    program = run("trap '' PIPE; echo first; read go; while echo more; do :; done; exit 5", with_input=True)
    until(program, ALL, lambda ready: ready.stdout)
    program.close_output(error=False)
    program.close_output(error=False)
    program.write(b"go\n")
    assert end_of(program) == Exited(5)


def test_it_is_told_a_signal_and_its_children_too(run: Run) -> None:
    program = run("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done")
    until(program, ALL, lambda ready: ready.stdout)
    assert program.read(False, 6) == b"ready\n"
    assert program.signal("INT")
    assert read_all(program) == b"caught\n"
    assert end_of(program) == Exited(7)


def test_a_signal_that_there_is_not_is_a_mistake(run: Run) -> None:
    with pytest.raises(UsageError):
        run("exec sleep 60").signal("NONE")


def test_who_is_killed_has_the_signal_for_an_end(run: Run) -> None:
    program = run("exec sleep 60")
    assert program.exited() is None
    program.kill()
    assert end_of(program) == Exited(0, signal.SIGKILL)
    assert not program.signal("INT") or program.exited() is not None


def test_the_outputs_stay_open_for_children_that_it_leaves(run: Run) -> None:
    program = run("exec 3<&0; (read go <&3; echo late) & echo early", with_input=True)
    end_of(program)
    program.write(b"go\n")
    assert read_all(program) == b"early\nlate\n"


def test_a_wake_counts_before_the_wait_and_during_it(run: Run) -> None:
    program = run("exec sleep 60")
    program.wake()
    program.wake()
    assert program.wait(Wants()) == ProgramReady()


def test_time_can_be_up(run: Run) -> None:
    assert run("exec sleep 60").wait(ALL, 0.01) == ProgramReady()


@pytest.mark.parametrize("run", ["threaded"], indirect=True)
def test_an_end_between_two_waits_is_told_by_the_second(run: Run) -> None:
    """Its outputs are over by then: nothing else would ever end the second."""
    program = run("exec >&- 2>&-; read line", with_input=True)
    assert isinstance(program, ThreadedProgram)
    assert read_all(program) == read_all(program, error=True) == b""
    program.write(b"\n")
    with program._changed:
        assert program._changed.wait_for(lambda: program._ended, TIMEOUT_SECONDS)
    began = time.monotonic()
    assert program.wait(Wants(), TIMEOUT_SECONDS).ended
    assert time.monotonic() - began < TIMEOUT_SECONDS, "it is told, and not only found when time is up"


def test_it_has_its_folder_and_its_variables_and_no_others(run: Run) -> None:
    assert read_all(run("pwd; env", cwd="/usr", A="1")).splitlines()[:1] == [b"/usr"]
    assert b"A=1" in read_all(run("env", A="1")).splitlines()
    assert b"HOME" not in read_all(run("env"))


@pytest.mark.parametrize("run", ["posix", "launched"], indirect=True)
def test_it_leads_a_session_and_a_group_of_its_own(run: Run) -> None:
    pid, group, session = read_all(
        run(f"echo $$; {sys.executable} -c 'import os; print(os.getpgrp(), os.getsid(0))'")
    ).split()
    assert pid == group == session


def test_closing_twice_is_quiet_and_waking_what_is_closed_too(run: Run) -> None:
    program = run("true")
    end_of(program)
    program.close()
    program.close()
    program.wake()


@pytest.mark.parametrize("adapter", list(ADAPTERS))
@pytest.mark.parametrize(
    ("path", "number"), [("/no/such/program", errno.ENOENT), ("/etc/passwd", errno.EACCES), ("/", errno.EACCES)]
)
def test_what_cannot_be_run_says_why_and_leaves_no_descriptor(adapter: str, path: str, number: int) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(CommandUnusable) as refused:
        ADAPTERS[adapter](ShellCommand(path, (path,)), ENV, "/", True)
    details: dict[str, Any] = refused.value.details
    assert details["errno"] == number
    assert not before or len(os.listdir("/proc/self/fd")) == before
