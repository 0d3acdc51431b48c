"""The client's half of the output: nothing twice, nothing left out, nothing beyond the credit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cmdop.errors import RemoteProtocolError
from cmdop.limits import (
    DATA_MAX_BYTES,
    KIB,
    REPLAY_TAKEN_MAX_BYTES,
    WINDOW_FLOOR_BYTES,
    WINDOW_MAX_BYTES,
    WINDOW_MIN_BYTES,
)
from cmdop.session.received import Received

START = 1000


@pytest.fixture
def received() -> Received:
    return Received(START)


def test_output_goes_on_behind_what_came(received: Received) -> None:
    received.output(START, 5, 0.0)
    assert received.next_offset == START + 5
    assert received.credit_bytes == WINDOW_MIN_BYTES - 5


@pytest.mark.parametrize("offset", [0, START + 4, START + 6, 2**62])
def test_a_gap_and_an_overlap_are_refused_and_change_nothing(received: Received, offset: int) -> None:
    received.output(START, 5, 0.0)
    with pytest.raises(RemoteProtocolError, match=f"{START + 5} was next"):
        received.output(offset, 1, 0.0)
    assert received.next_offset == START + 5


def test_more_than_was_granted_is_refused_and_changes_nothing(received: Received) -> None:
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    with pytest.raises(RemoteProtocolError, match="credit"):
        received.output(START + WINDOW_MIN_BYTES, 1, 0.0)
    assert received.credit_bytes == 0


def test_a_replay_counts_for_nothing(received: Received) -> None:
    received.replay(START, 100_000)
    assert (received.next_offset, received.credit_bytes) == (START, WINDOW_MIN_BYTES)


@pytest.mark.parametrize("offset", [START - 1, START + 1])
def test_a_replay_that_output_does_not_go_on_behind_is_refused(received: Received, offset: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{START} was next"):
        received.replay(offset, 1)


def test_a_replay_has_an_end_and_output_or_a_flush_begin_another_one(received: Received) -> None:
    for begin in (lambda: received.output(START, 1, 0.0), lambda: received.flush(START + 1)):
        for _ in range(REPLAY_TAKEN_MAX_BYTES // (64 * KIB)):
            received.replay(received.next_offset, 64 * KIB)
        with pytest.raises(RemoteProtocolError, match="without end"):
            received.replay(received.next_offset, 1)
        begin()


def test_a_replay_is_whole_once_output_follows(received: Received) -> None:
    received.replay(START, 10)
    received.output(START, 1, 0.0)
    assert not received.wants_redraw(spoilt=False)


@pytest.mark.parametrize("last", [0, 10, DATA_MAX_BYTES - 1])
def test_a_replay_is_whole_with_the_record_that_is_not_full(received: Received, last: int) -> None:
    received.replay(START, DATA_MAX_BYTES)
    assert received.wants_redraw(spoilt=False)
    received.flush(START)
    received.replay(START, DATA_MAX_BYTES)
    received.replay(START, last)
    assert not received.wants_redraw(spoilt=False)


@pytest.mark.parametrize("begun", [0, 1])
def test_a_redraw_that_was_asked_for_stays_wanted_until_a_flush(received: Received, begun: int) -> None:
    for _ in range(begun):
        received.replay(START, DATA_MAX_BYTES)
    assert received.wants_redraw(spoilt=False)
    received.lost()
    received.resumed(START, 10)
    received.output(START, 1, 0.0)
    assert received.wants_redraw(spoilt=False)
    received.flush(START + 1)
    received.output(START + 1, 1, 0.0)
    assert not received.wants_redraw(spoilt=False)


def test_a_session_that_was_opened_for_this_client_has_nothing_to_draw() -> None:
    received = Received(START, created=True)
    assert not received.wants_redraw(spoilt=False)
    assert not received.history_missing


def test_the_scrollback_is_missing_only_where_more_of_the_first_replay_was_to_come(received: Received) -> None:
    assert received.history_missing
    received.replay(START, DATA_MAX_BYTES)
    assert received.history_missing
    received.replay(START, 10)
    assert not received.history_missing
    received.output(START, 1, 0.0)
    received.flush(START + 1)
    assert not received.history_missing


def test_a_flush_stands_for_a_small_credit_and_the_rest_is_granted(received: Received) -> None:
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    there = START + 10 * WINDOW_MIN_BYTES
    assert received.flush(there) == there + WINDOW_MIN_BYTES
    assert received.next_offset == there
    assert received.credit_bytes == WINDOW_MIN_BYTES


def test_a_flush_grants_what_a_small_credit_of_the_registering_does_not_stand_for(received: Received) -> None:
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    received.lost()
    assert received.credit_bytes == 0  # all of it waits for the terminal
    received.resumed(START + WINDOW_MIN_BYTES, 0)
    there = START + 10 * WINDOW_MIN_BYTES
    assert received.flush(there) == there + WINDOW_MIN_BYTES
    assert received.credit_bytes == WINDOW_MIN_BYTES


def test_a_flush_leaves_out_nothing_where_it_is_the_redraw_that_was_asked_for() -> None:
    received = Received(START, created=True)
    received.output(START, 5, 0.0)
    assert not received.leaves_out_nothing(START + 5)
    received.wants_redraw(spoilt=True)
    assert received.leaves_out_nothing(START + 5)
    assert not received.leaves_out_nothing(START + 6)
    received.flush(START + 5)
    assert not received.leaves_out_nothing(START + 5)


def test_a_redraw_that_brings_the_scrollback_as_well_stands_for_all_that_came(received: Received) -> None:
    received.replay(START, DATA_MAX_BYTES)
    assert received.wants_redraw(spoilt=False)
    assert not received.leaves_out_nothing(START)


def test_what_is_still_to_be_shown_in_front_of_a_redraw_is_granted_anew_once_it_is() -> None:
    received = Received(START, created=True)
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    received.wants_redraw(spoilt=True)
    there = START + WINDOW_MIN_BYTES
    assert received.flush(there) is None
    assert received.credit_bytes == WINDOW_FLOOR_BYTES
    assert received.shown(WINDOW_MIN_BYTES, 1.0, 0.0) == there + WINDOW_MIN_BYTES


def test_a_flush_to_the_next_place_is_only_a_redraw_and_one_to_an_earlier_place_is_refused(received: Received) -> None:
    received.output(START, 5, 0.0)
    assert received.flush(START + 5) is None
    with pytest.raises(RemoteProtocolError, match="5 was next"):
        received.flush(START + 4)


def test_what_is_granted_without_a_connection_is_told_to_the_next_one(received: Received) -> None:
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    credit = received.credit_bytes
    limit = received.shown(WINDOW_MIN_BYTES, 1.0, 0.001)
    assert limit is not None
    assert received.resumed(START + WINDOW_MIN_BYTES, credit) == limit


def test_what_was_granted_before_the_registering_is_not_told_again(received: Received) -> None:
    received.output(START, WINDOW_MIN_BYTES, 0.0)
    received.shown(WINDOW_MIN_BYTES, 1.0, 0.001)
    assert received.resumed(START + WINDOW_MIN_BYTES, received.credit_bytes) is None


def test_a_resume_further_on_loses_nothing_before_its_flush(received: Received) -> None:
    received.output(START, 5, 0.0)
    assert received.resumed(START + 1_000_000, received.credit_bytes) is None
    assert received.next_offset == START + 5
    with pytest.raises(RemoteProtocolError, match="was next"):
        received.output(START + 1_000_000, 1, 0.0)


def test_a_resume_at_what_was_shown_is_refused(received: Received) -> None:
    received.output(START, 5, 0.0)
    with pytest.raises(RemoteProtocolError, match="5 was next"):
        received.resumed(START + 4, 100)


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0.0001, 1.0)), max_size=40))
def test_grants_only_grow_and_never_pass_the_largest_window(shown: list[tuple[int, float]]) -> None:
    received, now, written, limit = Received(0), 0.0, 0, WINDOW_MIN_BYTES
    for wanted, seconds in shown:
        size = min(wanted, received.credit_bytes)
        received.output(received.next_offset, size, now)
        now += seconds
        written += size
        granted = received.shown(size, now, 0.05)
        if granted is not None:
            assert limit < granted <= written + WINDOW_MAX_BYTES
            limit = granted


class Session(RuleBasedStateMachine):
    """A true agent and a lossy network: whatever is cut, no byte is shown twice, none is left
    out but by a flush, and the machine is never held back for good."""

    def __init__(self) -> None:
        super().__init__()
        self.received = Received(0)
        self.sent = 0
        """As far as the agent sent on this connection; the client took all of it or the end cut it off."""
        self.limit = WINDOW_MIN_BYTES
        """The agent's idea of the credit."""
        self.registered = WINDOW_MIN_BYTES
        self.unshown = 0
        self.now = 0.0
        self.connected = True
        self.asked: int | None = None

    def grant(self, limit: int | None) -> None:
        if limit is not None and self.connected:
            assert limit > self.limit
            self.limit = limit

    @precondition(lambda self: self.connected and self.sent < self.limit)
    @rule(size=st.integers(1, 60_000))
    def print_something(self, size: int) -> None:
        size = min(size, self.limit - self.sent)
        self.received.output(self.sent, size, self.now)
        self.sent += size
        self.unshown += size

    @precondition(lambda self: self.unshown > 0)
    @rule(size=st.integers(1, 200_000), seconds=st.floats(0.001, 0.5))
    def show(self, size: int, seconds: float) -> None:
        size = min(size, self.unshown)
        self.unshown -= size
        self.now += seconds
        self.grant(self.received.shown(size, self.now, 0.02))

    @precondition(lambda self: self.connected)
    @rule(skipped=st.integers(0, 2_000_000))
    def flush(self, skipped: int) -> None:
        self.sent += skipped
        self.limit = max(self.limit, self.sent + min(self.registered, WINDOW_FLOOR_BYTES))
        self.unshown = 0
        self.grant(self.received.flush(self.sent))
        self.received.replay(self.sent, 5000)

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self) -> None:
        self.connected, self.asked = False, None
        self.received.lost()

    @precondition(lambda self: not self.connected and self.asked is None)
    @rule()
    def register(self) -> None:
        self.asked = self.received.credit_bytes

    @precondition(lambda self: self.asked is not None)
    @rule(skipped=st.sampled_from([0, 0, 0, 3_000_000]))
    def resume(self, skipped: int) -> None:
        assert self.asked is not None
        assert self.received.next_offset == self.sent
        self.sent += skipped
        given = min(self.asked, WINDOW_FLOOR_BYTES) if skipped else self.asked
        self.registered, self.limit, self.asked = self.asked, self.sent + given, None
        self.connected = True
        self.grant(self.received.resumed(self.sent, self.registered))
        if skipped:
            self.flush(0)

    @invariant()
    def the_client_believes_no_less_than_the_agent(self) -> None:
        assert not self.connected or self.limit <= self.received.next_offset + self.received.credit_bytes

    @invariant()
    def with_everything_shown_the_machine_may_go_on(self) -> None:
        assert not self.connected or self.unshown or self.limit > self.sent

    @invariant()
    def no_more_than_the_largest_window_is_under_way(self) -> None:
        assert not self.connected or self.limit - self.sent <= WINDOW_MAX_BYTES


TestSession = Session.TestCase
TestSession.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_spoilt_screen_stays_so_over_connections_until_a_flush() -> None:
    received = Received(0, created=True)
    assert received.wants_redraw(spoilt=True)
    received.lost()
    received.resumed(0, 10)
    received.output(0, 5, 0.0)
    assert received.wants_redraw(spoilt=False)
    received.flush(5)
    received.output(5, 1, 0.0)
    assert not received.wants_redraw(spoilt=False)


def test_credit_that_was_granted_while_there_was_no_connection_is_told_wherever_output_goes_on() -> None:
    received = Received(0, created=True)
    received.output(0, WINDOW_MIN_BYTES, 0.0)
    received.lost()
    given = received.credit_bytes
    received.shown(WINDOW_MIN_BYTES, 1.0, 0.0)
    limit = received.resumed(WINDOW_MIN_BYTES + 10, given)
    assert limit is not None
    assert limit > WINDOW_MIN_BYTES + 10 + given
