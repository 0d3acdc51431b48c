"""Through a proxy: HTTP CONNECT (RFC 9110 §9.3.6), SOCKS4a, SOCKS5 (RFC 1928, 1929).

The only file that imports python-socks, which speaks them. The sockets under it are ours, so
that all steps have one deadline, and so that not a byte behind the answer is read. The proxy
looks the relay's name up: there may be no other way to learn it.
"""

from __future__ import annotations

import socket
from typing import Final

from python_socks import ProxyError, ProxyType
from python_socks.sync import Proxy as Client

from cmdop.deadline import Deadline
from cmdop.errors import ProxyPasswordRefused, ProxyRefused, ProxyUnreachable, RemoteProtocolError
from cmdop.limits import PROXY_ANSWER_MAX_BYTES
from cmdop.transport.address import ServerAddress
from cmdop.transport.patience import allow
from cmdop.transport.proxy import Proxy
from cmdop.transport.reaching import connect_to, reason_of

_TYPES: Final = {
    "http": ProxyType.HTTP,
    "socks4": ProxyType.SOCKS4,
    "socks4a": ProxyType.SOCKS4,
    "socks5": ProxyType.SOCKS5,
    "socks5h": ProxyType.SOCKS5,
}
_HTTP_WANTS_PASSWORD: Final = (407, 401)
"""The second is what tinyproxy says to a wrong one."""
_SOCKS_WANTS_PASSWORD: Final = ("authentication failure", "acceptable authentication", "socks authentication method")
"""SOCKS5 has no code for it; python-socks says it so."""
_SAID_MAX_CHARS: Final = 120
_END_OF_HEAD: Final = b"\r\n\r\n"


def through(proxy: Proxy, server: ServerAddress, deadline: Deadline) -> socket.socket:
    """A socket that leads to the relay, by the deadline.

    Raises ProxyUnreachable, ProxyRefused or ProxyPasswordRefused.
    """
    about = {"proxy": proxy.url, "server": server.url, "variable": proxy.variable}
    sock: socket.socket | None = None
    try:
        sock = connect_to(proxy.host, proxy.port, deadline)
        client = Client(
            _TYPES[proxy.scheme],
            proxy.host,
            proxy.port,
            *_credentials(proxy),
            rdns=True,
            forward=_Under(sock, deadline),
        )
        client.connect(server.host, server.port)
    # Exception: what a proxy answers is parsed in there, and it may be anything.
    except Exception as error:
        if sock is not None:
            sock.close()
        if isinstance(error, ProxyError) and _wants_password(error):
            raise ProxyPasswordRefused(**about, reason=_said(error)) from error
        if isinstance(error, ProxyError) and error.error_code is not None:
            raise ProxyRefused(**about, reason=_said(error)) from error
        raise ProxyUnreachable(**about, reason=_reason(error, deadline)) from error
    return sock


def _credentials(proxy: Proxy) -> tuple[str, str]:
    """User and password in the characters that python-socks makes bytes of: HTTP's are UTF-8 (RFC 7617 §2.1)."""
    if proxy.scheme != "http":
        return proxy.user, proxy.password
    return _as_latin(proxy.user), _as_latin(proxy.password)


def _as_latin(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("latin-1")


def _wants_password(error: ProxyError) -> bool:
    said = str(error).lower()
    return error.error_code in _HTTP_WANTS_PASSWORD or any(words in said for words in _SOCKS_WANTS_PASSWORD)


def _said(error: ProxyError) -> str:
    return str(error).strip()[:_SAID_MAX_CHARS]


def _reason(error: Exception, deadline: Deadline) -> str:
    of_a_name = isinstance(error, UnicodeError) and not isinstance(error, UnicodeDecodeError)
    if of_a_name or isinstance(error, OSError):
        return reason_of(error, deadline.seconds or 0.0)
    return "it speaks no such proxy's protocol"


class _Under(Client):
    """The connection that python-socks goes on from: it takes any proxy for that, so this is one."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__(ProxyType.HTTP, "", 0)
        self._steps = _Steps(sock, deadline)

    def connect(self, *_: object, **__: object) -> _Steps:  # type: ignore[override]
        return self._steps


class _Steps:
    """A socket as python-socks sees it: each step by the deadline, and an HTTP head in one piece."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._http = False
        """Whether the answer is an HTTP head."""

    def sendall(self, data: bytes) -> None:
        self._http = data.startswith(b"CONNECT ")
        allow(self._sock, self._deadline)
        self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        if not self._http:
            return self._some(size)
        head = bytearray()
        while not head.endswith(_END_OF_HEAD):
            # What is behind the head is TLS already: so a byte at a time, of a few hundred.
            head += self._some(1)
            if len(head) > PROXY_ANSWER_MAX_BYTES:
                raise RemoteProtocolError(reason="an answer of the proxy without end")
        return bytes(head)

    def close(self) -> None:
        self._sock.close()

    def _some(self, size: int) -> bytes:
        allow(self._sock, self._deadline)
        data = self._sock.recv(size)
        if not data:
            raise ConnectionResetError("it closed the connection")
        return data
