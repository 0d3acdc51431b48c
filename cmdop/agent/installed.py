"""What this machine knows of terminals and languages."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_TERMINFO_FOLDERS = (
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/lib/terminfo",
    "/usr/share/terminfo",
    "/usr/local/share/terminfo",
    "/opt/homebrew/share/terminfo",
    "/usr/share/lib/terminfo",
)
"""Where ncurses looks, over the distributions (terminfo(5), Fetching Compiled Descriptions)."""
_LC_ALL_MASK = 0x3F
"""The categories of POSIX, one bit each, in glibc, musl and on macOS."""


def has_terminfo(term: str, home: str) -> bool:
    """Whether programs will find that terminal; also where there is nothing to look into.

    `term` is a checked name: it becomes part of a path.
    """
    folders = [folder for folder in (os.path.join(home, ".terminfo"), *_TERMINFO_FOLDERS) if os.path.isdir(folder)]
    # Under its first character, or where the file system has one case only, under its number.
    groups = (term[0], f"{ord(term[0]):x}")
    return not folders or any(os.path.exists(os.path.join(f, group, term)) for f in folders for group in groups)


def has_locale(name: str) -> bool:
    """Whether the C library can make that locale (newlocale(3)); POSIX only.

    Unlike setlocale it changes nothing, so any thread may ask.
    """
    libc = _libc()
    made = libc.newlocale(_LC_ALL_MASK, name.encode(), None)
    if made:
        libc.freelocale(ctypes.c_void_p(made))
    return bool(made)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.newlocale.restype = ctypes.c_void_p
    libc.newlocale.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    libc.freelocale.restype = None
    return libc
