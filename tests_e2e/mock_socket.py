"""The accepting end of a WebSocket for the mock relay: honest when asked, and rude when told.

On the `websockets` library's Sans-I/O protocol and a plain socket, so that a test can
put any bytes on the wire and cut the connection at any point.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import CLOSED
from websockets.server import ServerProtocol

from cmdop.limits import SUBPROTOCOL
from tests_e2e.timing import STEP_SECONDS


class MockSocket:
    """One connection. `request` has what was asked; `receive` is for one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._protocol = ServerProtocol(subprotocols=[SUBPROTOCOL], max_size=1 << 24)  # type: ignore[list-item]
        self._messages: deque[bytes] = deque()
        self._parts = b""
        # Guards the order of what is sent.
        self._sending = threading.Lock()
        self.request: Request | None = None

    def read_request(self) -> Request | None:
        """The upgrade request, or None if there was none."""
        while self.request is None:
            if not self._feed():
                return None
        return self.request

    def accept(self) -> None:
        assert self.request is not None
        self._protocol.send_response(self._protocol.accept(self.request))
        self._flush()

    def refuse(self, status: int, body: str) -> None:
        """Answer with HTTP, and let it arrive before the connection is closed."""
        self._protocol.send_response(self._protocol.reject(status, body))
        self._flush()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(STEP_SECONDS)
            while self._sock.recv(65536):
                pass

    def receive(self) -> bytes | None:
        """The next binary message; None at the end."""
        while not self._messages:
            if not self._feed():
                return None
        return self._messages.popleft()

    def send(self, message: bytes) -> None:
        self.send_raw(Frame(Opcode.BINARY, message).serialize(mask=False))

    def send_raw(self, data: bytes) -> None:
        """Any bytes at all. A client that is gone is no error here."""
        with self._sending, contextlib.suppress(OSError):
            self._sock.sendall(data)

    def cut(self) -> None:
        """End the connection without a word: the other side gets a reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._sock.shutdown(socket.SHUT_RD)
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _feed(self) -> bool:
        """Take in some bytes; whether there were any."""
        try:
            data = self._sock.recv(65536)
        except OSError:
            return False
        if not data or self._protocol.state is CLOSED:
            return False
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self.request = event
            elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._parts += bytes(event.data)
                if event.fin:
                    self._messages.append(self._parts)
                    self._parts = b""
        self._flush()
        return True

    def _flush(self) -> None:
        self.send_raw(b"".join(self._protocol.data_to_send()))
