"""Which proxy a relay is dialled through, if any. Pure: what the environment says is handed in.

As with curl and git: HTTPS_PROXY for wss://, HTTP_PROXY for ws://, ALL_PROXY behind both, a
lower-case name before the upper-case one, and NO_PROXY for what goes without. A relay on this
machine never has a proxy: there plain text is allowed because it does not leave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from cmdop.errors import BadProxy
from cmdop.transport.address import ServerAddress
from cmdop.transport.no_proxy import excepting

SYSTEM_SECURE: Final = "the system's HTTPS proxy"
SYSTEM_PLAIN: Final = "the system's HTTP proxy"
SYSTEM_SOCKS: Final = "the system's SOCKS proxy"
SYSTEM_EXCEPTIONS: Final = "the system's proxy exceptions"
"""Where no variable stands, the settings of macOS and Windows do, under these names."""

_ALL: Final = ("all_proxy", "ALL_PROXY")
_SECURE: Final = ("https_proxy", "HTTPS_PROXY", *_ALL, SYSTEM_SECURE, SYSTEM_SOCKS)
_PLAIN: Final = ("http_proxy", "HTTP_PROXY", *_ALL, SYSTEM_PLAIN, SYSTEM_SOCKS)
_EXCEPTED: Final = ("no_proxy", "NO_PROXY", SYSTEM_EXCEPTIONS)
_NAMING: Final = frozenset({*_SECURE, *_PLAIN})
VARIABLES: Final = _NAMING | frozenset(_EXCEPTED)
"""All that is looked at."""

_USUAL_PORTS: Final = {"http": 80, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
"""The schemes of proxies, and their ports. All of them look the relay's name up themselves."""
_SOCKS_MAX_BYTES: Final = 255


class Said(NamedTuple):
    """A variable and what it says. Not for showing: a proxy's URL may have a password."""

    variable: str
    value: str


@dataclass(frozen=True)
class Proxies:
    """What was said about proxies, for wss:// and for ws://, and which relays need none."""

    secure: Said | None = field(default=None, repr=False)
    plain: Said | None = field(default=None, repr=False)
    excepted: Said | None = None


NO_PROXIES: Final = Proxies()


@dataclass(frozen=True)
class Proxy:
    """A proxy, where it was said (`variable`), and what it wants to be told."""

    scheme: str
    host: str
    port: int
    variable: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """As it may be shown: without user and password."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(False, self.host, self.port)


class Choice(NamedTuple):
    """The proxy, or none; and why, to stand behind "because"."""

    proxy: Proxy | None
    why: str


def proxies_in(environment: Mapping[str, str]) -> Proxies:
    """What variables say. One that is empty says nothing."""
    found = [_first(environment, names) for names in (_SECURE, _PLAIN, _EXCEPTED)]
    return Proxies(*found)


def variables_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that are about proxies, as far as they say something."""
    return {name: value for name, value in environment.items() if name in VARIABLES and value}


def names_proxies(environment: Mapping[str, str]) -> bool:
    """Whether there is a word about proxies in it: an empty one means that there is to be none."""
    return not _NAMING.isdisjoint(environment)


def choose(proxies: Proxies, server: ServerAddress) -> Choice:
    """The way to a relay. Raises BadProxy for a proxy that is none."""
    said = proxies.secure if server.secure else proxies.plain
    if said is None:
        return Choice(None, "no proxy is set")
    if server.loopback:
        return Choice(None, "it stays on this machine")
    excepted = proxies.excepted
    entry = excepting(excepted.value, server.host, server.port) if excepted else ""
    if excepted and entry:
        return Choice(None, f"{excepted.variable} has {entry}")
    return Choice(parse_proxy(said), f"{said.variable} says so")


def parse_proxy(said: Said) -> Proxy:
    """The proxy in a text, http:// where it has no scheme. Raises BadProxy, which shows nothing of the text."""
    scheme, found, rest = said.value.strip().partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("http", said.value.strip())
    if scheme not in _USUAL_PORTS:
        raise BadProxy(variable=said.variable, reason=_unspoken(scheme))
    # A password may hold all that would end the host: what counts is the last @.
    credentials, _, place = rest.rpartition("@")
    user, _, password = credentials.partition(":")
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or not host.isprintable() or " " in host or port == 0:
        raise BadProxy(variable=said.variable, reason="it names no host, or no port that can be one")
    proxy = Proxy(scheme, host, port or _USUAL_PORTS[scheme], said.variable, unquote(user), unquote(password))
    if scheme != "http":
        _check_for_socks(proxy)
    return proxy


def _unspoken(scheme: str) -> str:
    if scheme == "https":
        return "TLS to the proxy itself (https://) is not spoken here; what goes through an http:// one is TLS anyway"
    return "its scheme is none of http, socks4, socks5"


def _check_for_socks(proxy: Proxy) -> None:
    """RFC 1929 has a byte for each length, and says nothing of characters."""
    words = (proxy.user, proxy.password)
    if not all(word.isascii() and len(word) <= _SOCKS_MAX_BYTES for word in words):
        reason = f"over SOCKS, user and password are at most {_SOCKS_MAX_BYTES} ASCII characters"
        raise BadProxy(variable=proxy.variable, reason=reason)


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> Said | None:
    return next((Said(name, environment[name]) for name in names if environment.get(name)), None)
