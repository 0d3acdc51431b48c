"""A user at a terminal: a PTY whose settings outlive what runs in it, driven with pexpect."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pexpect import fdpexpect

from tests_e2e.timing import STEP_SECONDS, UNIT_SECONDS

_MARK = b"\x1b[9999z--this is the end of the job--"
CMDOP = str(Path(sys.executable).with_name("cmdop"))
"""The installed command, of the environment that runs the tests."""


class Job:
    """One program in the foreground of a terminal."""

    def __init__(self, pid: int, lines: io.TextIOBase) -> None:
        self.pid = pid
        self._lines = lines
        self._status: int | None = None
        self._ended = threading.Event()
        self._waiter = threading.Thread(target=self._wait, name="job", daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        line = self._lines.readline()
        if line:
            self._status = json.loads(line)["status"]
        self._ended.set()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait(self, timeout_seconds: float = STEP_SECONDS) -> int:
        """The exit status, as a shell would say it: 128+n for a signal."""
        assert self._ended.wait(timeout_seconds), f"still running after {timeout_seconds:g} s"
        assert self._status is not None, "the terminal was closed first"
        return self._status if self._status >= 0 else 128 - self._status

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


class UserTerminal:
    """A terminal of `rows` by `cols`. `job` is what runs in it, one at a time."""

    def __init__(self, rows: int = 24, cols: int = 80) -> None:
        self._master, self._slave = os.openpty()
        termios.tcsetwinsize(self._slave, (rows, cols))
        self._log = io.BytesIO()
        self.screen = fdpexpect.fdspawn(self._master, timeout=STEP_SECONDS, maxread=65536)
        self.screen.logfile_read = self._log
        self.screen.delaybeforesend = None
        self._test, leader = socket.socketpair()
        self._leader = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("leader.py")), str(leader.fileno())],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            pass_fds=[leader.fileno()],
            start_new_session=True,
        )
        leader.close()
        self._lines: Any = self._test.makefile("rw")
        self._jobs: list[Job] = []

    # -- what the user does ---------------------------------------------------------------

    def run(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Job:
        """Start a program in the foreground."""
        self._lines.write(json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}) + "\n")
        self._lines.flush()
        job = Job(json.loads(self._lines.readline())["pid"], self._lines)
        self._jobs.append(job)
        return job

    def type(self, data: bytes) -> None:
        """Keys, all in one write."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._master, view) :]

    def resize(self, rows: int, cols: int) -> None:
        termios.tcsetwinsize(self._master, (rows, cols))

    # -- what the user sees -------------------------------------------------------------------

    def expect(self, pattern: bytes, timeout_seconds: float = STEP_SECONDS) -> bytes:
        """Wait for a regular expression; what was before it and itself."""
        self.screen.expect(pattern, timeout=timeout_seconds)
        before, after = self.screen.before, self.screen.after
        assert isinstance(before, bytes)
        assert isinstance(after, bytes)
        return before + after

    def expect_exact(self, text: bytes, timeout_seconds: float = STEP_SECONDS) -> None:
        self.screen.expect_exact(text, timeout=timeout_seconds)

    def collect(self, until: bytes, timeout_seconds: float) -> bytes:
        """Everything up to and with `until`; for megabytes, which pexpect would search again and again."""
        collected = bytearray(self.screen.buffer)
        self.screen.buffer = b""
        deadline = time.monotonic() + timeout_seconds
        found = collected.find(until)
        while found < 0:
            left_seconds = max(0.0, deadline - time.monotonic())
            if not select.select([self._master], [], [], left_seconds)[0]:
                raise AssertionError(f"no {until!r} within {timeout_seconds:g} s, but {bytes(collected[-200:])!r}")
            piece = os.read(self._master, 65536)
            self._log.write(piece)
            searched = len(collected) - len(until)
            collected += piece
            found = collected.find(until, max(0, searched))
        end = found + len(until)
        self.screen.buffer = bytes(collected[end:])
        return bytes(collected[:end])

    def rest(self, timeout_seconds: float = STEP_SECONDS) -> bytes:
        """Everything that the job, which has ended, still wrote."""
        # Through the terminal itself, so that it comes behind everything else.
        threading.Thread(target=os.write, args=(self._slave, _MARK), name="mark", daemon=True).start()
        self.screen.expect_exact(_MARK, timeout=timeout_seconds)
        before = self.screen.before
        assert isinstance(before, bytes)
        return before

    @property
    def seen(self) -> bytes:
        """Everything that was read so far."""
        return self._log.getvalue().replace(_MARK, b"")

    def fileno(self) -> int:
        """The user's side, for who reads it alone from now on."""
        return self._master

    def unread(self) -> bytes:
        """What was read from `fileno` and nobody has expected yet; it is taken away."""
        unread, self.screen.buffer = self.screen.buffer, b""
        assert isinstance(unread, bytes)
        return unread

    # -- how it is set up -------------------------------------------------------------------------

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def stty(self) -> str:
        return subprocess.run(["stty", "-a"], stdin=self._slave, check=True, capture_output=True, text=True).stdout

    def set_odd(self) -> None:
        """Settings that no default has, so that a reset to defaults would be seen."""
        attributes = termios.tcgetattr(self._slave)
        attributes[0] |= termios.IXANY
        attributes[3] |= termios.ECHONL
        attributes[6][termios.VERASE] = b"\x08"
        attributes[6][termios.VEOF] = b"\x1a"
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)

    @property
    def raw(self) -> bool:
        return not self.attributes()[3] & termios.ICANON

    def wait_cooked(self, timeout_seconds: float) -> None:
        """Until the terminal has its line mode back. Nothing tells of that, so it is looked at."""
        until = time.monotonic() + timeout_seconds
        while self.raw:
            assert time.monotonic() < until, f"still raw after {timeout_seconds:g} s"
            os.sched_yield()

    def close(self) -> None:
        """Hang up, and end what still runs."""
        for job in self._jobs:
            if job.running:
                job.signal(signal.SIGKILL)
        self._test.shutdown(socket.SHUT_RDWR)
        try:
            self._leader.wait(UNIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._leader.kill()
            self._leader.wait(STEP_SECONDS)
        for job in self._jobs:
            job._ended.wait(STEP_SECONDS)
        self._lines.close()
        self._test.close()
        os.close(self._slave)
        os.close(self._master)
