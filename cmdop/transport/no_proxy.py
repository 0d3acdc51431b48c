"""Which relays are dialled without a proxy: NO_PROXY as curl and git read it. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

LOCAL_NAMES: Final = "<local>"
"""How Windows and macOS write "all names without a dot"."""
_SEPARATORS: Final = re.compile(r"[,;\s]+")
_WITH_PORT: Final = re.compile(r"(\[[^]]*\]|[^:]*):(\d+)")


def excepting(no_proxy: str, host: str, port: int) -> str:
    """The first entry that means this host, as it is written; empty where none does.

    An entry is `*` for all, or a name with all below it (a dot before it changes nothing), or
    an address, or a network (`10.0.0.0/8`); each with a `:port` or for every one. Within a
    name `*` stands for anything. Names are not looked up: an address means only itself.
    """
    host = host.lower().rstrip(".")
    return next((entry for entry in _SEPARATORS.split(no_proxy) if entry and _means(entry.lower(), host, port)), "")


def _means(entry: str, host: str, port: int) -> bool:
    with_port = _WITH_PORT.fullmatch(entry)
    if with_port is not None:
        entry, wanted = with_port.groups()
        if int(wanted) != port:
            return False
    if entry == "*":
        return True
    if re.fullmatch(r"[\d.]+|.*:.*", host):
        return _is_in(host, entry.strip("[]"))
    if entry == LOCAL_NAMES:
        return "." not in host
    name = entry.removeprefix("*").strip(".")
    if not name:
        return False
    return fnmatchcase(host, name) if set(name) & set("*?[") else f".{host}".endswith(f".{name}")


def _is_in(host: str, entry: str) -> bool:
    """Whether an address is in a network, or is that address; also for `10.*`, as Windows writes it."""
    import ipaddress  # for who needs it

    try:
        address = ipaddress.ip_address(host)
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return "*" in entry and fnmatchcase(host, entry)
