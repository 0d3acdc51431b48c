"""How long to wait before the next try: at once, then longer, never in step."""

from __future__ import annotations

import random

from cmdop.limits import BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS


class Backoff:
    """Waiting times for dialling again: 0, then doubling, each time somewhere in its upper half.

    Jitter spreads many clients that lost the same relay at the same moment.
    """

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source or random.Random()
        self._tries = 0

    def next_seconds(self) -> float:
        """How long to wait before the next try."""
        if self._tries == 0:
            self._tries = 1
            return 0.0
        ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return self._random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """A try succeeded and held: the next one is at once again."""
        self._tries = 0
