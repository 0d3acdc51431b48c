"""The first steps to a relay, and the words for what goes wrong on the way."""

from __future__ import annotations

import socket
import ssl

from cmdop.deadline import Deadline
from cmdop.errors import ProxyUnreachable, RelayUnreachable
from cmdop.transport.address import ServerAddress
from cmdop.transport.patience import allow
from cmdop.transport.way import Way


def connect(server: ServerAddress, way: Way, deadline: Deadline) -> socket.socket:
    """A socket that leads to the relay, through its proxy if it has one.

    Raises OSError, ValueError for a name that cannot be one, BadProxy, and what a proxy's refusal raises.
    """
    proxy = way.choice(server).proxy
    if proxy is None:
        return connect_to(server.host, server.port, deadline)
    from cmdop.transport.proxied import through  # for who needs it

    return through(proxy, server, deadline)


def connect_to(host: str, port: int, deadline: Deadline) -> socket.socket:
    """The first of the host's addresses that answers; one that does not leaves the others their share.

    Raises OSError, or ValueError for a name that cannot be one.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
    raise OSError(f"{host} has no address")


def unreachable(server: ServerAddress, way: Way, reason: str) -> RelayUnreachable:
    """The error for a relay that cannot be reached; a proxy is named, for it may be at fault."""
    proxy = way.choice(server).proxy
    if proxy is None:
        return RelayUnreachable(server=server.url, reason=reason)
    return ProxyUnreachable(server=server.url, proxy=proxy.url, variable=proxy.variable, reason=reason)


def reason_of(error: Exception, timeout_seconds: float) -> str:
    """What an error of sockets, names or TLS means, for behind "cannot reach the relay"."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); a relay without TLS wants ws://"
    if isinstance(error, UnicodeError):
        return "that is no host name"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error) or type(error).__name__
