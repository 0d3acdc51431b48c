"""A path in virtual time: who sends, a link with a rate and a delay, and a terminal with a rate.

Nothing here waits: `run` handles what is due, in order, and says at what time.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

from cmdop.limits import DATA_MAX_BYTES, KIB, WINDOW_FLOOR_BYTES
from cmdop.session.credit import ReceiveWindow, SendCredit

PIECE_BYTES = 16 * KIB
"""Written to the terminal at once."""
NEVER_ENDING = 10**15


class Path:
    """Rates are bytes a second, `jitter_seconds` the most by which a record or a grant is late."""

    def __init__(
        self,
        rate: float,
        round_trip_seconds: float,
        terminal_rate: float = math.inf,
        jitter_seconds: float = 0.0,
        told_seconds: float | None = None,
    ) -> None:
        self.rate, self.terminal_rate = rate, terminal_rate
        self.delay_seconds, self.jitter_seconds = round_trip_seconds / 2, jitter_seconds
        self.told_seconds = round_trip_seconds if told_seconds is None else told_seconds
        self.window = ReceiveWindow(0, WINDOW_FLOOR_BYTES)
        self.credit = SendCredit(self.window.limit)
        self.now = 0.0
        self.sent = self.arrived = self.shown = 0
        self.largest_bytes = 0
        """The most that the sender ever had credit for, beyond what was shown."""
        self._to_send = 0
        self._random = random.Random(7)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._link_free_at = self._last_record_at = self._last_grant_at = 0.0
        self._queue: deque[int] = deque()
        self._writing = False

    def produce(self, size: int = NEVER_ENDING) -> None:
        """The program puts out so many bytes more."""
        self._to_send += size
        self._send()

    def run(self, seconds: float) -> float:
        """Go on for so long; bytes a second that the terminal got."""
        until, before = self.now + seconds, self.shown
        while self._events and self._events[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.now = until
        return (self.shown - before) / seconds if seconds else 0.0

    def slowest(self, seconds: float, step_seconds: float = 0.01) -> float:
        """Go on for so long; the longest that an interrupt's answer would have been under way."""
        worst = 0.0
        for _ in range(round(seconds / step_seconds)):
            self.run(step_seconds)
            worst = max(worst, self.standing_seconds + 2 * self.delay_seconds)
        return worst

    @property
    def standing_seconds(self) -> float:
        """How long what is sent now would wait before the link takes it."""
        return max(0.0, self._link_free_at - self.now)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way, not even a grant."""
        return not self._events

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happens))

    def _late(self) -> float:
        return self.delay_seconds + self._random.random() * self.jitter_seconds

    def _send(self) -> None:
        while size := min(self._record_bytes(), self._to_send):
            self.sent += size
            self._to_send -= size
            self._link_free_at = max(self.now, self._link_free_at) + size / self.rate
            self._last_record_at = max(self._last_record_at, self._link_free_at + self._late())
            self._at(self._last_record_at, lambda size=size: self._arrive(size))  # type: ignore[misc]

    def _record_bytes(self) -> int:
        spendable = self.credit.spendable(self.sent)
        return min(spendable, DATA_MAX_BYTES, max(spendable // 2, 4 * KIB))

    def _arrive(self, size: int) -> None:
        self.arrived += size
        self.window.received(size, self.now)
        self._queue.append(size)
        if not self._writing:
            self._write()

    def _write(self) -> None:
        self._writing = bool(self._queue)
        if self._queue:
            piece = min(self._queue[0], PIECE_BYTES)
            self._at(self.now + piece / self.terminal_rate, lambda: self._wrote(piece))

    def _wrote(self, size: int) -> None:
        self.shown += size
        self._queue[0] -= size
        if not self._queue[0]:
            self._queue.popleft()
        limit = self.window.wrote(size, self.now, self.told_seconds)
        if limit is not None:
            self.largest_bytes = max(self.largest_bytes, limit - self.shown)
            self._last_grant_at = max(self._last_grant_at, self.now + self._late())
            self._at(self._last_grant_at, lambda: self._granted(limit))
        self._write()

    def _granted(self, limit: int) -> None:
        assert self.credit.grant(limit), "a grant that is sent allows more"
        self._send()
