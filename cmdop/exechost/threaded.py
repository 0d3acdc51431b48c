"""A program with three pipes where nobody can wait for several of them at once: Windows.

Each pipe has a thread: `stdout->buffer` and `stderr->buffer` block in a read, which comes
back with output and when nobody holds the pipe any more, or on a full buffer, until the
owner makes room; `input->stdin` blocks in a write, or until there is something to write.
`program->exit` blocks until the program ends. `close` wakes all but who hangs in a read of
a pipe that a child of the program's still holds; nobody waits for that one.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import IO, Final

from cmdop.errors import CommandUnusable
from cmdop.exechost.interface import Exited, Program, ProgramReady, ShellCommand, Wants
from cmdop.limits import KIB
from cmdop.ptyhost.signals import signal_number

_PIECE_BYTES: Final = 60 * KIB
_BUFFER_BYTES: Final = 256 * KIB
_KILL_TIMEOUT_SECONDS: Final = 5.0


def open_threaded_program(
    command: ShellCommand, env: Mapping[str, str], cwd: str, with_input: bool, as_written: bool = False
) -> ThreadedProgram:
    """The command, running with pipes. Raises CommandUnusable.

    `as_written` is for a command line of a shell's own rules: nothing in it is quoted.
    """
    try:
        process = subprocess.Popen(
            " ".join(command.argv) if as_written else command.argv,
            executable=command.path,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandUnusable(command=command.argv[0], reason=reason, errno=error.errno) from error
    return ThreadedProgram(process)


class _Buffer:
    """What one pipe brought and was not read yet. `data` None at the end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.data = bytearray()
        self.ended = self.dropped = False


class ThreadedProgram(Program):
    """A process and what its threads carry."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        # Guards everything below; told of every change of it.
        self._changed = threading.Condition()
        self._woken = self._closed = self._ended = self._end_told = False
        self._input = bytearray()
        self._input_over = process.stdin is None
        self._input_closing = False
        assert process.stdout is not None, "it was started with pipes"
        assert process.stderr is not None, "it was started with pipes"
        self._buffers = {False: _Buffer(process.stdout), True: _Buffer(process.stderr)}
        self._start(lambda: self._fill(self._buffers[False]), "stdout->buffer")
        self._start(lambda: self._fill(self._buffers[True]), "stderr->buffer")
        self._start(self._wait_for_exit, "program->exit")
        if process.stdin is not None:
            stdin = process.stdin
            self._start(lambda: self._drain(stdin), "input->stdin")

    @staticmethod
    def _start(work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    # -- the owner ------------------------------------------------------------------------

    def wait(self, wants: Wants, timeout_seconds: float | None = None) -> ProgramReady:
        def ready() -> ProgramReady:
            return ProgramReady(
                stdin=wants.stdin and (self._input_over or len(self._input) < _BUFFER_BYTES),
                stdout=wants.stdout and self._has(False),
                stderr=wants.stderr and self._has(True),
                ended=self._ended,
            )

        def come() -> bool:
            now = ready()
            return self._woken or now.stdin or now.stdout or now.stderr or (now.ended and not self._end_told)

        with self._changed:
            self._changed.wait_for(come, timeout_seconds)
            self._woken = False
            now = ready()
            self._end_told = now.ended
            return now

    def _has(self, error: bool) -> bool:
        buffer = self._buffers[error]
        return not buffer.dropped and (bool(buffer.data) or buffer.ended)

    def write(self, data: bytes | memoryview) -> int | None:
        with self._changed:
            if self._input_over:
                return None
            taken = max(0, min(len(data), _BUFFER_BYTES - len(self._input)))
            self._input += data[:taken]
            self._changed.notify_all()
            return taken

    def close_input(self) -> None:
        with self._changed:
            self._input_closing = True
            self._changed.notify_all()

    def read(self, error: bool, size: int) -> bytes | None:
        with self._changed:
            buffer = self._buffers[error]
            data = bytes(buffer.data[:size])
            del buffer.data[:size]
            self._changed.notify_all()
            return data if data or not (buffer.ended or buffer.dropped) else None

    def close_output(self, error: bool) -> None:
        """The pipe is closed by who reads it; until then what comes is dropped."""
        with self._changed:
            self._buffers[error].dropped = True
            self._buffers[error].data.clear()
            self._changed.notify_all()

    def exited(self) -> Exited | None:
        status = self._process.poll()
        if status is None:
            return None
        return Exited(status & 0xFFFFFFFF) if status >= 0 else Exited(0, -status)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- any thread -----------------------------------------------------------------------

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def signal(self, name: str) -> bool:
        """An interrupt is Ctrl-Break, which a group can be sent; any other signal ends the program."""
        number = signal_number(name)
        if self._process.poll() is not None:
            return False
        if number == signals.SIGINT:
            with contextlib.suppress(OSError, ValueError):
                self._process.send_signal(getattr(signals, "CTRL_BREAK_EVENT", signals.SIGINT))
        else:
            self.kill()
        return True

    def hang_up(self) -> None:
        self.signal("INT")

    def kill(self) -> None:
        if self._process.poll() is not None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            tree = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(tree, capture_output=True, timeout=_KILL_TIMEOUT_SECONDS, check=False)
        with contextlib.suppress(OSError):
            self._process.kill()

    # -- the threads ----------------------------------------------------------------------

    def _fill(self, buffer: _Buffer) -> None:
        try:
            while data := os.read(buffer.pipe.fileno(), _PIECE_BYTES):
                with self._changed:
                    self._changed.wait_for(lambda: self._idle(buffer) or len(buffer.data) < _BUFFER_BYTES)
                    if self._idle(buffer):
                        break
                    buffer.data += data
                    self._changed.notify_all()
        except OSError:
            pass  # the end, as Windows tells it
        finally:
            buffer.pipe.close()
            with self._changed:
                buffer.ended = True
                self._changed.notify_all()

    def _idle(self, buffer: _Buffer) -> bool:
        """Whether nobody will read it any more. The lock is held."""
        return self._closed or buffer.dropped

    def _drain(self, stdin: IO[bytes]) -> None:
        try:
            while (data := self._next_input()) is not None:
                os.write(stdin.fileno(), data)
        except OSError:
            pass  # nobody reads it any more
        finally:
            with contextlib.suppress(OSError):
                stdin.close()
            with self._changed:
                self._input_over = True
                self._changed.notify_all()

    def _next_input(self) -> bytes | None:
        """What is to be written next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._input or self._input_closing or self._closed)
            data = bytes(self._input[:_PIECE_BYTES])
            del self._input[:_PIECE_BYTES]
            self._changed.notify_all()
            return data or None

    def _wait_for_exit(self) -> None:
        self._process.wait()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
