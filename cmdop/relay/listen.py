"""Where a relay may listen, and with what certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from cmdop.errors import PlainTextRefused, UsageError
from cmdop.transport.address import ServerAddress


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [IPV6]:PORT taken apart. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(reason=f'"{text}" is no address to listen on: write HOST:PORT, or [IPV6]:PORT')
    return host, int(port)


def need_safe(address: ServerAddress, *, insecure: bool) -> bool:
    """Whether a relay here is safe from listeners on the network; False when that is wanted so.

    Raises PlainTextRefused for plain text off loopback that nobody wanted.
    """
    if address.secure or address.loopback:
        return True
    if not insecure:
        raise PlainTextRefused(server=address.url)
    return False


def server_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The TLS side of a relay, None for none at all. Raises UsageError when the files will not do."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError(reason="--tls-cert and --tls-key go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise UsageError(reason=f"{cert} and {key} are no certificate and its key: {error.reason or error}") from error
    except OSError as error:
        raise UsageError(reason=f"{cert} or {key} cannot be read: {error.strerror}") from error
    return context
