"""What dialled and accepted connections share: tuning, receiving, closing."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from cmdop.errors import ConnectionClosed
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, KIB
from cmdop.transport.connection import Connection
from cmdop.transport.outbox import Outbox
from cmdop.transport.tls import Tls

RECEIVE_MIN_BYTES: Final = 4 * KIB
RECEIVE_BYTES: Final = 64 * KIB
"""What recv is given room for: the first while little comes, the second in a flood. Every thread
that waits in recv holds that room, and a relay has a thread for each connection."""
_NOT_SENT_BYTES: Final = 128 * KIB
_GOODBYE_MAX_BYTES: Final = 123
"""A control frame carries 125 bytes (RFC 6455 §5.5), and a goodbye begins with two of status."""


def tune(sock: socket.socket) -> None:
    """Send at once, and keep little in the kernel, so that there is something to overtake.

    TCP_NOTSENT_LOWAT (Linux, macOS) bounds what is queued but not yet on the wire.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    low_water = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if low_water is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, low_water, _NOT_SENT_BYTES)


class SocketConnection(Connection):
    """A connection over a TCP socket, with or without TLS.

    Subclasses turn messages into bytes and back; `send` goes through the outbox.
    """

    def __init__(self, sock: socket.socket, tls: Tls | None, remote: str, name: str, queue_max_bytes: int) -> None:
        self.remote = remote
        self._sock, self._tls = sock, tls
        self._outbox = Outbox(sock, name, queue_max_bytes, tls.seal if tls else None)
        self._room_bytes = RECEIVE_MIN_BYTES
        # Guards the decision who closes; the closing itself is done outside of it.
        self._closing = threading.Lock()

    @property
    def on_drained(self) -> Callable[[], None] | None:
        return self._outbox.on_drained

    @on_drained.setter
    def on_drained(self, drained: Callable[[], None] | None) -> None:
        self._outbox.on_drained = drained

    @property
    def queue_max_bytes(self) -> int:
        return self._outbox.limit_bytes

    @queue_max_bytes.setter
    def queue_max_bytes(self, limit_bytes: int) -> None:
        self._outbox.limit_bytes = limit_bytes

    @property
    def backlog_bytes(self) -> int:
        return self._outbox.backlog_bytes

    def wait_for_room(self, backlog_bytes: int, timeout_seconds: float) -> bool:
        return self._outbox.wait_for_room(backlog_bytes, timeout_seconds)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self, reason: str = "") -> None:
        if not self._closing.acquire(blocking=False):
            return
        with contextlib.suppress(ConnectionClosed):
            said = reason.encode()[:_GOODBYE_MAX_BYTES].decode("utf-8", "ignore")
            self._outbox.put(self._closing_frame(said))
        self._outbox.close(CLOSE_TIMEOUT_SECONDS)
        # Only a shutdown wakes a thread that is blocked in recv, every time.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the descriptor back. By the thread that receives, as its last act."""
        self.close()
        self._outbox.join()
        self._sock.close()

    def _receive_bytes(self) -> bytes:
        """Plain bytes from the socket, never none. Raises ConnectionClosed at the end."""
        while not (data := self._receive_some()):
            pass
        return data

    def _receive_some(self) -> bytes:
        """What one call of recv brings; b"" for the beginning of a TLS record."""
        try:
            data = self._sock.recv(self._room_bytes)
        except TimeoutError:
            raise  # only while the connection is being made
        except OSError as error:
            raise ConnectionClosed(reason=error.strerror or str(error)) from error
        if not data:
            raise ConnectionClosed(reason="the other end closed it")
        if len(data) < RECEIVE_MIN_BYTES:
            self._room_bytes = RECEIVE_MIN_BYTES
        elif len(data) == self._room_bytes:
            self._room_bytes = RECEIVE_BYTES
        return data if self._tls is None else self._tls.open(data)

    @abstractmethod
    def _closing_frame(self, reason: str) -> bytes:
        """The WebSocket close frame that says goodbye (RFC 6455 §5.5.1), with a reason that it has room for."""
