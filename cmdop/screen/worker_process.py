"""The process of a model, as its session has it: started, or taken over."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from cmdop.limits import MODEL_TIMEOUT_SECONDS
from cmdop.screen.exchange import Kind, receive

_SIGKILL = 9
"""Everywhere but on Windows, which knows none and keeps no child over an exec."""
_PROGRAM = Path(__file__).with_name("worker_program.py")


def worker_command(library: str) -> list[str]:
    """What runs one model with this library."""
    return [sys.executable, "-I", "-S", str(_PROGRAM), library]


class Broken(Exception):
    """The model's process is gone, or does not answer."""


class _Process(Protocol):
    @property
    def pid(self) -> int: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


class _Inherited:
    """A child of this process from before it became this program."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, _SIGKILL)

    def wait(self) -> int:
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(self.pid, 0)[1]
        return 0


class WorkerProcess:
    """One process and the socket to it."""

    def __init__(self, sock: socket.socket, process: _Process) -> None:
        sock.settimeout(MODEL_TIMEOUT_SECONDS)
        self._sock, self._process = sock, process
        # Guards the receiving. Held while a reply is waited for: at most
        # MODEL_TIMEOUT_SECONDS, and closing ends it. The two below are changed in single
        # steps, also without it.
        self._reading = threading.Lock()
        self._replies: dict[int, bytes] = {}
        """Which nobody has taken yet."""
        self._expected: set[int] = set()
        """The requests whose reply somebody is going to take; any other is dropped."""

    @classmethod
    def start(cls, command: Sequence[str]) -> WorkerProcess:
        """Raises OSError when it cannot be started."""
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(ours, process)

    @classmethod
    def take_over(cls, kept: dict[str, Any]) -> WorkerProcess:
        """The one that `hand_over` described before the exec. Raises OSError when it is not there."""
        sock = socket.socket(fileno=int(kept["fd"]))
        sock.set_inheritable(False)
        return cls(sock, _Inherited(int(kept["pid"])))

    def hand_over(self) -> dict[str, Any]:
        """For `take_over`, fit for JSON. Replies are not received from here on until `keep`."""
        self._reading.acquire()
        self._sock.set_inheritable(True)
        return {"pid": self._process.pid, "fd": self._sock.fileno()}

    def keep(self) -> None:
        """There was no exec after `hand_over`."""
        self._sock.set_inheritable(False)
        self._reading.release()

    def expect(self, number: int) -> None:
        """The reply to the request that is sent next will be asked for."""
        self._expected.add(number)

    def forget(self, number: int) -> None:
        """Nobody will ask for this reply any more. By any thread, and never blocks."""
        self._expected.discard(number)
        self._replies.pop(number, None)

    def send(self, message: bytes) -> None:
        """Blocks while the process is behind by `MODEL_BACKLOG_BYTES`. Raises Broken."""
        try:
            self._sock.sendall(message)
        except OSError as error:
            raise Broken(str(error)) from error

    def reply(self, number: int) -> bytes:
        """The reply to a request, whatever comes before it. Raises Broken."""
        with self._reading:
            while number not in self._replies:
                try:
                    message = receive(self._sock)
                except OSError as error:
                    raise Broken(str(error)) from error
                if message is None:
                    raise Broken("its process has ended")
                if message.kind == Kind.UNUSABLE:
                    raise Broken(message.payload.decode("utf-8", "replace"))
                if message.number in self._expected:
                    self._replies[message.number] = message.payload
                    self._expected.discard(message.number)
            return self._replies.pop(number)

    def close(self) -> None:
        """End the process. It has nothing to put in order."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for a reply
        self._process.kill()
        self._process.wait()
        self._sock.close()
