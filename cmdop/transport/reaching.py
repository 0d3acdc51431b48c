"""The first step to a relay, and the words for what goes wrong on the way."""

from __future__ import annotations

import socket
import ssl

from cmdop.deadline import Deadline
from cmdop.transport.address import ServerAddress
from cmdop.transport.patience import allow


def connect(server: ServerAddress, deadline: Deadline) -> socket.socket:
    """The first of the host's addresses that answers; one that does not leaves the others their share.

    Raises OSError, or ValueError for a name that cannot be one.
    """
    addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        sock = socket.socket(family, kind, protocol)
        try:
            allow(sock, deadline)
            if left > 1:
                sock.settimeout((deadline.remaining_seconds or 0.0) / 2)
            sock.connect(address)
        except OSError:
            sock.close()
            if left == 1:
                raise
        else:
            return sock
    raise OSError(f"{server.host} has no address")


def reason_of(error: Exception, timeout_seconds: float) -> str:
    """What an error of sockets, names or TLS means, for behind "cannot reach the relay"."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); a relay without TLS wants ws://"
    if isinstance(error, UnicodeError):
        return "that is no host name"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error) or type(error).__name__
