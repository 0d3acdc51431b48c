"""How a relay may be reached: what everybody who dials one has been told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cmdop.transport.address import ServerAddress
from cmdop.transport.proxy import NO_PROXIES, Choice, Proxies, choose


@dataclass(frozen=True)
class Way:
    """`insecure` allows plain text over a network. `ca_file` has the certificates to trust in
    place of the system's (PEM), for whichever relay; `usual_ca_file` those for one that has
    none of its own. `proxies` is what was said about them."""

    insecure: bool = False
    ca_file: Path | None = None
    proxies: Proxies = NO_PROXIES
    usual_ca_file: Path | None = None

    @property
    def trusted(self) -> Path | None:
        """The file of the certificates to trust; None for the system's."""
        return self.ca_file or self.usual_ca_file

    def to_relay(self, ca_file: Path | None) -> Way:
        """The same for a relay that has certificates of its own, or none: what was named goes before."""
        return replace(self, ca_file=self.ca_file or ca_file)

    def choice(self, server: ServerAddress) -> Choice:
        """The proxy for a relay, or none, and why. Raises BadProxy."""
        return choose(self.proxies, server)

    def first(self, server: ServerAddress) -> ServerAddress:
        """Where the first connection goes to: the proxy, or the relay itself. Raises BadProxy."""
        proxy = self.choice(server).proxy
        return server if proxy is None else proxy.address


PLAIN_WAY = Way()
"""Straight, with TLS, as the system trusts."""
