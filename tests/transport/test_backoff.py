"""Waiting times: none at first, longer each time, never too long, never in step."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS
from cmdop.transport.backoff import Backoff


@given(seed=st.integers(), tries=st.integers(2, 200))
def test_waits_start_at_once_and_grow_to_the_limit_and_no_further(seed: int, tries: int) -> None:
    backoff = Backoff(random.Random(seed))
    waits = [backoff.next_seconds() for _ in range(tries)]
    assert waits[0] == 0.0
    for number, wait in enumerate(waits[1:], start=1):
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2**number)
        assert ceiling / 2 <= wait <= ceiling


def test_after_a_success_the_next_try_is_at_once() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(5):
        backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() == 0.0
    assert backoff.next_seconds() <= 2 * BACKOFF_FIRST_SECONDS


def test_two_that_lost_the_same_relay_do_not_come_back_together() -> None:
    ones, others = (Backoff(random.Random(seed)) for seed in (1, 2))
    waits = [(ones.next_seconds(), others.next_seconds()) for _ in range(8)]
    assert all(one != other for one, other in waits[1:])
