"""The window on paths of all kinds, in virtual time: busy, and yet quick to answer an interrupt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdop.limits import KIB, MIB, WINDOW_FLOOR_BYTES, WINDOW_MAX_BYTES, WINDOW_MIN_BYTES
from cmdop.session.credit import ReceiveWindow
from tests.session.path import Path

MBIT = 1_000_000 / 8
FAST_TERMINAL = 60e6


@pytest.mark.parametrize(
    ("rate", "round_trip", "least_busy", "longest"),
    [
        (1 * MBIT, 0.1, 0.95, 0.35),
        (1 * MBIT, 0.3, 0.7, 0.70),
        (2 * MBIT, 0.02, 0.95, 0.2),
        (10 * MBIT, 0.05, 0.98, 0.25),
        (100 * MBIT, 0.02, 0.98, 0.2),
        (400 * MBIT, 0.1, 0.98, 0.35),
        (400 * MBIT, 0.0005, 0.98, 0.02),
        (1000 * MBIT, 0.01, 0.45, 0.05),
    ],
)
def test_a_path_is_busy_and_an_interrupt_is_answered_soon(
    rate: float, round_trip: float, least_busy: float, longest: float
) -> None:
    path = Path(rate, round_trip, FAST_TERMINAL)
    path.produce()
    path.run(4)
    assert path.run(4) > least_busy * rate
    assert path.slowest(4) < longest


def test_a_flood_on_a_slow_path_of_which_nothing_was_known_is_answered_soon_after_two_seconds() -> None:
    path = Path(1 * MBIT, 0.1, FAST_TERMINAL)
    path.produce()
    path.run(2.2)
    assert path.slowest(2) < 0.1 + 0.3


def test_a_long_fast_path_is_busy_within_a_second() -> None:
    path = Path(320 * MBIT, 0.1, FAST_TERMINAL)
    path.produce()
    path.run(1)
    assert path.run(0.5) > 0.95 * 320 * MBIT


@pytest.mark.parametrize("round_trip", [0.0003, 0.1])
def test_a_slow_terminal_is_never_kept_waiting_and_needs_no_large_window(round_trip: float) -> None:
    path = Path(4000 * MBIT, round_trip, terminal_rate=1e6)
    path.produce()
    path.run(1)
    assert path.run(3) > 0.97e6
    assert path.window.window_bytes < 3 * WINDOW_MIN_BYTES


def test_a_large_window_shrinks_when_the_terminal_gets_slow() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce()
    path.run(3)
    assert path.window.window_bytes > 4 * MIB
    path.terminal_rate = 1e6
    path.run(15)
    assert path.run(3) > 0.97e6
    assert path.window.window_bytes < 4 * WINDOW_MIN_BYTES


def test_a_path_that_gets_slow_is_found_out_and_one_that_gets_fast_again_too() -> None:
    path = Path(40 * MBIT, 0.1, FAST_TERMINAL)
    path.produce()
    path.run(3)
    path.rate = 2 * MBIT
    path.run(10)
    assert path.slowest(3) < 0.1 + 0.3
    path.rate = 40 * MBIT
    path.run(2)
    assert path.run(2) > 0.9 * 40 * MBIT


def test_a_path_that_gets_longer_is_not_taken_for_a_slow_one_for_ever() -> None:
    path = Path(40 * MBIT, 0.02, FAST_TERMINAL)
    path.produce()
    path.run(3)
    path.delay_seconds = 0.15
    path.run(15)
    assert path.run(3) > 0.6 * 40 * MBIT


@pytest.mark.parametrize(("rate", "longest"), [(400 * MBIT, 0.4), (10 * MBIT, 0.4), (1 * MBIT, 0.4)])
def test_records_that_come_a_little_late_cost_little(rate: float, longest: float) -> None:
    path = Path(rate, 0.1, FAST_TERMINAL, jitter_seconds=0.02)
    path.produce()
    path.run(4)
    assert path.run(4) > 0.9 * rate
    assert path.slowest(3) < longest


def test_a_round_trip_that_was_measured_too_long_is_corrected_as_far_as_loops_are_shorter() -> None:
    path = Path(40 * MBIT, 0.05, FAST_TERMINAL, told_seconds=0.5)
    path.produce()
    path.run(4)
    assert path.slowest(3) < 0.35


def test_a_loop_in_which_the_program_was_idle_says_nothing() -> None:
    window = ReceiveWindow()
    window.received(100 * KIB, 1.0)
    limit = window.wrote(100 * KIB, 1.0, 0.1)
    assert limit == 100 * KIB + WINDOW_MIN_BYTES
    window.received(WINDOW_MIN_BYTES, 61.0)
    assert window.window_bytes == WINDOW_MIN_BYTES


def test_a_pause_before_the_first_burst_does_not_make_the_path_look_slow() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce(KIB)
    path.run(60)
    path.produce(128 * KIB)
    path.run(1)
    assert path.window.window_bytes == WINDOW_MIN_BYTES


def test_a_quiet_prompt_changes_nothing() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce(100 * MIB)
    path.run(10)
    before = path.window.window_bytes
    assert before > 4 * MIB
    for _ in range(3000):
        path.produce(3 * KIB)
        path.run(0.3)
    assert path.window.window_bytes == before


def test_each_burst_after_a_pause_comes_at_full_rate() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce(60 * MIB)
    path.run(10)
    for _ in range(3):
        before = path.shown
        path.produce(20 * MIB)
        path.run(0.9)
        assert path.shown - before == 20 * MIB
        path.run(5)


def test_a_program_that_is_slow_itself_does_not_shrink_a_window_that_was_measured() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce(100 * MIB)
    path.run(10)
    before = path.window.window_bytes
    for _ in range(1000):
        path.produce(20 * KIB)
        path.run(0.1)
    assert path.window.window_bytes == before


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(20e3, 100e6),
    round_trip=st.floats(0, 0.5),
    terminal_rate=st.floats(20e3, 100e6),
    jitter=st.floats(0, 0.2),
    told=st.floats(0, 1),
    bursts=st.lists(st.tuples(st.integers(0, 512 * KIB), st.floats(0, 3)), max_size=12),
)
def test_whatever_the_path_everything_arrives_and_no_more_than_the_largest_window_is_lent(
    rate: float,
    round_trip: float,
    terminal_rate: float,
    jitter: float,
    told: float,
    bursts: list[tuple[int, float]],
) -> None:
    path = Path(rate, round_trip, terminal_rate, jitter, told)
    for size, pause in bursts:
        path.produce(size)
        path.run(pause)
    path.run(sum(size for size, _ in bursts) * (1 / rate + 1 / terminal_rate) + 1000 * (round_trip + jitter + 0.01))
    assert path.at_rest
    assert path.shown == path.arrived == path.sent == sum(size for size, _ in bursts)
    assert path.credit.spendable(path.sent) > 0
    assert path.largest_bytes <= WINDOW_MAX_BYTES
    assert WINDOW_FLOOR_BYTES <= path.window.window_bytes <= WINDOW_MAX_BYTES


def test_another_path_begins_with_little_credit_and_gets_a_first_window_once_something_is_shown() -> None:
    path = Path(400 * MBIT, 0.1, FAST_TERMINAL)
    path.produce(60 * MIB)
    path.run(10)
    assert path.window.window_bytes > 4 * MIB
    assert path.window.resumed_at(60 * MIB) == WINDOW_FLOOR_BYTES
    assert path.window.limit == 60 * MIB + WINDOW_FLOOR_BYTES
    path.window.received(10, path.now)
    assert path.window.wrote(10, path.now, 0.1) == 60 * MIB + 10 + WINDOW_MIN_BYTES


def test_a_terminal_that_still_has_everything_to_show_gets_credit_once_it_has_shown_some() -> None:
    window = ReceiveWindow(0, 2 * MIB)
    window.received(2 * MIB, 1.0)
    assert window.resumed_at(2 * MIB) == 0
    grants = [window.wrote(64 * KIB, 2.0 + step, 0.1) for step in range(32)]
    assert any(grant is not None and grant > 2 * MIB for grant in grants)


def test_what_a_skip_has_given_is_not_granted_again() -> None:
    window = ReceiveWindow()
    window.received(100 * KIB, 1.0)
    assert window.skipped_to(MIB, MIB + WINDOW_MIN_BYTES) is None
    assert window.limit == MIB + WINDOW_MIN_BYTES
    assert window.skipped_to(2 * MIB, 2 * MIB + WINDOW_FLOOR_BYTES) == 2 * MIB + WINDOW_MIN_BYTES
