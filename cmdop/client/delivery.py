"""A command's bytes between the machine and this process: one thread for each direction.

`relay->stdout` and `relay->stderr` block in writing, or until there is something to
write; `stdin->relay` in reading, or until the machine gives credit. Nothing wakes who is
blocked in reading or writing, and nobody waits for that one at the end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from cmdop.client.stream import MachineStream
from cmdop.errors import CmdopError, ConnectionClosed, OutputLost, RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES
from cmdop.session.credit import ReceiveWindow, SendCredit
from cmdop.wire.exec_messages import EXEC_MESSAGES, InputEnded, OutputEnded
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind


def say(stream: MachineStream, message: Message) -> None:
    """Tell the machine; quiet when the connection is gone: who receives will say so."""
    with contextlib.suppress(ConnectionClosed):
        stream.send_record(RecordKind.CONTROL, 0, EXEC_MESSAGES.encode(message))


class Sink:
    """Where one output goes. `write` and `close` may block and raise OSError."""

    def __init__(self, write: Callable[[bytes], None], close: Callable[[], None] = lambda: None) -> None:
        self.write, self.close = write, close


class Kept:
    """The beginning of an output; `cut` says that there was more. Its `write` is a sink's."""

    def __init__(self, max_bytes: int) -> None:
        self.data = bytearray()
        self.cut = False
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        room = self._max_bytes - len(self.data)
        self.data += data[:room]
        self.cut |= len(data) > room


class Delivery:
    """One of the command's outputs. Its thread is there from the first byte on."""

    def __init__(
        self, stream: MachineStream, kind: RecordKind, sink: Sink, window_bytes: int, done: Callable[[], None]
    ) -> None:
        """`done` is called, on any thread, when everything is written that ever will be."""
        self._stream, self._kind, self._sink, self._done = stream, kind, sink, done
        # Guards the rest; told of every change. Nothing is written while it is held.
        self._changed = threading.Condition()
        self._window = ReceiveWindow(0, window_bytes)
        self._received = 0
        self._queue: deque[bytes] = deque()
        self._began = self._ended = self._refused = False
        self._writing = False
        self.error: CmdopError | None = None
        """Why not all of it could be written, if it is not just that nobody wants it."""

    @property
    def delivered(self) -> bool:
        """Whether nothing is left to be written, now that nothing more comes."""
        with self._changed:
            return self._refused or not (self._queue or self._writing)

    def put(self, offset: int, data: bytes) -> None:
        """What the machine sent. Raises RemoteProtocolError for a gap, or more than was granted."""
        with self._changed:
            if offset != self._received or offset + len(data) > self._window.limit:
                raise RemoteProtocolError(reason=f"output at {offset}, and {self._received} was next")
            self._received += len(data)
            self._window.received(len(data), time.monotonic())
            if self._refused:
                return
            self._queue.append(data)
            self._changed.notify_all()
            begin, self._began = not self._began, True
        if begin:
            name = "relay->stdout" if self._kind is RecordKind.OUTPUT else "relay->stderr"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def end(self) -> None:
        """The machine sends no more of it: let go of it once all is written. Twice is quiet."""
        with self._changed:
            was_over, self._ended = self._ended, True
            self._changed.notify_all()
            idle = not self._began and not was_over
        if idle:
            self._let_go()

    def _run(self) -> None:
        while (data := self._next()) is not None:
            try:
                self._sink.write(data)
            except OSError as error:
                self._refuse(error)
                return
            self._wrote(len(data))
        self._let_go()

    def _next(self) -> bytes | None:
        with self._changed:
            self._writing = False
            self._changed.wait_for(lambda: self._queue or self._ended)
            if not self._queue:
                return None
            self._writing = True
            return self._queue.popleft()

    def _wrote(self, size: int) -> None:
        with self._changed:
            limit = self._window.wrote(size, time.monotonic(), self._stream.about.round_trip_seconds)
            self._writing = bool(self._queue)
            last = self._ended and not self._queue
        if limit is not None:
            with contextlib.suppress(ConnectionClosed):
                self._stream.send_record(RecordKind.CREDIT, limit, bytes([self._kind]))
        if last:
            self._done()

    def _refuse(self, error: OSError) -> None:
        """Nobody takes it any more: the command is to see that too."""
        with self._changed:
            self._refused, self._writing = True, False
            self._queue.clear()
            if not isinstance(error, BrokenPipeError):
                self.error = OutputLost(reason=(error.strerror or str(error)).lower())
        say(self._stream, OutputEnded(self._kind is RecordKind.ERROR_OUTPUT))
        self._done()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            self._sink.close()


class Supply:
    """The command's input, read as far as the machine has room for it."""

    def __init__(self, stream: MachineStream, read: Callable[[int], bytes], window_bytes: int) -> None:
        """`read` blocks for at most so many bytes; b"" is the end."""
        self._stream, self._read = stream, read
        # Guards the rest; told of every change. Nothing is read while it is held.
        self._changed = threading.Condition()
        self._credit = SendCredit(window_bytes)
        self._sent = 0
        self._over = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="stdin->relay", daemon=True).start()

    def grant(self, limit: int) -> None:
        """The machine takes input below this offset."""
        with self._changed:
            if self._credit.grant(limit):
                self._changed.notify_all()

    def end(self) -> None:
        """The command takes no more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _run(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # who receives will say so
            while (size := self._room()) > 0:
                data = self._read(size)
                if not data:
                    say(self._stream, InputEnded())
                    return
                if not self._over:
                    self._stream.send_record(RecordKind.INPUT, self._sent, data)
                self._sent += len(data)

    def _room(self) -> int:
        """How much may be read now; blocks until there is room. 0 when the command takes no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._credit.spendable(self._sent) > 0)
            return 0 if self._over else min(self._credit.spendable(self._sent), DATA_MAX_BYTES)
