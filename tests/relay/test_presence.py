"""When a machine is online, and what is known of it after."""

from __future__ import annotations

import pytest

from cmdop.limits import OFFLINE_AFTER_SECONDS
from cmdop.relay.presence import Presence, Seen
from cmdop.wire.relay_messages import SessionSummary

SESSION = SessionSummary("0123456789abcdef", "anna", 1)


@pytest.fixture
def presence() -> Presence:
    presence = Presence()
    presence.hello("m", 100.0)
    return presence


def test_a_machine_that_said_hello_is_online_until_it_was_silent_too_long(presence: Presence) -> None:
    assert list(presence.online(100.0 + OFFLINE_AFTER_SECONDS - 0.1)) == ["m"]
    assert presence.online(100.0 + OFFLINE_AFTER_SECONDS) == {}


def test_a_heartbeat_keeps_it_online_and_tells_its_session(presence: Presence) -> None:
    presence.heartbeat("m", 140.0, SESSION)
    assert presence.online(180.0) == {"m": Seen(140.0, connected=True, session=SESSION)}
    presence.heartbeat("m", 150.0, None)
    assert presence.seen("m") == Seen(150.0, connected=True)


def test_a_goodbye_is_offline_at_once_and_clean_whatever_follows(presence: Presence) -> None:
    presence.goodbye("m", 110.0)
    presence.heartbeat("m", 111.0, SESSION)
    presence.broke_off("m", 111.0)
    assert presence.seen("m") == Seen(110.0, connected=False, stopped_cleanly=True)
    assert presence.online(111.0) == {}


def test_a_connection_that_breaks_is_offline_at_once_and_not_clean(presence: Presence) -> None:
    presence.broke_off("m", 112.5)
    assert presence.seen("m") == Seen(112.5, connected=False)
    assert presence.online(112.5) == {}


def test_a_new_hello_forgets_the_goodbye(presence: Presence) -> None:
    presence.goodbye("m", 110.0)
    presence.hello("m", 120.0)
    assert presence.seen("m") == Seen(120.0, connected=True)


def test_a_removed_machine_was_never_there(presence: Presence) -> None:
    presence.forget("m")
    presence.forget("m")
    presence.heartbeat("m", 111.0, None)
    presence.broke_off("m", 111.0)
    assert presence.seen("m") is None
