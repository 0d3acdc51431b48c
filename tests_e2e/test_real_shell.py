"""A shell through the real relay and a real agent: keys, sizes, bytes, exits."""

from __future__ import annotations

import hashlib
import random
import signal

import pytest

from tests_e2e.conftest import READY, User, as_operator, shell
from tests_e2e.stack import Stack
from tests_e2e.timing import BULK_SECONDS

MB = 1_000_000


@pytest.fixture
def ann(user: User, stack: Stack) -> User:
    """Somebody with an operator's key."""
    return as_operator(user, stack)


def test_a_command_runs_on_the_machine(ann: User) -> None:
    shell(ann, "alpha")
    ann.terminal.type(b"echo one$((1+1))three\r")
    ann.terminal.expect_exact(b"one2three\r\n")


def test_the_shell_has_a_terminal_of_its_own(ann: User) -> None:
    shell(ann, "alpha")
    ann.terminal.type(b"tty; echo term=$TERM; ps -o sid=,tpgid= -p $$ | tr -s ' '\r")
    ann.terminal.expect(rb"/dev/(pts/\d+|ttys\d+)\r\n")
    ann.terminal.expect_exact(b"term=xterm-256color\r\n")


def test_ctrl_c_interrupts_a_program_and_not_the_client(ann: User) -> None:
    job = shell(ann, "alpha")
    ann.terminal.type(b"sh -c 'echo sle''eping; exec sleep 1000'\r")
    ann.terminal.expect_exact(b"sleeping\r\n")
    ann.terminal.type(b"\x03")
    ann.terminal.expect_exact(READY)
    ann.terminal.type(b"echo status=$?\r")
    ann.terminal.expect_exact(b"status=130\r\n")
    assert job.running


def test_ctrl_z_stops_a_program_and_not_the_client(ann: User) -> None:
    job = shell(ann, "alpha")
    ann.terminal.type(b"sh -c 'echo sle''eping; exec sleep 1000'\r")
    ann.terminal.expect_exact(b"sleeping\r\n")
    ann.terminal.type(b"\x1a")
    ann.terminal.expect_exact(b"Stopped")
    ann.terminal.type(b"kill %1\r")
    assert job.running


def test_the_size_is_the_users_and_follows_it(ann: User) -> None:
    ann.terminal.resize(33, 101)
    shell(ann, "alpha")
    ann.terminal.type(b"stty size\r")
    ann.terminal.expect_exact(b"33 101\r\n")
    waiting = b"sh -c 'trap \"stty size; exit\" WINCH; echo wai''ting; while :; do sleep 60 & wait; done'\r"
    ann.terminal.type(waiting)
    ann.terminal.expect_exact(b"waiting\r\n")
    ann.terminal.resize(50, 132)
    ann.terminal.expect_exact(b"50 132\r\n")


@pytest.mark.parametrize(
    ("command", "status"), [(b"exit", 0), (b"exit 3", 3), (b"exit 255", 255), (b"kill -9 $$", 137)]
)
def test_the_shells_end_is_the_clients_status(ann: User, command: bytes, status: int) -> None:
    before = ann.terminal.stty()
    job = shell(ann, "alpha")
    ann.terminal.type(command + b"\r")
    assert job.wait() == status
    assert b"[connect] session ended (exit %d)\r\n" % status in ann.terminal.rest()
    assert ann.terminal.stty() == before


def test_a_shell_that_a_hangup_ends_is_told_as_a_signal(ann: User) -> None:
    job = shell(ann, "alpha")
    ann.terminal.type(b"kill -HUP $$\r")
    assert job.wait() == 128 + signal.SIGHUP


def test_ctrl_d_leaves_and_the_shell_goes_on(ann: User) -> None:
    job = shell(ann, "alpha")
    ann.terminal.type(b"kept=ye''s\r")
    ann.terminal.expect_exact(READY)
    ann.terminal.type(b"\x04")
    assert job.wait() == 0
    ann.terminal.rest()
    again = ann.cmdop("connect", "alpha")
    ann.terminal.expect_exact(b"SIGINT\r\n")
    ann.terminal.type(b"echo kept=$kept\r")
    ann.terminal.expect_exact(b"kept=yes\r\n")
    ann.terminal.type(b"exit\r")
    assert again.wait() == 0


def test_a_megabyte_that_is_pasted_arrives_as_it_is(ann: User) -> None:
    pasted = bytes(value for value in random.Random(1).randbytes(MB + MB // 50) if value != 4)[:MB]
    shell(ann, "alpha")
    ann.terminal.type(b"stty raw -echo; echo rea''dy; head -c 1000000 | sha256sum; stty sane\r")
    ann.terminal.expect_exact(b"ready")
    ann.terminal.type(pasted)
    ann.terminal.expect_exact(hashlib.sha256(pasted).hexdigest().encode(), BULK_SECONDS)


def test_twenty_megabytes_of_output_arrive_as_they_are(ann: User) -> None:
    numbers = 2_650_000
    expected = b"".join(b"%d\r\n" % number for number in range(1, numbers + 1))
    assert len(expected) > 20 * MB
    shell(ann, "alpha")
    ann.terminal.type(b"echo beg''in; seq 1 %d; echo the e''nd\r" % numbers)
    ann.terminal.expect_exact(b"begin\r\n")
    shown = ann.terminal.collect(b"the end\r\n", BULK_SECONDS).removesuffix(b"the end\r\n")
    assert len(shown) == len(expected)
    assert hashlib.sha256(shown).digest() == hashlib.sha256(expected).digest()


def test_letters_of_every_length_go_there_and_back(ann: User) -> None:
    letters = "aä€\U0001f600中".encode()
    shell(ann, "alpha")
    ann.terminal.type(b"cat\r")
    ann.terminal.expect_exact(b"cat\r\n")
    ann.terminal.type(letters + b"\r")
    assert ann.terminal.expect(b"(?s)" + letters + b".*" + letters).count(letters) == 2


def test_many_attaches_leave_nothing_behind_on_the_machine(ann: User, stack: Stack) -> None:
    """The thousand of the acceptance are done by hand; these find what leaks each time."""
    pids = {name: stack.status(name)["host_pid"] for name in stack.agents}
    job = shell(ann, "beta")
    ann.terminal.type(b"\x04")
    assert job.wait() == 0
    ann.terminal.rest()
    before = {name: _open_files(pid) for name, pid in pids.items()}
    for _ in range(5):
        again = ann.cmdop("connect", "beta")
        ann.terminal.expect_exact(b"SIGINT\r\n")
        ann.terminal.expect_exact(READY)
        ann.terminal.type(b"\x04")
        assert again.wait() == 0
        ann.terminal.rest()
    after = {name: _open_files(pid) for name, pid in pids.items()}
    # Fewer, where an earlier test's session has come to the end of its grace meanwhile.
    assert all(after[name] <= before[name] for name in pids), (before, after)


def _open_files(pid: int) -> int:
    import os

    if not os.path.isdir(f"/proc/{pid}/fd"):
        pytest.skip("no /proc here")
    return len(os.listdir(f"/proc/{pid}/fd"))
