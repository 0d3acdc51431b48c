"""One unit of time: every timeout of the end-to-end tests is a multiple of it.

Nothing here waits for time to pass; these are how long to wait for something named
before a test fails. A slow machine may stretch them all at once.
"""

from __future__ import annotations

import os

UNIT_SECONDS = float(os.environ.get("CMDOP_TEST_UNIT_SECONDS", "1.0"))
STEP_SECONDS = 10 * UNIT_SECONDS
"""For one step that normally takes milliseconds."""
START_SECONDS = 20 * UNIT_SECONDS
"""For a process to start, on a machine with other things to do."""
GIVE_UP_SECONDS = 25 * UNIT_SECONDS
"""For a client to give up on a peer that is silent: its own timeouts are 9 and 10 s."""
BULK_SECONDS = 60 * UNIT_SECONDS
"""For megabytes, or a client that finds its way back."""
LONG = os.environ.get("CMDOP_TEST_LONG", "") == "1"
"""Whether the tests with a `usual` and a `long` number of rounds do the long one: minutes instead of seconds."""
LONG_SECONDS = 7200 * UNIT_SECONDS


def rounds(usual: int, long: int) -> int:
    """How often to do what chance decides about: as often as an acceptance wants with CMDOP_TEST_LONG=1."""
    return long if LONG else usual
