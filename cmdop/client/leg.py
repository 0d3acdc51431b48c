"""The two halves of the way to a machine, and what it means that one was closed. No I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cmdop.auth.keys import Role
from cmdop.errors import (
    CmdopError,
    EnrollmentRefused,
    KeyRefused,
    MachineOffline,
    NoSuchMachine,
    NotEnrolled,
    RemoteProtocolError,
    RoleTooLow,
    SealRefused,
    SessionRefused,
    StoreUnusable,
    TimedOut,
    TooManyConnections,
    VersionMismatch,
    from_peer,
)
from cmdop.wire.frame import CONNECTION_STREAM
from cmdop.wire.relay_messages import Closed

_UNSEALED: Final = frozenset(
    kind.code
    for kind in (
        EnrollmentRefused,
        MachineOffline,
        NoSuchMachine,
        NotEnrolled,
        RemoteProtocolError,
        RoleTooLow,
        SealRefused,
        SessionRefused,
        StoreUnusable,
        TimedOut,
        TooManyConnections,
        VersionMismatch,
    )
)
"""Errors that a `Closed` can mean. Others are a machine's to tell, or our own, with a way out that fits them."""


class Leg(StrEnum):
    """The two halves of the way to a machine, as the user reads them."""

    YOU_RELAY = "you↔relay"
    RELAY_MACHINE = "relay↔machine"


def leg_of(error: CmdopError) -> Leg:
    """Which leg is down, as far as what went wrong tells."""
    if isinstance(error, MachineOffline):
        return Leg.RELAY_MACHINE
    return Leg(error.details.get("leg", Leg.YOU_RELAY))


def closed_error(message: Closed, host: str, stream: int) -> CmdopError:
    """What a Closed means to the user; on stream 0 it is our own connection that ends."""
    if message.code == MachineOffline.code:
        return MachineOffline(name=host, last_heard=message.reason)
    if message.code == KeyRefused.code:
        return from_peer(message.code, f"the relay refused this key: {message.reason}")
    # Nothing of it is sealed: of a session's end, of passwords and of machines' keys it proves nothing.
    code = message.code if message.code in _UNSEALED else ""
    leg = Leg.YOU_RELAY if stream == CONNECTION_STREAM else Leg.RELAY_MACHINE
    said = message.reason or ("" if code else message.code or "the other end closed it")
    return from_peer(code, said, needed=Role.OPERATOR.value, host=host, leg=leg)
