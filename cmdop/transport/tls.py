"""TLS without I/O of its own, so that two threads may use one connection.

Python's SSLSocket wraps one OpenSSL object that must not be read and written at the
same time; a reader blocked in it would have to hold up every writer. Here the object
works on memory (`ssl.MemoryBIO`), each step is short and under a lock, and the socket
is read and written outside of it.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Final

from cmdop.deadline import Deadline
from cmdop.errors import ConnectionClosed
from cmdop.transport.patience import allow

_READ_BYTES: Final = 64 * 1024


class Tls:
    """One TLS session over a connected, blocking socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # Guards the OpenSSL object and both memory buffers.
        self._lock = threading.Lock()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )

    def handshake(self, deadline: Deadline) -> None:
        """Shake hands, by the deadline. Raises ssl.SSLError or OSError."""
        while True:
            allow(self._sock, deadline)
            try:
                self._object.do_handshake()
                return
            except ssl.SSLWantReadError:
                self._sock.sendall(self._outgoing.read())
                self._feed(self._sock.recv(_READ_BYTES))
            finally:
                self._sock.sendall(self._outgoing.read())

    @property
    def certificate(self) -> bytes:
        """The other end's, in DER, after the handshake; b"" where it showed none."""
        with self._lock:
            return self._object.getpeercert(binary_form=True) or b""

    def seal(self, data: bytes) -> bytes:
        """Plain bytes as TLS records. The caller sends them in the order of the calls.

        Raises ConnectionClosed once a record of the other end was not genuine.
        """
        with self._lock:
            try:
                self._object.write(data)
            except ssl.SSLError as error:
                raise ConnectionClosed(reason=f"TLS: {error.reason}") from error
            return self._outgoing.read()

    def rest(self) -> bytes:
        """Plain bytes that came in one piece with the other end's last handshake message."""
        with self._lock:
            return self._read()

    def open(self, received: bytes) -> bytes:
        """The plain bytes in what the socket received, maybe none yet; b"" as input is the end.

        Raises ConnectionClosed at an orderly end or for records that are not genuine.
        """
        with self._lock:
            self._feed(received)
            return self._read()

    def _read(self) -> bytes:
        plain = []
        try:
            while piece := self._object.read(_READ_BYTES):
                plain.append(piece)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            if not plain:
                raise ConnectionClosed(reason="the other end closed it") from None
        except ssl.SSLError as error:
            raise ConnectionClosed(reason=f"TLS: {error.reason}") from error
        return b"".join(plain)

    def _feed(self, received: bytes) -> None:
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()
