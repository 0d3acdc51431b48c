"""How failures are counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.limits import FAILURE_WAIT_MAX_SECONDS, FAILURES_FORGOTTEN_SECONDS, FREE_FAILURES_MAX
from cmdop.relay.throttle import Throttle, source_of


def test_the_wait_comes_after_some_failures_doubles_and_has_an_end() -> None:
    throttle = Throttle()
    waits = [throttle.failed("a", 0.0) for _ in range(FREE_FAILURES_MAX + 8)]
    assert waits == [0] * FREE_FAILURES_MAX + [1, 2, 4, 8, 16, 32, 60, 60]


def test_sources_are_counted_apart() -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.failed("a", 0.0)
    assert throttle.failed("b", 0.0) == 0


def test_a_source_that_stopped_is_forgotten() -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.failed("a", 0.0)
    assert throttle.failed("a", FAILURES_FORGOTTEN_SECONDS + 1) == 0


@given(st.lists(st.integers(0, 40)))
def test_the_table_never_outgrows_its_bound(sources: list[int]) -> None:
    throttle = Throttle(sources_max=5)
    for moment, source in enumerate(sources):
        assert 0 <= throttle.failed(str(source), float(moment)) <= FAILURE_WAIT_MAX_SECONDS
        assert len(throttle) <= 5


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::1]:4711", "2001:db8:1:2::/64"),
        ("fe80::1%eth0:4711", "fe80::/64"),
        ("::ffff:192.0.2.7:4711", "192.0.2.7"),
        ("somewhere:1", "somewhere"),
    ],
)
def test_the_source_of_a_connection(remote: str, source: str) -> None:
    assert source_of(remote) == source
