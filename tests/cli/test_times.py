"""Lengths of time as people type them, and moments as programs read them."""

from __future__ import annotations

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.cli.key_show import date
from cmdop.cli.times import duration, duration_text, rfc3339, to_the_second

ANY = duration(1, 30 * 86400)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5m", 90), (" 5m ", 300), ("1", 1)],
)
def test_a_length_of_time_is_typed_with_its_unit_or_in_seconds(text: str, seconds: float) -> None:
    assert ANY(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-5m", "5 m", "5M", "1h30m", "5min", "nan", "inf", "1e3", "٣m", ".5m", "5.m"]
)
def test_what_is_none_is_said_with_how_it_is_written(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no length of time: write 30s, 5m, 2h or 1d"):
        ANY(text)


@pytest.mark.parametrize("text", ["0", "0.5s", "31d", "9" * 400])
def test_what_is_too_short_or_too_long_is_said_with_the_limits(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not between 1s and 30d"):
        ANY(text)


def test_a_default_is_in_seconds() -> None:
    assert ANY(1800.0) == 1800.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (90, "90s"), (1800, "30m"), (7200, "2h"), (86400, "1d"), (0, "0s"), (5400, "90m"), (0.001, "0.001s")],
)
def test_a_length_of_time_is_shown_in_the_largest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(1, 30 * 86400))
def test_what_is_shown_can_be_typed(seconds: int) -> None:
    assert ANY(duration_text(seconds)) == seconds


@given(st.floats(0, 1e12))
def test_every_moment_that_a_peer_may_tell_is_one_in_utc(moment: float) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", rfc3339(moment))
    assert date(moment) == to_the_second(moment) == rfc3339(moment)[:19] + "Z"


def test_a_moment_is_that_of_the_calendar() -> None:
    assert rfc3339(1790000000.5) == "2026-09-21T14:13:20.500000Z"
