"""Whose silence is noticed when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import HELLO_TIMEOUT_SECONDS, LINK_DEAD_SECONDS, PING_INTERVAL_SECONDS
from cmdop.relay.pulse import PONG_TIMEOUT_SECONDS, Pulse, Verdict


class Line:
    """A connection that was last heard when the test says so."""

    def __init__(self, heard: float = 0.0, *, greeted: bool = True) -> None:
        self.heard, self.greeted = heard, greeted


def test_a_silent_connection_is_pinged_and_then_dead() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    assert pulse.next_due == PING_INTERVAL_SECONDS
    assert pulse.due(PING_INTERVAL_SECONDS - 0.1) == []
    assert pulse.due(PING_INTERVAL_SECONDS) == [(line, Verdict.PING)]
    assert pulse.due(LINK_DEAD_SECONDS - 0.1) == []
    assert pulse.due(LINK_DEAD_SECONDS) == [(line, Verdict.DEAD)]
    assert pulse.due(1000.0) == []


def test_an_answered_ping_starts_anew() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    assert pulse.due(4.0) == [(line, Verdict.PING)]
    line.heard = 4.1
    assert pulse.due(9.0) == [(line, Verdict.PING)]
    line.heard = 13.9
    assert pulse.due(14.0) == []
    assert pulse.due(17.8) == []
    assert pulse.due(17.9) == [(line, Verdict.PING)]


def test_a_busy_connection_is_never_pinged() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    for tick in range(1, 400):
        line.heard = tick / 4
        assert pulse.due(tick / 4) == []


def test_who_does_not_say_hello_is_late_however_chatty() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line(greeted=False)
    pulse.add(line, 0.0)
    line.heard = HELLO_TIMEOUT_SECONDS
    assert pulse.due(HELLO_TIMEOUT_SECONDS) == [(line, Verdict.NO_HELLO)]
    assert pulse.due(1000.0) == []


def test_a_relay_that_was_asleep_asks_before_it_accuses() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    assert pulse.due(5000.0) == [(line, Verdict.PING)]
    line.heard = 5000.1
    assert pulse.due(5000.0 + PONG_TIMEOUT_SECONDS) == [(line, Verdict.PING)]


def test_who_is_watched_no_more_leaves_nothing_behind() -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    pulse.due(4.0)
    pulse.remove(line)
    pulse.remove(line)
    assert pulse.due(1000.0) == []
    assert pulse.next_due is None


@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=60))
def test_looking_at_every_due_moment_finds_a_dead_line_in_time_and_looks_seldom(gaps: list[float]) -> None:
    pulse: Pulse[Line] = Pulse()
    line = Line()
    pulse.add(line, 0.0)
    last = sum(gaps)
    arrivals = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    looks, verdict, now = 0, None, 0.0
    while verdict is not Verdict.DEAD:
        due = pulse.next_due
        assert due is not None
        now = due
        line.heard = max([0.0, *(moment for moment in arrivals if moment <= now)])
        for _, verdict in pulse.due(now):
            assert verdict is not Verdict.DEAD or now > last
        looks += 1
    assert last + PONG_TIMEOUT_SECONDS <= now <= last + PING_INTERVAL_SECONDS + LINK_DEAD_SECONDS
    assert looks <= now / min(PING_INTERVAL_SECONDS, PONG_TIMEOUT_SECONDS) * 3 + 3
