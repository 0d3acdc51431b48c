"""How often somebody may ask. Told the time in seconds; no clock, no lock."""

from __future__ import annotations

import math


class Pace:
    """Counts questions in windows of one second."""

    def __init__(self, most: int) -> None:
        self._most, self._since, self._count = most, -math.inf, 0

    def keeps(self, now: float) -> bool:
        """Count one; False when there were more than `most` in this second."""
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._most
