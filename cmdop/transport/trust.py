"""Whose certificates are believed. Asks for the platform, where the system's own are.

On macOS and Windows the system itself judges them (truststore), with what its
administrators have added; elsewhere OpenSSL does, with the files that it was built for.
"""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

from cmdop.errors import BadCaFile


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """For dialling a relay: trusts the authorities in a PEM file and no others, or the system's.

    Raises BadCaFile.
    """
    if ca_file is None:
        return _as_the_system()
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError as error:
        raise BadCaFile(path=ca_file, reason="there is no certificate (PEM) in it") from error
    except (OSError, ValueError) as error:
        raise BadCaFile(path=ca_file, reason=getattr(error, "strerror", None) or str(error)) from error
    return context


def trusting_anybody() -> ssl.SSLContext:
    """For looking at a certificate; nothing may be told over what comes of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _as_the_system() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):
        return judged_by_the_system()
    return ssl.create_default_context()


def judged_by_the_system() -> ssl.SSLContext:
    """The one of macOS and Windows."""
    import truststore  # for who needs it

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
