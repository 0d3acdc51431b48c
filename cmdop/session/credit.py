"""How much output may be under way: the sender's credit and the receiver's window.

Credit is an absolute offset ("bytes below this may be sent"), so a grant that arrives
twice or late does no harm (as MAX_STREAM_DATA does in QUIC, RFC 9000 §4.1).

Every byte under way stands between an interrupt and the prompt, and too small a window
starves a long path. So the receiver measures its grants' *loops*: from sending one to
the arrival of the last byte that it allowed. That is the round trip, and on top of it
the time that these bytes stood in queues. The window aims at a loop of the bare round
trip and `QUEUE_SECONDS`: it grows fast while loops are shorter, and shrinks in
proportion when they are longer.

A loop says something only if the sender had something to send all the time. Who has
run out of credit ends a record exactly at the limit, and nobody else does but by
chance: so a loop counts if the sender stood at a limit when the grant reached it, and
again at the end of this one. A prompt at which nothing happens changes nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from cmdop.limits import OFFSET_MAX, WINDOW_FLOOR_BYTES, WINDOW_MAX_BYTES, WINDOW_MIN_BYTES

QUEUE_SECONDS: Final = 0.1
"""How long output may stand in queues on the way: what a user hardly notices, and enough
to keep a path busy whose rate wavers."""
IDLE_SECONDS: Final = 1.0
"""After this long without output what follows is another burst, with a rate of its own."""
_UNPROVEN_BYTES: Final = 2 * WINDOW_FLOOR_BYTES
"""What a path gets on credit that looks slow and has not yet been measured."""
_STEPS: Final = 4
"""Grants in one window: one that is late starves nobody, and they are cheap."""


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


class _Grant(NamedTuple):
    """A limit that was granted, when, and what had been received and written out by then."""

    limit: int
    at: float
    received: int
    written: int


class ReceiveWindow:
    """The receiver's half: grants as bytes are written out.

    Told the time in seconds of any one clock, and the round trip in seconds as far as it
    is known; shorter loops correct it.
    """

    def __init__(self, offset: int = 0, window_bytes: int = WINDOW_MIN_BYTES) -> None:
        """Output begins at `offset`, and the sender has credit of `window_bytes` from there."""
        self._written = self._received = offset
        self._begin(min(offset + window_bytes, OFFSET_MAX))

    def _begin(self, limit: int) -> None:
        """A path of which nothing is known yet."""
        self.window_bytes = WINDOW_MIN_BYTES
        self._granted = limit
        self._proven = False
        self._told_seconds: float | None = None
        self._base_seconds = 0.0
        """The round trip without queues: as it was told, or the shortest loop since."""
        self._changed_at = -1.0
        self._emptied_at = 0.0
        """When the terminal last had everything that was received."""
        self._burst: tuple[float, int] | None = None
        """When the first record of a burst came, and what had been received with it."""
        self._heard_at = 0.0
        self._forget_loops()

    def _forget_loops(self) -> None:
        self._grants: deque[_Grant] = deque()
        """Those whose limit was not reached yet."""
        self._stood_at = -1
        """The last limit at which the sender is known to have stood."""

    @property
    def limit(self) -> int:
        """What is granted: output below it may come."""
        return self._granted

    def received(self, size: int, now: float) -> None:
        """A whole record of output came, before it is written out."""
        self._received += size
        if self._burst is None or now - self._heard_at > IDLE_SECONDS:
            self._burst = now, self._received
        self._heard_at = now
        while self._grants and self._grants[0].limit <= self._received:
            grant = self._grants.popleft()
            if grant.limit == self._received:
                self._sender_stood(grant, now)

    def wrote(self, size: int, now: float, round_trip_seconds: float) -> int | None:
        """Bytes were written out; the new limit to grant, or None while the old one does."""
        self._written += size
        if round_trip_seconds != self._told_seconds:
            self._told_seconds = self._base_seconds = round_trip_seconds
        if self._written > self._received:
            self.received(self._written - self._received, now)
        if self._written == self._received:
            self._emptied_at = now
        if not self._proven:
            self._be_careful(now)
        return self._due(now)

    def skipped_to(self, offset: int, limit: int = 0) -> int | None:
        """Output goes on at `offset`; the new limit to grant, or None while the old one does.

        What lies before it will not be written, and without a grant from here on the
        sender might have none left for what does come. `limit` is the credit that the
        skip itself gave.
        """
        self._received = max(self._received, offset)
        self._written = self._received
        self._granted = max(self._granted, limit)
        self._forget_loops()
        self._burst = None
        return self._due(None)

    def credited(self, limit: int) -> int | None:
        """The sender has credit up to `limit` without a grant; the new limit to grant, or None
        while the old one does."""
        self._granted = max(self._granted, limit)
        return self._due(None)

    def resumed_at(self, offset: int) -> int:
        """Output will go on at `offset`, over another path; the credit to give from there.

        What was granted before is void. It is little, as each skip gives it anew, and none
        while the terminal has yet to show a whole window: what is written grants the rest.
        """
        self._received = offset
        unwritten = max(0, offset - self._written)
        window_bytes = max(0, min(WINDOW_FLOOR_BYTES, WINDOW_MIN_BYTES - unwritten))
        self._begin(min(offset + window_bytes, OFFSET_MAX))
        return self._granted - offset

    # -- granting ------------------------------------------------------------------------

    def _due(self, now: float | None) -> int | None:
        """Grant once a part of the window is used up. Without the time there is no loop to measure."""
        if self._granted - self._written > self.window_bytes - self.window_bytes // _STEPS:
            return None
        limit = min(self._written + self.window_bytes, OFFSET_MAX)
        if limit <= self._granted:
            return None
        self._granted = limit
        if now is not None:
            self._grants.append(_Grant(limit, now, self._received, self._written))
        return limit

    def _be_careful(self, now: float) -> None:
        """Renew credit at the rate of what comes, before there was a loop to measure.

        The first window may stand in a slow path for seconds, and only its end would tell.
        """
        rate = self._burst_rate(now)
        if rate is not None:
            fitting = int(rate * (self._base_seconds + QUEUE_SECONDS))
            self.window_bytes = min(self.window_bytes, max(fitting, _UNPROVEN_BYTES))

    def _burst_rate(self, now: float) -> float | None:
        """Bytes a second of the burst that is coming in; None before its second record."""
        if self._burst is None:
            return None
        began, received = self._burst
        if self._received == received:
            return None
        return (self._received - received) / max(now - began, 1e-6)

    # -- measuring -----------------------------------------------------------------------

    def _sender_stood(self, grant: _Grant, now: float) -> None:
        """The sender ran out of credit at the end of this grant, and its last byte is here."""
        all_the_time = self._stood_at >= grant.received
        self._stood_at = grant.limit
        if all_the_time and grant.at >= self._changed_at:
            self._fit(grant, now)

    def _fit(self, grant: _Grant, now: float) -> None:
        """Fit the window to one loop."""
        self._proven = True
        loop = max(now - grant.at, 1e-6)
        base = min(self._base_seconds, loop)
        if self.window_bytes == WINDOW_FLOOR_BYTES:
            # So little makes no queue of note: the path has become longer.
            base = max(base, loop - QUEUE_SECONDS / 4)
        self._base_seconds = base
        starved = self._emptied_at >= grant.at
        moved = grant.limit - grant.received if starved else self._written - grant.written
        # Where it is not the path that is slow, the bytes of a few round trips are enough.
        enough = 4 * moved * base / loop + WINDOW_MIN_BYTES
        fitted = min(self.window_bytes * _factor(loop, base, starved), enough)
        fitted = int(max(WINDOW_FLOOR_BYTES, min(fitted, WINDOW_MAX_BYTES)))
        if fitted != self.window_bytes:
            self.window_bytes, self._changed_at = fitted, now


def _factor(loop: float, base: float, starved: bool) -> float:
    """By how much to change a window with such a loop; `starved` if the terminal had to wait."""
    wanted = base + QUEUE_SECONDS
    if loop > wanted:
        return max(wanted / loop, 0.25)
    if not starved:
        return 1.0
    if loop <= base + QUEUE_SECONDS / 8:
        return 4.0
    return 2.0 if loop <= base + QUEUE_SECONDS / 4 else (wanted / loop) ** 2
