"""Times as people type them and as programs read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click

_LAST_SECOND: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
_UNIT_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")


def rfc3339(unix_seconds: float) -> str:
    """A time for programs, in UTC: `2026-01-02T03:04:05.678Z`. A peer may say any."""
    return _moment(unix_seconds).isoformat().replace("+00:00", "Z")


def to_the_second(unix_seconds: float) -> str:
    """The same without fractions, for people too."""
    return _moment(unix_seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(min(unix_seconds, _LAST_SECOND), UTC)


def duration_text(seconds: float) -> str:
    """A length of time in the largest unit that divides it: `90s`, `30m`, `2h`, `1d`."""
    whole = round(seconds)
    if 0 < seconds < 1:
        return f"{seconds:g}s"
    unit = next((unit for unit in "dhm" if whole and whole % _UNIT_SECONDS[unit] == 0), "s")
    return f"{whole // _UNIT_SECONDS[unit]}{unit}"


def duration(least_seconds: float, most_seconds: float) -> Callable[[Any], float]:
    """The type of an option whose value is `30`, `30s`, `5m`, `2h` or `1d`; it arrives in seconds."""

    def seconds_of(value: Any) -> float:
        """Raises click.BadParameter, which says how it is written or what the limits are."""
        if isinstance(value, int | float):  # a default
            return float(value)
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            raise click.BadParameter(f"{value!r} is no length of time: write 30s, 5m, 2h or 1d")
        seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
        if not least_seconds <= seconds <= most_seconds:
            least, most = duration_text(least_seconds), duration_text(most_seconds)
            raise click.BadParameter(f"{value!r} is not between {least} and {most}")
        return seconds

    return seconds_of
