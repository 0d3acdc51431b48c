"""How much output may be under way: the sender's credit and the receiver's window.

Credit is an absolute offset ("bytes below this may be sent"), so a grant that arrives
twice or late does no harm (as MAX_STREAM_DATA does in QUIC, RFC 9000 §4.1).

Every byte in the window stands between an interrupt and the prompt, and too small a
window starves a long path. So the receiver sizes it by what it measures: twice the
bytes that it wrote out in one round trip, never below the minimum.
"""

from __future__ import annotations

from cmdop.limits import OFFSET_MAX, WINDOW_MAX_BYTES, WINDOW_MIN_BYTES


class SendCredit:
    """The sender's half: how far it may go."""

    __slots__ = ("limit",)

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit

    def grant(self, limit: int) -> bool:
        """Take a grant; whether it allows more than before. An older one changes nothing."""
        if not self.limit < limit <= OFFSET_MAX:
            return False
        self.limit = limit
        return True

    def spendable(self, offset: int) -> int:
        """How many bytes may be sent from `offset` on."""
        return max(0, self.limit - offset)


class ReceiveWindow:
    """The receiver's half: grants as bytes are written out.

    Told the time in seconds of any one clock, and the round trip in seconds.
    """

    def __init__(self, offset: int = 0) -> None:
        self.window_bytes = WINDOW_MIN_BYTES
        self._written = offset
        self._granted = offset
        self._measured_from: tuple[float, int] | None = None

    def first_grant(self) -> int:
        """The limit to grant before anything was received."""
        self._granted = min(self._written + self.window_bytes, OFFSET_MAX)
        return self._granted

    def wrote(self, size: int, now: float, round_trip_seconds: float) -> int | None:
        """Bytes were written out; the new limit to grant, or None while the old one does."""
        self._written += size
        self._measure(now, round_trip_seconds)
        return self._due()

    def skipped_to(self, offset: int) -> int | None:
        """Output goes on at `offset`; the new limit to grant, or None while the old one does.

        What lies before it will not be written, and without a grant from here on the
        sender might have none left for what does come.
        """
        self._written = max(self._written, offset)
        self._measured_from = None
        return self._due()

    def _due(self) -> int | None:
        """Grant once half of the window is used up."""
        if self._granted - self._written > self.window_bytes // 2:
            return None
        limit = min(self._written + self.window_bytes, OFFSET_MAX)
        if limit <= self._granted:
            return None
        self._granted = limit
        return limit

    def _measure(self, now: float, round_trip_seconds: float) -> None:
        """Once a round trip (10 ms at least), fit the window to the rate."""
        if self._measured_from is None:
            self._measured_from = (now, self._written)
            return
        began, at = self._measured_from
        span = now - began
        if span < max(round_trip_seconds, 0.01):
            return
        under_way = (self._written - at) * round_trip_seconds / span
        grown = min(int(2 * under_way) + WINDOW_MIN_BYTES, 2 * self.window_bytes)
        self.window_bytes = max(WINDOW_MIN_BYTES, min(grown, WINDOW_MAX_BYTES))
        self._measured_from = (now, self._written)
