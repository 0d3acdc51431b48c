"""Two connected ends within one process, for tests: no sockets, no network.

A queue carries the messages; a socket pair only makes the ends selectable.
"""

from __future__ import annotations

import socket
import threading
from collections import deque

from cmdop.errors import ConnectionClosed
from cmdop.transport.connection import Connection


def memory_pair() -> tuple[MemoryConnection, MemoryConnection]:
    """Two ends; what one sends the other receives."""
    one, other = MemoryConnection("memory:a"), MemoryConnection("memory:b")
    one.peer, other.peer = other, one
    return one, other


class MemoryConnection(Connection):
    """One end of a pair. A bad network is a subclass that overrides `deliver`."""

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self.peer: MemoryConnection | None = None
        self._messages: deque[bytes] = deque()
        self._ended = ""
        self._released = False
        """The end was received, as when a socket gives its descriptor back."""
        # Guards all of these; told of every change.
        self._change = threading.Condition()
        self._bell: tuple[socket.socket, socket.socket] | None = None
        """Made for who selects: one byte is on its way from the first to the second exactly
        while `receive` would not block."""

    @property
    def backlog_bytes(self) -> int:
        return 0

    def wait_for_room(self, backlog_bytes: int, timeout_seconds: float) -> bool:
        return True

    @property
    def buffered(self) -> bool:
        return bool(self._messages)

    def fileno(self) -> int:
        with self._change:
            if self._released:
                return -1
            if self._bell is None:
                self._bell = socket.socketpair()
                if self._messages or self._ended:
                    self._ring()
            return self._bell[1].fileno()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell[0].send(b"!")

    def send(self, message: bytes) -> None:
        if self._ended:
            raise ConnectionClosed(reason=self._ended)
        if self.peer is not None:
            self.peer.deliver(message)

    def deliver(self, message: bytes) -> None:
        """Take a message from the other end."""
        with self._change:
            if self._ended:
                return
            if not self._messages:
                self._ring()
            self._messages.append(message)
            self._change.notify_all()

    def receive(self) -> bytes:
        with self._change:
            self._change.wait_for(lambda: self._messages or self._ended)
            if not self._messages:
                self._released = True
                for end in self._bell or ():
                    end.close()
                raise ConnectionClosed(reason=self._ended)
            message = self._messages.popleft()
            if self._bell is not None and not self._messages and not self._ended:
                self._bell[1].recv(1)
            return message

    def close(self, reason: str = "") -> None:
        for end, why in ((self, "it is closed"), (self.peer, reason or "the other end closed it")):
            if end is not None:
                end.finish(why)

    def finish(self, reason: str) -> None:
        """Mark this end as closed, for the first reason given."""
        with self._change:
            if self._ended:
                return
            if not self._messages:
                self._ring()
            self._ended = reason
            self._change.notify_all()
