"""The sending half of a socket: straight to the kernel, or queued and then written.

A keystroke must not wait for a second thread to wake, and a sender must not block on a
slow peer. So `put` tries the kernel first and queues what it does not take; a writer
thread, started at the first backlog, writes the queue out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from cmdop.errors import ConnectionClosed
from cmdop.limits import KIB, UPLINK_LOW_WATER_BYTES

_AT_ONCE_BYTES: Final = 256 * KIB
_PIECE_BYTES: Final = 64
"""What a queued piece takes beside its bytes: a flood of tiny ones must not be for free."""
_NOT_BLOCKING: Final[int | None] = getattr(socket, "MSG_DONTWAIT", None)
"""None on Windows: there everything goes through the writer thread."""


class Outbox:
    """Bytes on their way into one socket, in order, bounded by `limit_bytes`, which may change.

    `seal` turns plain bytes into what goes over the wire (TLS), in the order of the
    calls; None leaves them as they are. The writer thread is named `NAME->socket`, blocks
    in `send` or on the condition, and is woken by `put`, by `close`, and by the socket's
    shutdown.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        limit_bytes: int,
        seal: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._sock, self._name, self.limit_bytes, self._seal = sock, name, limit_bytes, seal
        self.on_drained: Callable[[], None] | None = None
        """Called on the writer thread each time the queue has fallen to the low-water mark."""
        # Guards everything below; `_emptier` and `_filled` are told of changes. Nothing
        # blocks while it is held: the one send under it is a non-blocking one.
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptier = threading.Condition(self._lock)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._closed = False
        self._writer: threading.Thread | None = None

    @property
    def backlog_bytes(self) -> int:
        return self._queued_bytes

    def put(self, data: bytes) -> None:
        """Send or queue. Raises ConnectionClosed when closed or when the queue is full.

        A full queue ends the connection, so that the thread that receives hears of it.
        """
        with self._lock:
            if self._closed:
                raise ConnectionClosed(reason="it is closed")
            if self._seal is not None:
                data = self._seal(data)
            if self._queued_bytes == 0:
                data = data[self._offer(data) :]
                if not data:
                    return
            if self._taken_bytes + len(data) <= self.limit_bytes:
                self._append(data)
                return
        self._give_up()
        raise ConnectionClosed(reason="the other end takes less than it asked for")

    def close(self, timeout_seconds: float) -> None:
        """Take nothing more, and wait until the queue is written or time is up."""
        with self._lock:
            self._closed = True
            self._filled.notify()
            self._emptier.notify_all()
            self._emptier.wait_for(lambda: self._queued_bytes == 0, timeout_seconds)

    def wait_for_room(self, backlog_bytes: int, timeout_seconds: float) -> bool:
        """Block until the queue takes no more memory than that, or it is closed; False when time was up."""
        with self._lock:
            return self._emptier.wait_for(lambda: self._closed or self._taken_bytes <= backlog_bytes, timeout_seconds)

    def join(self) -> None:
        """Wait for the writer thread, so that the socket may be closed under nobody."""
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join()

    @property
    def _taken_bytes(self) -> int:
        return self._queued_bytes + len(self._queue) * _PIECE_BYTES

    def _append(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued_bytes += len(data)
        if self._writer is None:
            writer = threading.Thread(target=self._write, name=f"{self._name}->socket", daemon=True)
            try:
                writer.start()
            except RuntimeError as error:  # the host has no thread left; a part may be sent already
                self._closed = True
                raise ConnectionClosed(reason=str(error)) from error
            self._writer = writer
        else:
            self._filled.notify()

    def _offer(self, data: bytes) -> int:
        """How many bytes the kernel took without blocking."""
        if _NOT_BLOCKING is None:
            return 0
        try:
            return self._sock.send(data, _NOT_BLOCKING)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._closed = True
            raise ConnectionClosed(reason=error.strerror or str(error)) from error

    def _write(self) -> None:
        while (data := self._next_piece()) is not None:
            try:
                self._sock.sendall(data)
            except OSError:
                self._give_up()
                return
            if self._written(len(data)) and self.on_drained is not None:
                self.on_drained()

    def _next_piece(self) -> bytes | None:
        """Queued bytes to write at once; None at the end."""
        with self._lock:
            self._filled.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return None
            pieces, size = [], 0
            while self._queue and size < _AT_ONCE_BYTES:
                pieces.append(self._queue.popleft())
                size += len(pieces[-1])
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _written(self, size: int) -> bool:
        """Count bytes as gone; whether the queue fell to the low-water mark."""
        with self._lock:
            before = self._queued_bytes
            # Not below 0: whoever gave up meanwhile has counted everything as gone.
            self._queued_bytes = max(0, before - size)
            self._emptier.notify_all()
            return self._queued_bytes <= UPLINK_LOW_WATER_BYTES < before

    def _give_up(self) -> None:
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._queued_bytes = 0
            self._emptier.notify_all()
            self._filled.notify()
        # Wakes the thread that receives, which is where the end is noticed.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
