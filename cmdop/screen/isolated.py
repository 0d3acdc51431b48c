"""The terminal model in a process apart, so that nothing a program prints can end this one.

libghostty-vt is fast and exact, but what it is fed can crash it: some of its own checks
end the process, and others were left out for speed. So each session's model has its own
process. When that dies, or does not answer, the session goes on with the filtered ring,
which is fed all the time; the other sessions notice nothing.

The process is started when it is first needed: for a snapshot, to answer questions, or
after `MODEL_EARLY_BYTES`. Until then the requests are kept.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cmdop.limits import MODEL_EARLY_BYTES, MODEL_TIMEOUT_SECONDS, PTY_READ_BYTES
from cmdop.screen.exchange import Kind, decode_snapshot, encode, receive
from cmdop.screen.interface import Capture, ScreenModel, Snapshot
from cmdop.screen.ring import RingScreen
from cmdop.winsize import Winsize

_PROGRAM = Path(__file__).with_name("worker_program.py")
_SIZE = struct.Struct("<HH")
_NUMBERS = 1 << 32

_log = logging.getLogger(__name__)


def worker_command(library: str) -> list[str]:
    """What runs one model with this library."""
    return [sys.executable, "-I", "-S", str(_PROGRAM), library]


class _Broken(Exception):
    """The model's process is gone, or does not answer."""


class _Worker:
    """One process and the socket to it."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises OSError when it cannot be started."""
        self._sock, theirs = socket.socketpair()
        self._sock.settimeout(MODEL_TIMEOUT_SECONDS)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()
        # Guards the replies that nobody has taken yet. Held while one is waited for: at
        # most MODEL_TIMEOUT_SECONDS, and closing ends it.
        self._reading = threading.Lock()
        self._replies: dict[int, bytes] = {}

    def send(self, message: bytes) -> None:
        """Blocks while the process is busy with what came before."""
        try:
            self._sock.sendall(message)
        except OSError as error:
            raise _Broken(str(error)) from error

    def reply(self, number: int) -> bytes:
        """The reply to a request, whatever comes before it."""
        with self._reading:
            while number not in self._replies:
                try:
                    message = receive(self._sock)
                except OSError as error:
                    raise _Broken(str(error)) from error
                if message is None:
                    raise _Broken("its process has ended")
                if message.kind == Kind.UNUSABLE:
                    raise _Broken(message.payload.decode("utf-8", "replace"))
                self._replies[message.number] = message.payload
            return self._replies.pop(number)

    def close(self) -> None:
        """End the process. It has nothing to put in order."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for a reply
        self._process.kill()
        self._process.wait()
        self._sock.close()


class IsolatedScreen(ScreenModel):
    """A model that outlives its own crash, as a simpler one."""

    def __init__(self, winsize: Winsize, command: Sequence[str]) -> None:
        self._command = command
        self._ring = RingScreen()
        # Guards all below, and the order of the requests: it is held while the process
        # takes one. A thread that holds it may wait for a reply; none waits for it while
        # it holds a reply's lock.
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._early: list[bytes] | None = []
        """Requests before there is a process; None once it was started, or will never be."""
        self._early_bytes = 0
        self._number = 0
        self._answering = False
        self._answers = b""
        self.resize(winsize)

    def feed(self, data: bytes) -> None:
        self._ring.feed(data)
        with self._lock:
            for at in range(0, len(data), PTY_READ_BYTES):
                self._feed_piece(data[at : at + PTY_READ_BYTES])

    def _feed_piece(self, piece: bytes) -> None:
        number = self._request(Kind.FEED, piece)
        if self._answering and self._worker is not None:
            try:
                self._answers += self._worker.reply(number)
            except _Broken as broken:
                self._give_up(self._worker, broken)

    def resize(self, winsize: Winsize) -> None:
        with self._lock:
            self._request(Kind.RESIZE, _SIZE.pack(*winsize.clamped()))

    def capture(self, history: bool = True, redraw: bool = False) -> Capture:
        with self._lock:
            self._start()
            number = self._request(Kind.CAPTURE, bytes((history, redraw)))
            return _Requested(self, self._worker, number, self._ring.capture(history, redraw))

    def answer(self, answering: bool) -> None:
        with self._lock:
            if answering:
                self._start()
            self._request(Kind.ANSWER, bytes((answering,)))
            self._answering = answering

    def answers(self) -> bytes:
        with self._lock:
            answers, self._answers = self._answers, b""
        return answers

    def close(self) -> None:
        with self._lock:
            worker, self._worker, self._early = self._worker, None, None
        if worker is not None:
            worker.close()
        self._ring.close()

    # -- its process ------------------------------------------------------------------------

    def _request(self, kind: Kind, payload: bytes) -> int:
        """Send a request, or keep it; its number. The lock is held."""
        self._number = (self._number + 1) % _NUMBERS
        message = encode(kind, self._number, payload)
        if self._early is not None:
            self._early.append(message)
            self._early_bytes += len(message)
            if self._early_bytes > MODEL_EARLY_BYTES:
                self._start()
        elif self._worker is not None:
            self._send(self._worker, message)
        return self._number

    def _send(self, worker: _Worker, message: bytes) -> None:
        try:
            worker.send(message)
        except _Broken as broken:
            self._give_up(worker, broken)

    def _start(self) -> None:
        """Start the process, once. The lock is held."""
        if self._early is None:
            return
        early, self._early = self._early, None
        try:
            self._worker = _Worker(self._command)
        except OSError as error:
            _log.warning("a session is replayed from its last output: no terminal model: %s", error)
            return
        self._send(self._worker, b"".join(early))

    def _give_up(self, worker: _Worker, broken: _Broken) -> None:
        """Go on with the ring. The lock is held."""
        if self._worker is worker:
            _log.warning("a session is replayed from its last output: its terminal model broke: %s", broken)
            self._worker = None
            worker.close()

    def broke(self, worker: _Worker, broken: _Broken) -> None:
        """A thread that waited for a snapshot found the process gone."""
        with self._lock:
            self._give_up(worker, broken)


class _Requested(Capture):
    """A snapshot on its way; the ring's, if it never comes."""

    def __init__(self, screen: IsolatedScreen, worker: _Worker | None, number: int, kept: Capture) -> None:
        self._screen, self._worker, self._number, self._kept = screen, worker, number, kept

    def draw(self) -> Snapshot:
        if self._worker is not None:
            try:
                snapshot = decode_snapshot(self._worker.reply(self._number))
            except _Broken as broken:
                self._screen.broke(self._worker, broken)
            else:
                if snapshot.data:
                    return snapshot
        return self._kept.draw()
