"""What the user is told of a link that is down, and when."""

from __future__ import annotations

import pytest

from cmdop.client.events import GracePassed, LinkDown
from cmdop.client.leg import Leg
from cmdop.client.outage import Outage, Wakefulness
from cmdop.limits import IDLE_MAX_SECONDS, LINK_DEAD_SECONDS, LINK_TELL_SECONDS, LINK_TELL_SILENT_SECONDS

NOW = 1000.0


def test_it_is_told_after_a_while_and_once_with_what_is_left_of_the_grace() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 30.0)
    assert outage.due_in_seconds(NOW) == LINK_TELL_SECONDS
    assert outage.due(NOW + 1.9) is None
    assert not outage.told
    assert outage.due(NOW + 2.0) == LinkDown(Leg.YOU_RELAY, 28.0)
    assert outage.told
    assert outage.due(NOW + 2.1) is None


def test_a_link_that_was_silent_before_is_told_of_sooner() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 30.0, silent=True)
    assert outage.due_in_seconds(NOW) == LINK_TELL_SILENT_SECONDS
    assert LINK_DEAD_SECONDS + LINK_TELL_SILENT_SECONDS <= 10


def test_the_leg_is_the_one_that_was_tried_last() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 30.0)
    outage.leg = Leg.RELAY_MACHINE
    assert outage.due(NOW + 3.0) == LinkDown(Leg.RELAY_MACHINE, 27.0)


def test_past_the_grace_it_is_told_once_more_and_then_nothing() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 30.0)
    outage.due(NOW + 2.0)
    assert outage.due_in_seconds(NOW + 2.0) == 28.0
    assert outage.due(NOW + 29.9) is None
    assert outage.due(NOW + 30.0) == GracePassed(Leg.YOU_RELAY, 30.0)
    assert outage.due(NOW + 31.0) is None
    assert outage.due_in_seconds(NOW + 31.0) is None


def test_a_session_that_is_hardly_kept_is_told_of_in_the_same_order() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 0.0)
    assert outage.due(NOW + 5.0) == LinkDown(Leg.YOU_RELAY, 0.0)
    assert outage.due_in_seconds(NOW + 5.0) == 0.0
    assert outage.due(NOW + 5.0) == GracePassed(Leg.YOU_RELAY, 0.0)


def test_no_machine_makes_us_wait_longer_than_a_clock_can() -> None:
    outage = Outage(NOW, Leg.YOU_RELAY, 1e12)
    outage.due(NOW + 2.0)
    due = outage.due_in_seconds(NOW + 2.0)
    assert due is not None
    assert due <= IDLE_MAX_SECONDS


@pytest.mark.parametrize(
    ("seconds", "wall_seconds", "slept"),
    [(2.0, 2.0, False), (2.0, 2.5, False), (2.0, 3600.0, True), (3600.0, 3600.0, False), (2.0, -3600.0, False)],
    ids=["no", "a clock that is corrected", "yes", "a long time awake", "a clock that is set back"],
)
def test_who_slept_has_another_time_on_the_wall(seconds: float, wall_seconds: float, slept: bool) -> None:
    wakefulness = Wakefulness(NOW, 1e9)
    assert wakefulness.slept(NOW + seconds, 1e9 + wall_seconds) == slept
    assert not wakefulness.slept(NOW + seconds + 2.0, 1e9 + wall_seconds + 2.0)
