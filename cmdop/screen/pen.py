"""Sequences that say how the text behind them is taken, besides its style."""

from __future__ import annotations

import re

from cmdop.screen.state import Link

_UNSAFE = re.compile(rb"[\0-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Would end a string, or begin something of its own."""
_NO_LINK = b"\x1b]8;;\x1b\\"

SEMANTIC = (b"\x1b]133;C\x1b\\", b"\x1b]133;B\x1b\\", b"\x1b]133;P\x1b\\")
"""OSC 133: output, input, prompt follows."""
CONTINUED_PROMPT = b"\x1b]133;P;k=s\x1b\\"
PROTECTION = (b'\x1b[1"q', b"\x1bV", b'\x1b[1"q')
"""DECSCA and ISO's SPA; by `Screen.protection`."""
UNPROTECTED = (b'\x1b[0"q', b"\x1bW", b'\x1b[0"q')


def safe(text: bytes) -> bytes:
    """A text to put into an OSC string: nothing in it ends that."""
    return _UNSAFE.sub(b"", text)


def link_to(link: Link | None) -> bytes:
    """OSC 8: the text that follows leads there, or nowhere."""
    if link is None:
        return _NO_LINK
    parameters = b"id=" + safe(link.identity) if link.identity else b""
    return b"\x1b]8;%s;%s\x1b\\" % (parameters, safe(link.uri))
