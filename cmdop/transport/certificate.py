"""Who issued a certificate and until when it holds, for a sentence. It is not verified here."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

_SHOWN_MAX_CHARS: Final = 120
"""A name may be as long as whoever made the certificate liked."""


def issuer_of(der: bytes) -> str:
    """Who issued an X.509 certificate (RFC 5280 §4.1.2.4): common name and organisation, or all of the name.

    `"Corp Proxy CA" (Example Corp)`, or `itself, "localhost"`.

    A peer's own words: control characters may be in them. Raises ValueError for what is none.
    """
    certificate = _parsed(der)
    issuer = certificate.issuer
    shown = _first(issuer, NameOID.COMMON_NAME) or issuer.rfc4514_string() or "nobody"
    organisation = _first(issuer, NameOID.ORGANIZATION_NAME)
    shown = f'"{shown[:_SHOWN_MAX_CHARS]}"'
    if organisation and organisation != _first(issuer, NameOID.COMMON_NAME):
        shown = f"{shown} ({organisation[:_SHOWN_MAX_CHARS]})"
    return f"itself, {shown}" if issuer == certificate.subject else shown


def expires_of(der: bytes) -> float:
    """Until when it holds, Unix time in seconds. Raises ValueError for what is no certificate."""
    return _parsed(der).not_valid_after_utc.timestamp()


def _parsed(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def _first(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    value = found[0].value if found else ""
    return value if isinstance(value, str) else ""
