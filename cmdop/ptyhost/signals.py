"""Signals by name, as people write them."""

from __future__ import annotations

import signal

from cmdop.errors import UsageError


def signal_number(name: str | int) -> int:
    """The number of "INT", "SIGINT", "int", "2" or 2. Raises UsageError for no signal."""
    try:
        if isinstance(name, int) or name.isdecimal():
            return signal.Signals(int(name)).value
        return signal.Signals["SIG" + name.upper().removeprefix("SIG")].value
    except (ValueError, KeyError) as error:
        raise UsageError(reason=f'there is no signal "{name}"') from error
