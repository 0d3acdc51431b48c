"""A program with three pipes, on Linux or macOS."""

from __future__ import annotations

import contextlib
import os
import select
import signal as signals
import sys
import threading
from collections.abc import Callable, Mapping

from cmdop.errors import CommandUnusable
from cmdop.exechost.interface import Exited, Program, ProgramReady, ShellCommand, Wants
from cmdop.ptyhost import processes
from cmdop.ptyhost.child import Child
from cmdop.ptyhost.signals import signal_number

assert sys.platform != "win32"

StartChild = Callable[[ShellCommand, Mapping[str, str], str, tuple[int, int, int]], Child]
"""Starts a session leader with these three descriptors for its own. Raises OSError."""


def open_posix_program(
    start: StartChild, command: ShellCommand, env: Mapping[str, str], cwd: str, with_input: bool
) -> PosixProgram:
    """The command, running with pipes; its input is empty unless it is to be `with_input`.

    Raises CommandUnusable.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        try:
            if with_input:
                their_input, our_input = _pipe(theirs, ours)
            else:
                their_input, our_input = os.open(os.devnull, os.O_RDONLY), -1
                theirs.callback(os.close, their_input)
            our_output, their_output = _pipe(ours, theirs)
            our_error, their_error = _pipe(ours, theirs)
            child = start(command, env, cwd, (their_input, their_output, their_error))
            ours.callback(_abandon, child)
            program = PosixProgram(child, our_input, our_output, our_error)
        except OSError as error:
            raise CommandUnusable(command=command.argv[0], reason=error.strerror, errno=error.errno) from error
        ours.pop_all()
    return program


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends of a new pipe, each closed by its stack."""
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


def _abandon(child: Child) -> None:
    processes.send_to_group(child.pid, signals.SIGKILL)
    child.release()


class PosixProgram(Program):
    """Our ends of the pipes, and the child, which leads a session and a process group."""

    def __init__(self, child: Child, input_fd: int, output_fd: int, error_fd: int) -> None:
        """`input_fd` -1 for a program without input. Raises OSError, out of descriptors."""
        self._child = child
        self._waking, self._wake = os.pipe()
        self._input = input_fd
        self._outputs = {False: output_fd, True: error_fd}
        for fd in (self._waking, self._wake, input_fd, output_fd, error_fd):
            if fd >= 0:
                os.set_blocking(fd, False)
        self._end_seen = False
        # Guards the wake's descriptor and the group against being closed, and reused by
        # others, while another thread uses them. Only short system calls are made under it.
        self._lock = threading.Lock()
        self._closed = False

    def wait(self, wants: Wants, timeout_seconds: float | None = None) -> ProgramReady:
        poller = select.poll()
        poller.register(self._waking, select.POLLIN)
        if not self._end_seen:
            poller.register(self._child.fileno(), select.POLLIN)
        if wants.stdin and self._input >= 0:
            poller.register(self._input, select.POLLOUT)
        for error, wanted in ((False, wants.stdout), (True, wants.stderr)):
            if wanted and self._outputs[error] >= 0:
                poller.register(self._outputs[error], select.POLLIN)
        events = dict(poller.poll(None if timeout_seconds is None else max(0.0, timeout_seconds * 1000)))
        if self._waking in events:
            os.read(self._waking, 4096)
        self._end_seen |= self._child.fileno() in events
        return ProgramReady(
            stdin=self._input in events,
            stdout=self._outputs[False] in events,
            stderr=self._outputs[True] in events,
            ended=self._end_seen,
        )

    def write(self, data: bytes | memoryview) -> int | None:
        if self._input < 0:
            return None
        try:
            return os.write(self._input, data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close_input()
            return None

    def close_input(self) -> None:
        fd, self._input = self._input, -1
        _close(fd)

    def read(self, error: bool, size: int) -> bytes | None:
        fd = self._outputs[error]
        if fd < 0:
            return None
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return b""
        if not data:
            self.close_output(error)
            return None
        return data

    def close_output(self, error: bool) -> None:
        fd, self._outputs[error] = self._outputs[error], -1
        _close(fd)

    def wake(self) -> None:
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # it is full of wakes
                    os.write(self._wake, b"\0")

    def signal(self, name: str) -> bool:
        return self._send(signal_number(name))

    def hang_up(self) -> None:
        for number in (signals.SIGHUP, signals.SIGCONT):  # who is stopped could not die of the first
            self._send(number)

    def kill(self) -> None:
        self._send(signals.SIGKILL)

    def _send(self, number: int) -> bool:
        """The leader is a zombie at least until `close`, so that the group is still its own."""
        with self._lock:
            return not self._closed and processes.send_to_group(self._child.pid, number)

    def exited(self) -> Exited | None:
        return self._child.exited()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for fd in (self._waking, self._wake):
                os.close(fd)
        self.close_input()
        for error in (False, True):
            self.close_output(error)
        self._child.release()


def _close(fd: int) -> None:
    if fd >= 0:
        with contextlib.suppress(OSError):
            os.close(fd)
