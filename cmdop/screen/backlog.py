"""The requests that a model's process has received and not done yet.

They are received by the thread that does them, as much as is there before each one: so
the session rarely waits for the model, and what is behind a flood of text is known in time
to leave most of it out. A thread of its own for receiving was measured to bring nothing.
"""

from __future__ import annotations

import socket
from collections import deque

from cmdop.limits import MODEL_BACKLOG_BYTES, MODEL_WAITING_PIECES_MAX, PTY_READ_BYTES
from cmdop.screen.exchange import HEADER_BYTES, Kind, Message, decode
from cmdop.screen.flood import Piece, left_out, piece

_RECEIVE_BYTES = 1 << 18
_AT_ONCE: int = getattr(socket, "MSG_DONTWAIT", 0)
"""Windows has none, and no model either."""


class Backlog:
    """Requests in order, and the socket they come from. For one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = bytearray()
        """What is not a whole request yet, or one too many."""
        self._waiting: deque[tuple[Message, Piece]] = deque()
        self._bytes = 0
        self._ended = False

    def take(self) -> tuple[Message, bool] | None:
        """The next request, and whether it is lines of text and no more; None at the end.

        Blocks until there is one.
        """
        while self._has_room() and self._receive(_AT_ONCE):
            pass
        while not self._waiting and not self._ended:
            self._receive(0)
        return self._pop() if self._waiting else None

    def leave_out(self, lines: int) -> int:
        """How many of the next requests need not be done, by `flood.left_out`."""
        if self._bytes <= PTY_READ_BYTES:
            return 0  # not worth looking
        return left_out((judged for _, judged in self._waiting), lines)

    def drop(self, count: int) -> None:
        """Forget the next requests, so many of them."""
        for _ in range(count):
            self._pop()

    def _has_room(self) -> bool:
        return self._bytes < MODEL_BACKLOG_BYTES and len(self._waiting) < MODEL_WAITING_PIECES_MAX

    def _receive(self, flags: int) -> bool:
        """Receive once; whether something came."""
        try:
            data = self._sock.recv(_RECEIVE_BYTES, flags)
        except BlockingIOError:
            data = None
        except OSError:  # the session has gone
            data = b""
        self._ended |= data == b""
        self._received += data or b""
        self._sort()
        return bool(data)

    def _sort(self) -> None:
        at = 0
        while len(self._waiting) < MODEL_WAITING_PIECES_MAX and (message := decode(self._received, at)) is not None:
            self._waiting.append((message, piece(message.payload if message.kind == Kind.FEED else b"")))
            self._bytes += len(message.payload)
            at += HEADER_BYTES + len(message.payload)
        del self._received[:at]

    def _pop(self) -> tuple[Message, bool]:
        message, judged = self._waiting.popleft()
        self._bytes -= len(message.payload)
        return message, judged.lines > 0
