"""The grace clock, by a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import GRACE_SECONDS
from cmdop.session.lifecycle import GraceClock


def test_a_session_that_nobody_ever_joined_is_due_after_the_grace() -> None:
    clock = GraceClock(100.0)
    assert clock.due_in_seconds(100.0) == GRACE_SECONDS
    assert clock.due_in_seconds(110.0) == GRACE_SECONDS - 10
    assert clock.due_in_seconds(100.0 + GRACE_SECONDS) == 0.0
    assert clock.due_in_seconds(1000.0) == 0.0


def test_nothing_is_counted_while_somebody_watches() -> None:
    clock = GraceClock(0.0)
    clock.clients_are(2, 1.0)
    clock.clients_are(1, 2.0)
    assert clock.due_in_seconds(1000.0) is None


def test_somebody_within_the_grace_starts_it_anew() -> None:
    clock = GraceClock(0.0)
    clock.clients_are(1, 29.0)
    clock.clients_are(0, 30.0)
    assert clock.due_in_seconds(30.0) == GRACE_SECONDS


def test_the_clock_stands_still_while_the_agent_has_no_relay() -> None:
    clock = GraceClock(0.0)
    clock.relay_is(False, 10.0)
    assert clock.due_in_seconds(5000.0) is None
    assert clock.left_seconds(5000.0) == GRACE_SECONDS - 10
    clock.relay_is(True, 5000.0)
    assert clock.due_in_seconds(5001.0) == GRACE_SECONDS - 11


def test_a_client_that_goes_while_there_is_no_relay_starts_no_clock() -> None:
    clock = GraceClock(0.0)
    clock.clients_are(1, 0.0)
    clock.relay_is(False, 5.0)
    clock.clients_are(0, 6.0)
    assert clock.due_in_seconds(100.0) is None
    clock.relay_is(True, 100.0)
    assert clock.due_in_seconds(100.0) == GRACE_SECONDS


events = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["join", "leave", "up", "down"])), max_size=40)


@given(events=events, wait=st.integers(0, 40))
def test_the_clock_counts_exactly_the_seconds_alone_and_connected(events: list[tuple[int, str]], wait: int) -> None:
    clock, now, clients, up, alone = GraceClock(0.0), 0, 0, True, 0
    for pause, event in [*events, (wait, "")]:
        now += pause
        if clients == 0 and up:
            alone += pause
        clients += {"join": 1, "leave": -min(clients, 1)}.get(event, 0)
        alone = 0 if clients else alone
        up = {"up": True, "down": False}.get(event, up)
        if event in ("join", "leave"):
            clock.clients_are(clients, float(now))
        elif event:
            clock.relay_is(up, float(now))
    left = max(0.0, GRACE_SECONDS - alone)
    assert clock.left_seconds(float(now)) == left
    assert clock.due_in_seconds(float(now)) == (left if clients == 0 and up else None)
