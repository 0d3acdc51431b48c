"""What a certificate that is not trusted has to say for itself: who has issued it.

Somebody in between who opens TLS shows a certificate of his own making; whose it is tells
the user whether that is his company's proxy, a relay of his own, or an attack.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Final

from cmdop.deadline import Deadline
from cmdop.errors import CmdopError, RelayUntrusted
from cmdop.transport.address import ServerAddress
from cmdop.transport.reaching import connect
from cmdop.transport.tls import Tls
from cmdop.transport.trust import trusting_anybody
from cmdop.transport.way import Way

_ISSUER_UNKNOWN: Final = (2, 18, 19, 20, 21)
"""X509_V_ERR_*: an issuer's certificate is missing, or is there and is not among those trusted."""


def untrusted(
    server: ServerAddress, way: Way, error: ssl.SSLCertVerificationError, deadline: Deadline
) -> RelayUntrusted:
    """The error for a certificate that was refused.

    Who issued it takes one more handshake, in what is left of the time.
    """
    issuer = _issuer(server, way, deadline)
    message = getattr(error, "verify_message", "") or str(error)
    if not issuer:
        reason = f"its certificate is not trusted ({message})"
    elif getattr(error, "verify_code", None) in _ISSUER_UNKNOWN:
        by = "here" if way.trusted is None else f"by {way.trusted}"
        reason = f"its certificate was issued by {issuer}, which is not trusted {by}"
    else:
        reason = f"its certificate is not trusted ({message}); it was issued by {issuer}"
    return RelayUntrusted(server=server.url, reason=reason, issuer=issuer)


def _issuer(server: ServerAddress, way: Way, deadline: Deadline) -> str:
    """As far as it can be learnt, else empty. Nothing but the handshake is said there."""
    from cmdop.transport.certificate import issuer_of  # a tenth of a second, for who needs it

    with contextlib.suppress(OSError, ValueError, CmdopError), connect(server, way, deadline) as sock:
        tls = Tls(sock, trusting_anybody(), server.host)
        tls.handshake(deadline)
        return issuer_of(tls.certificate)
    return ""
