"""A relay's address as the user writes it: ws://, wss:// or host[:port]."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from cmdop.errors import BadServer
from cmdop.limits import DEFAULT_PORT

ENDPOINT_PATH = "/v1"
WANT_HEADER = "Cmdop-Want"
WANT_MACHINES = "machines"
"""Sent with the upgrade by a client that will resolve a name: the relay's first
message then brings the machines, and a round trip is saved."""

REFUSED_STATUSES = (401, 403, 429)
"""Of a relay's answer to an upgrade: what it has against the credential (docs/protocol.md §2.1)."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a relay is, and whether the way there is TLS."""

    secure: bool
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address without the endpoint's path, as it is shown and kept."""
        scheme, usual = ("wss", 443) if self.secure else ("ws", 80)
        return f"{scheme}://{self._bracketed}" + ("" if self.port == usual else f":{self.port}")

    @property
    def endpoint(self) -> str:
        return self.url + ENDPOINT_PATH

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_server(text: str) -> ServerAddress:
    """The address in a text. Raises BadServer.

    Without a scheme a loopback host means ws:// on `DEFAULT_PORT`, any other wss://.
    """
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "", text.strip()
    scheme = scheme.lower()
    if scheme not in ("", "ws", "wss", "http", "https"):
        raise BadServer(server=text, reason=f"{scheme}:// is not spoken here")
    try:
        parts = urlsplit("//" + rest)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadServer(server=text, reason=str(error)) from error
    if not host or parts.username is not None or parts.query or parts.fragment or any(c.isspace() for c in rest):
        raise BadServer(server=text, reason="it names no host" if not host else "it holds more than host and port")
    if parts.path.rstrip("/") not in ("", ENDPOINT_PATH):
        raise BadServer(server=text, reason=f"the path {parts.path}")
    secure = scheme in ("wss", "https") or (not scheme and not is_loopback(host))
    usual = DEFAULT_PORT if not scheme and not secure else 443 if secure else 80
    return ServerAddress(secure, host, usual if port is None else port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, so that plain text stays on it."""
    if host in ("localhost", "127.0.0.1", "::1"):
        return True
    import ipaddress  # seldom needed, and not cheap

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
