"""The proxies in the settings of macOS and Windows; elsewhere only the environment has any.

Asks for the platform. A script that finds proxies (PAC) is not run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from cmdop.transport.no_proxy import LOCAL_NAMES
from cmdop.transport.proxy import SYSTEM_EXCEPTIONS, SYSTEM_PLAIN, SYSTEM_SECURE, SYSTEM_SOCKS

_WINDOWS_KEY: Final = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
_KINDS: Final = {"http": SYSTEM_PLAIN, "https": SYSTEM_SECURE, "socks": SYSTEM_SOCKS}


def system_proxies() -> dict[str, str]:
    """As variables would say them (transport/proxy.py); empty where there are none."""
    if sys.platform == "darwin":
        from _scproxy import _get_proxies, _get_proxy_settings  # what urllib.request stands on, which is slow to load

        return from_macos(_get_proxies(), _get_proxy_settings())
    if sys.platform == "win32":
        import winreg

        values: dict[str, Any] = {}
        with suppress(OSError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, _WINDOWS_KEY) as key:
            for name in ("ProxyEnable", "ProxyServer", "ProxyOverride"):
                with suppress(OSError):
                    values[name] = winreg.QueryValueEx(key, name)[0]
        return from_windows(values)
    return {}


def from_macos(proxies: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, str]:
    """`proxies` has a URL for each scheme that is on; all of them begin with http://."""
    found = {_KINDS[scheme]: _as(scheme, url) for scheme, url in proxies.items() if scheme in _KINDS}
    exceptions = [str(one) for one in settings.get("exceptions") or () if one]
    if settings.get("exclude_simple"):
        exceptions.append(LOCAL_NAMES)
    return _with(found, exceptions)


def from_windows(values: Mapping[str, Any]) -> dict[str, str]:
    """`ProxyServer` is `HOST:PORT`, or one for each of some schemes: `http=HOST:PORT;socks=HOST:PORT`."""
    server = str(values.get("ProxyServer") or "")
    if not values.get("ProxyEnable") or not server:
        return {}
    if "=" in server:
        pairs = [part.strip().partition("=") for part in server.split(";")]
        each = {scheme.lower(): place for scheme, _, place in pairs if place}
    else:
        each = {"http": server, "https": server}
    found = {_KINDS[scheme]: _as(scheme, place) for scheme, place in each.items() if scheme in _KINDS}
    return _with(found, str(values.get("ProxyOverride") or "").split(";"))


def _as(scheme: str, place: str) -> str:
    """A proxy's URL: the one for https:// is spoken to in plain HTTP as well."""
    return f"{'socks5' if scheme == 'socks' else 'http'}://{place.partition('://')[2] or place}"


def _with(found: dict[str, str], exceptions: list[str]) -> dict[str, str]:
    excepted = ",".join(one for one in exceptions if one)
    return {**found, SYSTEM_EXCEPTIONS: excepted} if found and excepted else found
