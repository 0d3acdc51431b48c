"""A sealed stream to a machine, as the client receives from it; how it is opened is in test_link.py."""

from __future__ import annotations

import pytest

from cmdop.errors import RemoteProtocolError, TimedOut
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import AuthSuccess
from tests.client.far_end import FarEnd


def test_a_control_message_is_awaited_past_what_a_newer_machine_sends() -> None:
    far = FarEnd()
    far.ping()
    far.send(0x80 | 9, 0, b"from the future")
    far.say(AuthSuccess("token", 1.0))
    assert far.stream.receive_control("the machine") == AuthSuccess("token", 1.0)


def test_session_data_before_the_session_is_against_the_protocol() -> None:
    far = FarEnd()
    far.send(RecordKind.OUTPUT, 0, b"x")
    with pytest.raises(RemoteProtocolError, match="before the session"):
        far.stream.receive_control("the machine")


def test_a_machine_that_does_not_go_on_is_given_up() -> None:
    with pytest.raises(TimedOut, match="the machine prod did not answer"):
        FarEnd().stream.receive_control("the machine prod", 0.01)
