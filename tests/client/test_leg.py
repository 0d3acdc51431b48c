"""What it means that a way was closed, and which half of it is down."""

from __future__ import annotations

import pytest

from cmdop.client.leg import Leg, closed_error, leg_of
from cmdop.errors import CmdopError, ConnectionClosed, MachineOffline, RelayUnreachable, RoleTooLow, TimedOut
from cmdop.wire.relay_messages import Closed


@pytest.mark.parametrize(
    ("closed", "kind", "sentence"),
    [
        (Closed(), ConnectionClosed, "the connection was closed: the other end closed it"),
        (Closed("", "it left"), ConnectionClosed, "the connection was closed: it left"),
        (Closed("connection-closed", "silence"), ConnectionClosed, "the connection was closed: silence"),
        (Closed("a-newer-code", "words"), ConnectionClosed, "the connection was closed: words"),
        (Closed("a-newer-code"), ConnectionClosed, "the connection was closed: a-newer-code"),
        (Closed("machine-offline", "never heard"), MachineOffline, 'machine "prod" is offline'),
        (Closed("role-too-low", "an observer only sees"), RoleTooLow, "an observer only sees"),
        (Closed("timed-out"), TimedOut, "? did not answer within ? s"),
        (Closed("machine-changed", "all is well"), ConnectionClosed, "the connection was closed: all is well"),
        (Closed("session-gone", "it ended"), ConnectionClosed, "the connection was closed: it ended"),
        (Closed("wrong-password"), ConnectionClosed, "the connection was closed: wrong-password"),
    ],
)
def test_the_end_of_a_stream_means_something_to_the_user(closed: Closed, kind: type[CmdopError], sentence: str) -> None:
    error = closed_error(closed, "prod", 1)
    assert type(error) is kind
    assert error.sentence == sentence
    assert "{" not in error.next_step


@pytest.mark.parametrize(
    ("error", "leg"),
    [
        (closed_error(Closed("connection-closed", "silence"), "prod", 1), Leg.RELAY_MACHINE),
        (closed_error(Closed("machine-offline", "never heard"), "prod", 1), Leg.RELAY_MACHINE),
        (closed_error(Closed("relay-stopping", "an upgrade"), "prod", 0), Leg.YOU_RELAY),
        (ConnectionClosed(reason="reset"), Leg.YOU_RELAY),
        (RelayUnreachable(server="x", reason="refused"), Leg.YOU_RELAY),
        (TimedOut(what="the relay", seconds=9), Leg.YOU_RELAY),
    ],
)
def test_what_went_wrong_tells_which_leg_is_down(error: CmdopError, leg: Leg) -> None:
    assert leg_of(error) == leg
