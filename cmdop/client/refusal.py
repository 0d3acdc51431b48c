"""What a machine refused, under the seal, as its user reads it."""

from __future__ import annotations

from cmdop.auth.keys import Role
from cmdop.errors import CmdopError, PasswordRefused, from_peer
from cmdop.wire.session_messages import Refused


def refusal(refused: Refused, host: str, session: str = "") -> CmdopError:
    """The error. The machine does not know what it is called here, and what it has against a
    role is always that it is no operator's."""
    if refused.code == PasswordRefused.code:
        return PasswordRefused(host=host)
    about = {"host": host, "session": session} if session else {"host": host}
    return from_peer(refused.code, refused.reason, needed=Role.OPERATOR.value, **about)
