"""One moment for many steps."""

from __future__ import annotations

import pytest

from cmdop import deadline as deadline_module
from cmdop.deadline import Deadline


class Clock:
    """A clock that the test turns, in the place of the module `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline_module, "time", clock)
    return clock


def test_what_is_left_gets_less_and_never_negative(clock: Clock) -> None:
    deadline = Deadline(3.0)
    assert (deadline.remaining_seconds, deadline.passed) == (3.0, False)
    clock.now += 2.5
    assert (deadline.remaining_seconds, deadline.passed) == (0.5, False)
    clock.now += 0.5
    assert (deadline.remaining_seconds, deadline.passed) == (0.0, True)
    clock.now += 100
    assert (deadline.remaining_seconds, deadline.passed) == (0.0, True)


def test_no_length_never_passes(clock: Clock) -> None:
    deadline = Deadline(None)
    clock.now += 1e9
    assert (deadline.remaining_seconds, deadline.passed) == (None, False)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_at_all_has_passed_at_once(clock: Clock, seconds: float) -> None:
    deadline = Deadline(seconds)
    assert (deadline.remaining_seconds, deadline.passed) == (0.0, True)
