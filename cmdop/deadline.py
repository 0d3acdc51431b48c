"""One moment by which several steps have to be done."""

from __future__ import annotations

import time


class Deadline:
    """A moment in the future on the monotonic clock, shared by many steps.

    `seconds` is the length from now; None never passes.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float | None:
        """What is left, never negative; None for a deadline that never passes."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self._at is not None and time.monotonic() >= self._at
