"""The way to a relay, one step at a time: to say which of them it is that does not work.

`dial` goes the same way in one go. Each step here begins anew and leaves nothing open.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cmdop.deadline import Deadline
from cmdop.errors import CmdopError
from cmdop.limits import SUBPROTOCOL
from cmdop.transport.address import ENDPOINT_PATH, REFUSED_STATUSES, ServerAddress
from cmdop.transport.presented import untrusted
from cmdop.transport.reaching import connect, connect_to, reason_of, unreachable
from cmdop.transport.trust import trusting
from cmdop.transport.way import PLAIN_WAY, Way

_BODY_MAX_BYTES: Final = 500


@dataclass(frozen=True)
class TlsAbout:
    """What a TLS handshake came to. `expires` is Unix time in seconds."""

    version: str
    issuer: str
    expires: float


@dataclass(frozen=True)
class Answer:
    """What the other end answered to the upgrade. `date` is its clock, Unix time in seconds."""

    status: int
    upgraded: bool
    """Whether it speaks our protocol."""
    refusal: str
    """A relay's reason for letting nobody in; empty where it did, or where it is no relay."""
    date: float | None
    seconds: float
    """How long it took, from the first byte of the request on."""


def look_up(server: ServerAddress, way: Way = PLAIN_WAY) -> list[str]:
    """The addresses of the relay's host, or of its proxy's, in the order in which they are tried.

    Raises RelayUnreachable. Blocks as long as the system's resolver does.
    """
    with _translated(server, way):
        first = way.first(server)
        found = socket.getaddrinfo(first.host, first.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


def reach(server: ServerAddress, timeout_seconds: float, way: Way = PLAIN_WAY) -> float:
    """How many seconds it took to connect over TCP, to the relay or to its proxy. Raises RelayUnreachable."""
    with _translated(server, way, timeout_seconds):
        before = time.monotonic()
        first = way.first(server)
        connect_to(first.host, first.port, Deadline(timeout_seconds)).close()
        return time.monotonic() - before


def shake_hands(server: ServerAddress, timeout_seconds: float, way: Way = PLAIN_WAY) -> TlsAbout:
    """What TLS with the relay is like.

    Raises RelayUntrusted, with who issued the certificate, or RelayUnreachable.
    """
    with _translated(server, way, timeout_seconds), _secured(server, way, timeout_seconds) as tls:
        from cmdop.transport.certificate import expires_of, issuer_of  # a tenth of a second, for who needs it

        shown = tls.getpeercert(binary_form=True) or b""
        return TlsAbout(tls.version() or "TLS", issuer_of(shown), expires_of(shown))


def ask_upgrade(server: ServerAddress, credential: str, timeout_seconds: float, way: Way = PLAIN_WAY) -> Answer:
    """What the relay answers to who asks for a WebSocket (RFC 6455 §4.1) with a credential, or with none.

    Raises RelayUnreachable or RelayUntrusted.
    """
    with _translated(server, way, timeout_seconds):
        if server.secure:
            sock: socket.socket = _secured(server, way, timeout_seconds)
        else:
            sock = _connect(server, way, timeout_seconds)
        with sock:
            return _answer(server, sock, credential)


def _answer(server: ServerAddress, sock: socket.socket, credential: str) -> Answer:
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.sock = sock
    before = time.monotonic()
    connection.request("GET", ENDPOINT_PATH, headers=_headers(credential))
    response = connection.getresponse()
    seconds = time.monotonic() - before
    body = response.read(_BODY_MAX_BYTES).decode("utf-8", "replace")
    upgraded = response.status == 101 and response.getheader("Sec-WebSocket-Protocol") == SUBPROTOCOL
    refusal = _refusal(body) if response.status in REFUSED_STATUSES else ""
    return Answer(response.status, upgraded, refusal, _date(response.getheader("Date")), seconds)


def _headers(credential: str) -> dict[str, str]:
    authorization = {"Authorization": f"Bearer {credential}"} if credential else {}
    return {
        **authorization,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
    }


def _refusal(body: str) -> str:
    """The reason in a relay's refusal, which is one line: `code: reason`. Empty for anything else."""
    lines = body.strip().splitlines()
    code, found, reason = (lines[0] if lines else "").partition(": ")
    return reason if found and code.replace("-", "").isalpha() and code.islower() else ""


def _date(header: str | None) -> float | None:
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(header or "").timestamp()
    return None


def _connect(server: ServerAddress, way: Way, timeout_seconds: float) -> socket.socket:
    sock = connect(server, way, Deadline(timeout_seconds))
    sock.settimeout(timeout_seconds)
    return sock


def _secured(server: ServerAddress, way: Way, timeout_seconds: float) -> ssl.SSLSocket:
    context = trusting(way.trusted)
    sock = _connect(server, way, timeout_seconds)
    try:
        return context.wrap_socket(sock, server_hostname=server.host)
    except BaseException:
        sock.close()
        raise


@contextmanager
def _translated(server: ServerAddress, way: Way, timeout_seconds: float = 0.0) -> Iterator[None]:
    """Raises RelayUnreachable for what goes wrong on the way, or RelayUntrusted."""
    try:
        yield
    except CmdopError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise untrusted(server, way, error, Deadline(timeout_seconds)) from error
    # ValueError: a host name that cannot be one, numbers in HTTP that are none, an odd certificate.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unreachable(server, way, _reason(error, timeout_seconds)) from error


def _reason(error: Exception, timeout_seconds: float) -> str:
    if isinstance(error, http.client.HTTPException):
        return "it closed the connection or speaks no HTTP"
    return reason_of(error, timeout_seconds)
