"""A socket that listens, and goes on listening whatever comes, also with no descriptor left."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import Any, Final

from cmdop.errors import AddressInUse, ConnectionClosed
from cmdop.transport.accept import Arrival

_BACKLOG_CONNECTIONS: Final = 1024
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PASSING: Final = _EXHAUSTED | {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR}
"""What accept(2) reports of one who knocked, or of a bad moment, and not of the listener."""


class Listener:
    """A listening TCP socket. Raises AddressInUse when it cannot have its address."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._sock = socket.create_server((host, port), family=family, backlog=_BACKLOG_CONNECTIONS)
        except (OSError, OverflowError, UnicodeError) as error:  # a port past 65535, a host that cannot be one
            raise AddressInUse(address=f"{host}:{port}", reason=_why_not(error)) from error
        self._spare = socket.socket()
        """A descriptor to give up when there are none left, see `_accept_with_spare`."""
        self._closed = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the real one where 0 was asked for."""
        host, port = self._sock.getsockname()[:2]
        return str(host), int(port)

    def accept(self) -> Arrival:
        """The next one who knocks; blocks. Raises ConnectionClosed once closed."""
        while True:
            try:
                sock, address = self._sock.accept()
            except OSError as error:
                if self._closed or error.errno not in _PASSING:
                    raise ConnectionClosed(reason=error.strerror or str(error)) from error
                arrival = self._accept_with_spare() if error.errno in _EXHAUSTED else None
                if arrival is not None:
                    return arrival
            else:
                return self._arrival(sock, address)

    def _accept_with_spare(self) -> Arrival | None:
        """The next one who knocks, by means of the spare descriptor; None if it was turned away.

        Without it the knock would stay, and `accept` fail at once for ever.
        """
        self._spare.close()
        arrival = None
        with contextlib.suppress(OSError):
            arrival = self._arrival(*self._sock.accept())
            self._spare = socket.socket()
            return arrival
        if arrival is not None:
            arrival.close()
        with contextlib.suppress(OSError):
            self._spare = socket.socket()
        return None

    def _arrival(self, sock: socket.socket, address: tuple[Any, ...]) -> Arrival:
        return Arrival(sock, f"{address[0]}:{address[1]}", self._tls)

    def close(self) -> None:
        """Stop listening and wake `accept`. Twice is quiet."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._spare.close()


def _why_not(error: Exception) -> str:
    """Why there is no listening socket. Python puts the address behind the system's words."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return reason.partition(" (while attempting")[0].lower()
