"""What happens to an attach that is no outcome: for whoever shows it to the user."""

from __future__ import annotations

from dataclasses import dataclass

from cmdop.client.leg import Leg
from cmdop.wire.session_messages import Notice, PeerJoined, PeerLeft


@dataclass(frozen=True)
class LinkLost:
    """The connection ended just now. A new one is being dialled, and most often there at once."""

    leg: Leg
    reason: str


@dataclass(frozen=True)
class LinkDown:
    """The link is down for so long that the user is to know. What says so may spoil the
    screen: it is drawn anew when the link is back. The session is kept for `left_seconds`."""

    leg: Leg
    left_seconds: float


@dataclass(frozen=True)
class GracePassed:
    """The link is still down after all the time that a session is kept without a client.

    It may live all the same: on a machine that has no relay the clock stands still.
    """

    leg: Leg
    kept_seconds: float


@dataclass(frozen=True)
class Resumed:
    """The link is back, after so long."""

    down_seconds: float


Event = LinkLost | LinkDown | GracePassed | Resumed | PeerJoined | PeerLeft | Notice
