"""Real programs in real PTYs, started in each of the two ways."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("there is no termios", allow_module_level=True)

from cmdop.errors import ShellUnusable, UsageError
from cmdop.limits import PTY_READ_BYTES
from cmdop.ptyhost import launcher
from cmdop.ptyhost.factory import open_pty
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, ShellCommand
from cmdop.ptyhost.posix import StartChild, open_posix_pty
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from tests.ptyhost.driver import BASH, ENV, UNIT_SECONDS, Screen, gone_within, read_sizes, sh

STARTS: list[StartChild] = [launcher.start_child]
if sys.platform == "linux":
    from cmdop.ptyhost import linux

    STARTS.append(linux.start_child)

Open = Callable[..., Screen]


@pytest.fixture(params=STARTS, ids=lambda start: start.__module__.rpartition(".")[2])
def start(request: pytest.FixtureRequest) -> StartChild:
    chosen: StartChild = request.param
    return chosen


@pytest.fixture
def opened(start: StartChild) -> Iterator[Open]:
    ptys: list[Pty] = []

    def open_one(
        command: ShellCommand | str, cwd: str = "/", winsize: Winsize = DEFAULT_WINSIZE, **more: str
    ) -> Screen:
        command = sh(command) if isinstance(command, str) else command
        ptys.append(open_posix_pty(start, command, {**ENV, **more}, cwd, winsize))
        return Screen(ptys[-1])

    yield open_one
    for pty in ptys:
        pty.close()


def number_after(word: bytes, output: bytes) -> int:
    found = re.search(word + rb"(\d+)", output)
    assert found, output
    return int(found[1])


def write_for_ever(pty: Pty) -> None:
    while True:
        assert pty.wait(want_write=True, want_read=False).writable
        pty.write(b"x" * 4096)


class TestStarting:
    def test_it_leads_a_session_whose_controlling_terminal_is_the_pty(self, opened: Open) -> None:
        output, _ = opened("ps -o tty=,pid=,sid=,tpgid= -p $$; tty").to_the_end()
        tty, pid, sid, group, name = output.split()
        assert pid == sid == group
        assert name == b"/dev/" + tty

    def test_environment_and_folder_are_the_given_ones_and_no_others(self, opened: Open, tmp_path: Path) -> None:
        output, _ = opened(ShellCommand("/usr/bin/env", ("env",)), cwd=str(tmp_path), GREETING="grüß").to_the_end()
        variables = dict(line.split("=", 1) for line in output.decode().splitlines())
        assert variables == {**ENV, "GREETING": "grüß"}
        assert opened("pwd", cwd=str(tmp_path)).to_the_end()[0] == f"{tmp_path}\r\n".encode()

    def test_a_locale_variable_is_neither_added_nor_lost(self, opened: Open) -> None:
        output, _ = opened(ShellCommand("/usr/bin/env", ("env",)), LC_ALL="", LC_CTYPE="de_DE.UTF-8").to_the_end()
        assert b"LC_CTYPE=de_DE.UTF-8\r\n" in output
        assert b"LC_CTYPE" not in opened(ShellCommand("/usr/bin/env", ("env",)), LC_ALL="C").to_the_end()[0]

    def test_argv_0_is_the_given_one(self, opened: Open) -> None:
        login = opened(ShellCommand("/bin/bash", ("-bash", "--noprofile", "-c", "shopt -q login_shell && echo $0")))
        assert login.to_the_end()[0] == b"-bash\r\n"

    @pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
    def test_signals_are_default_and_unblocked_whatever_they_are_here(self, opened: Open) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        try:
            output, _ = opened(ShellCommand("/bin/cat", ("cat", "/proc/self/status"))).to_the_end()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            signal.signal(signal.SIGHUP, before)
        fields = dict(line.split(":\t", 1) for line in output.decode().splitlines() if line.startswith("Sig"))
        threads_own = 1 << 31 | 1 << 32  # glibc's spawn ignores its two internal signals, and pthreads takes them back
        assert int(fields["SigIgn"], 16) & ~threads_own == 0
        assert int(fields["SigBlk"], 16) == 0

    @pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
    def test_no_descriptor_of_ours_is_open_in_it(self, opened: Open) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        try:
            # ls itself has the folder open that it lists.
            output, _ = opened("exec ls /proc/self/fd").to_the_end()
        finally:
            os.close(reading)
            os.close(writing)
        assert output.split() == [b"0", b"1", b"2", b"3"]

    def test_the_size_is_there_from_the_start_and_erase_knows_utf_8(self, opened: Open) -> None:
        output, _ = opened("stty size; stty -a", winsize=Winsize(7, 123)).to_the_end()
        assert output.startswith(b"7 123\r\n")
        assert re.search(rb"[^-]iutf8", output)

    @pytest.mark.parametrize("path", ["/nonexistent/shell", "/etc/passwd", "/"])
    def test_a_shell_that_cannot_be_executed_is_told_here(self, start: StartChild, path: str) -> None:
        with pytest.raises(ShellUnusable) as caught:
            open_posix_pty(start, ShellCommand(path, ("x",)), ENV, "/", DEFAULT_WINSIZE)
        assert caught.value.details["shell"] == path
        assert caught.value.details["reason"] in ("No such file or directory", "Permission denied")

    def test_a_file_that_is_no_program_is_told_here(self, start: StartChild, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no program at all\n")
        (tmp_path / "text").chmod(0o700)
        with pytest.raises(ShellUnusable, match="Exec format error"):
            open_posix_pty(start, ShellCommand(str(tmp_path / "text"), ("x",)), ENV, "/", DEFAULT_WINSIZE)

    def test_a_folder_that_is_gone_is_told_here(self, start: StartChild, tmp_path: Path) -> None:
        with pytest.raises(ShellUnusable, match="No such file"):
            open_posix_pty(start, sh("true"), ENV, str(tmp_path / "none"), DEFAULT_WINSIZE)


class TestEnding:
    @pytest.mark.parametrize("status", [0, 3, 255])
    def test_the_exit_status_is_the_programs(self, opened: Open, status: int) -> None:
        assert opened(f"exit {status}").to_the_end()[1] == Exited(status)

    @pytest.mark.parametrize("name", ["TERM", "KILL", "INT"])
    def test_a_signal_that_killed_it_is_told(self, opened: Open, name: str) -> None:
        _, exited = opened(f"kill -{name} $$").to_the_end()
        number = signal.Signals[f"SIG{name}"].value
        assert exited == Exited(0, number)

    def test_a_program_that_runs_has_no_exit_status(self, opened: Open) -> None:
        screen = opened("echo here; cat")
        screen.until(b"here")
        assert screen.pty.exit_status() is None

    def test_the_last_output_comes_before_the_end(self, opened: Open) -> None:
        output, exited = opened("seq 1 20000; echo last").to_the_end()
        assert output.endswith(b"20000\r\nlast\r\n")
        assert exited == Exited(0)

    def test_a_background_job_that_holds_the_terminal_does_not_keep_it(self, opened: Open) -> None:
        screen = opened("trap '' HUP; sleep 1000 & echo job=$!; seq 1 2000; echo last; exit 5")
        output, exited = screen.to_the_end()
        assert exited == Exited(5)
        assert output.endswith(b"last\r\n")
        job = number_after(b"job=", output)
        screen.pty.close()
        os.kill(job, signal.SIGKILL)  # it was left alone; ProcessLookupError if not

    def test_a_background_job_that_goes_on_writing_does_not_keep_it(self, opened: Open) -> None:
        screen = opened("trap '' HUP; yes & echo job=$!; exit 6")
        output, exited = screen.to_the_end()
        assert exited == Exited(6)
        screen.pty.close()
        assert gone_within(number_after(b"job=", output))  # it cannot write any more

    def test_the_end_is_seen_by_who_has_not_seen_it_yet(self, opened: Open) -> None:
        screen = opened("exit 0")
        screen.to_the_end()
        for _ in range(2):
            with pytest.raises(PtyClosed):
                screen.pty.read()

    def test_closing_a_program_that_runs_kills_its_whole_session(self, opened: Open) -> None:
        screen = opened(
            "trap '' HUP TERM; (trap '' HUP; sleep 1000) & echo job=$!; echo ready; while :; do sleep 1000; done"
        )
        output = screen.until(b"ready")
        screen.pty.close()
        assert gone_within(number_after(b"job=", output))
        assert screen.pty.exit_status() == Exited(0, signal.SIGKILL)

    def test_kill_ends_children_in_groups_of_their_own(self, opened: Open) -> None:
        screen = opened(BASH)
        screen.type(b"sleep 1000 & sleep 2000 & echo a=$! b=$$; stty -echo; echo rea''dy\r")
        output = screen.until(b"\nready")
        screen.pty.kill()
        assert screen.to_the_end()[1] == Exited(0, signal.SIGKILL)
        assert gone_within(number_after(b"\na=", output))

    def test_hangup_ends_a_shell_and_what_runs_in_it(self, opened: Open) -> None:
        screen = opened(BASH)
        screen.type(b"stty -echo; sh -c 'echo pid=$$; exec sleep 1000'\r")
        output = screen.until(lambda screen: re.search(rb"[\r\n]pid=\d+\r", screen.output))
        screen.pty.hangup()
        assert screen.to_the_end()[1] is not None
        assert gone_within(number_after(rb"[\r\n]pid=", output))

    def test_everything_is_quiet_after_closing_twice(self, opened: Open) -> None:
        pty = opened("cat").pty
        pty.close()
        pty.close()
        pty.wake()
        pty.resize(Winsize(3, 4))
        pty.hangup()
        pty.kill()
        assert not pty.signal("TERM")
        assert pty.foreground_command() == ""
        assert pty.exit_status() == Exited(0, signal.SIGKILL)


class TestTerminal:
    def test_ctrl_c_interrupts_the_program_in_the_foreground(self, opened: Open) -> None:
        screen = opened(BASH)
        screen.type(b"stty -echo; sh -c 'echo be''gin; read line'\r")
        screen.until(b"\rbegin")
        assert screen.pty.foreground_command() == "sh -c echo begin; read line"
        before = len(screen.output)
        screen.type(b"\x03")
        screen.until(lambda screen: screen.output[before:].endswith((b"# ", b"$ ")))  # bash drops what is typed sooner
        screen.type(b"echo after=$?\r")
        screen.until(b"after=130")

    def test_a_signal_by_name_or_number_goes_to_the_foreground(self, opened: Open) -> None:
        for name in ("INT", "SIGINT", 2):
            screen = opened("trap 'echo got it; exit 9' INT; echo ready; read line")
            screen.until(b"ready")
            assert screen.pty.signal(name)
            assert screen.to_the_end()[1] == Exited(9)
        with pytest.raises(UsageError, match='no signal "NONSENSE"'):
            screen.pty.signal("NONSENSE")

    def test_a_resize_is_seen_by_the_program(self, opened: Open) -> None:
        screen = opened("trap 'stty size; exit' WINCH; echo ready; read line")
        screen.until(b"ready")
        screen.pty.resize(Winsize(33, 111))
        assert b"33 111" in screen.until(b"33 111")

    def test_a_size_is_kept_within_what_a_terminal_can_have(self, opened: Open) -> None:
        screen = opened("cat; stty size")
        screen.pty.resize(Winsize(-5, 10**9))
        screen.type(b"\x04")
        assert b"1 10000\r\n" in screen.to_the_end()[0]

    def test_the_foreground_command_is_told(self, opened: Open) -> None:
        screen = opened(ShellCommand("/bin/sh", ("-sh", "-c", "echo ready; read line", "100\x1b[2J")))
        screen.until(b"ready")
        assert screen.pty.foreground_command() == "sh -c echo ready; read line 100?[2J"

    def test_a_wake_from_another_thread_ends_the_waiting(self, opened: Open) -> None:
        pty = opened("sleep 1000").pty
        for _ in range(3):
            waker = threading.Thread(target=pty.wake)
            waker.start()
            assert pty.wait(want_write=False) == (False, False, True)
            waker.join()

    def test_many_wakes_are_one(self, opened: Open) -> None:
        pty = opened("sleep 1000").pty
        for _ in range(100_000):
            pty.wake()
        while pty.wait(want_write=True).woken:
            pass


class TestBytes:
    def test_20_mb_of_output_arrive_intact(self, opened: Open) -> None:
        piece = "random.Random(1).randbytes(1 << 20)"
        script = f"import sys, random; sys.stdout.buffer.write({piece} * 20)"
        output, _ = opened(f"stty raw; exec {sys.executable} -c '{script}'").to_the_end()
        assert hashlib.sha256(output).digest() == hashlib.sha256(random.Random(1).randbytes(1 << 20) * 20).digest()

    def test_1_mb_of_input_arrives_intact(self, opened: Open) -> None:
        sent = os.urandom(1 << 20)
        screen = opened("stty raw -echo; echo ready; dd bs=1024 count=1024 iflag=fullblock status=none | sha256sum")
        screen.until(b"ready")
        screen.type(sent)
        assert screen.to_the_end()[0].split()[1].decode() == hashlib.sha256(sent).hexdigest()

    def test_a_program_that_does_not_read_makes_writing_stop(self, opened: Open) -> None:
        screen = opened("stty raw -echo; echo ready; exec sleep 1000")
        screen.until(b"ready")
        taken: list[int] = []
        # The kernel moves what it took from one buffer to the next in its own time, so this
        # goes on until somebody says that it is enough.
        threading.Timer(0.2, screen.pty.wake).start()
        while not screen.pty.wait(want_write=True).woken:
            taken.append(screen.pty.write(b"x" * 65536))
        assert 0 < sum(taken) < 1 << 20
        assert len(taken) < 1000, "it was told to write when there was no room"

    def test_writing_to_nobody_ends(self, opened: Open) -> None:
        screen = opened("exit 0")
        screen.pty.exit_status(UNIT_SECONDS)
        with pytest.raises(PtyClosed):
            write_for_ever(screen.pty)

    def test_output_nobody_wants_yet_stays_and_wakes_nobody(self, opened: Open) -> None:
        screen = opened("echo kept; exit 4")
        screen.pty.exit_status(UNIT_SECONDS)
        screen.pty.wake()
        assert screen.pty.wait(want_write=False, want_read=False) == (False, False, True)
        assert screen.to_the_end() == (b"kept\r\n", Exited(4))

    def test_a_read_is_never_more_than_the_limit(self, opened: Open) -> None:
        sizes = read_sizes(opened("exec head -c 3000000 /dev/zero").pty)
        assert sum(sizes) == 3_000_000
        assert max(sizes) <= PTY_READ_BYTES

    def test_an_interrupt_under_a_flood_tells_of_the_flush(self, opened: Open) -> None:
        screen = opened(BASH)
        screen.type(b"PS1='%'; stty -echo\r")
        screen.type(b"yes\r")
        screen.until(lambda screen: screen.output.count(b"y\r\n") > 10_000)
        screen.pty.write(b"\x03")
        screen.until(lambda screen: screen.flushes)
        start = len(screen.output)
        screen.until(b"%", start)
        # What was read after the flush is the echo and the prompt, and hardly any flood.
        assert screen.output[start:].count(b"y\r\n") < 3000

    def test_a_flush_is_told_of_though_nobody_wants_output(self, opened: Open) -> None:
        screen = opened(BASH)
        screen.type(b"PS1='%'; stty -echo\r")
        screen.type(b"yes\r")
        screen.until(lambda screen: screen.output.count(b"y\r\n") > 1000)
        screen.pty.write(b"\x03")
        ready = screen.pty.wait(want_write=False, want_read=False)
        assert ready.readable
        assert screen.pty.read() == (b"", True)
        start = len(screen.output)
        assert screen.until(b"%", start)

    def test_the_end_does_not_wake_who_wants_no_output(self, opened: Open) -> None:
        screen = opened(ShellCommand("/bin/sh", ("sh", "-c", "echo over")))
        screen.pty.exit_status(UNIT_SECONDS)
        screen.pty.wake()
        ready = screen.pty.wait(want_write=False, want_read=False)
        assert (ready.readable, ready.woken) == (False, True)
        screen.until(b"over")

    def test_a_program_that_wants_no_flush_has_none(self, opened: Open) -> None:
        screen = opened("stty noflsh; trap 'echo caught' INT; yes | head -n 300000; cat")
        screen.until(b"y\r\n")
        screen.pty.write(b"\x03")
        screen.until(b"caught")
        assert screen.flushes == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_200_opens_leave_no_descriptor_child_or_thread() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def once(number: int) -> None:
        pty = open_pty(sh("exit 0" if number % 2 else "cat"), ENV, "/", DEFAULT_WINSIZE)
        if number % 3 == 0:
            Screen(pty).pty.wake()
            pty.wait(want_write=True)
        pty.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(pty.pid, os.WNOHANG)

    once(0)
    before, threads = descriptors(), set(threading.enumerate())
    for number in range(200):
        once(number)
    assert descriptors() <= before  # fewer, when something of an earlier test is collected meanwhile
    assert set(threading.enumerate()) <= threads


def test_opening_is_quick() -> None:
    """Not a benchmark: catches a start that waits for something it should not wait for."""
    began = time.monotonic()
    open_pty(sh("cat"), ENV, "/", DEFAULT_WINSIZE).close()
    assert time.monotonic() - began < UNIT_SECONDS / 2
