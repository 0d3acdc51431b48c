"""Whose silence has to be looked at, and when. Told the time; no clock, no lock, no I/O.

A connection that was silent for PING_INTERVAL_SECONDS is pinged; one that stays silent
after that for as long as LINK_DEAD_SECONDS leaves is half open. The second length is
counted from the ping, so that a relay which was itself asleep accuses nobody.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from cmdop.limits import HELLO_TIMEOUT_SECONDS, LINK_DEAD_SECONDS, PING_INTERVAL_SECONDS

PONG_TIMEOUT_SECONDS: Final = LINK_DEAD_SECONDS - PING_INTERVAL_SECONDS


class Watched(Hashable, Protocol):
    """A connection: when it was last heard, and whether it has introduced itself."""

    heard: float

    @property
    def greeted(self) -> bool: ...


class Verdict(Enum):
    """What a silence calls for."""

    PING = "ping"
    DEAD = "dead"
    NO_HELLO = "no hello"


W = TypeVar("W", bound=Watched)


class Pulse(Generic[W]):
    """A schedule of looks at connections, each at the moment when it may be due."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, int, int, bool]] = []
        """Moment, number of the look, number of the connection, whether it is for the Hello."""
        self._number = 0
        # By number, so that a look that is still to come holds no connection that has gone.
        self._watched: dict[int, W] = {}
        self._numbers: dict[W, int] = {}
        self._pinged: dict[W, float] = {}

    @property
    def next_due(self) -> float | None:
        """The moment of the next look; None when there is nobody."""
        return self._looks[0][0] if self._looks else None

    def add(self, connection: W, now: float) -> None:
        """Watch a connection from now on."""
        self._number += 1
        self._numbers[connection] = self._number
        self._watched[self._number] = connection
        self._look_at(connection, now + PING_INTERVAL_SECONDS)
        self._look_at(connection, now + HELLO_TIMEOUT_SECONDS, for_hello=True)

    def remove(self, connection: W) -> None:
        """Watch it no longer. One that is not watched is nothing."""
        self._watched.pop(self._numbers.pop(connection, 0), None)
        self._pinged.pop(connection, None)

    def due(self, now: float) -> list[tuple[W, Verdict]]:
        """What is to be done now, and to whom; each verdict but PING is the last on its connection."""
        verdicts = []
        while self._looks and self._looks[0][0] <= now:
            _, _, number, for_hello = heapq.heappop(self._looks)
            connection = self._watched.get(number)
            if connection is None:
                continue
            verdict = self._greeting(connection) if for_hello else self._silence(connection, now)
            if verdict is not None:
                verdicts.append((connection, verdict))
        return verdicts

    def _greeting(self, connection: W) -> Verdict | None:
        if connection.greeted:
            return None
        self.remove(connection)
        return Verdict.NO_HELLO

    def _silence(self, connection: W, now: float) -> Verdict | None:
        pinged = self._pinged.pop(connection, None)
        if pinged is not None and connection.heard <= pinged:
            self.remove(connection)
            return Verdict.DEAD
        if now < connection.heard + PING_INTERVAL_SECONDS:
            self._look_at(connection, connection.heard + PING_INTERVAL_SECONDS)
            return None
        self._pinged[connection] = now
        self._look_at(connection, now + PONG_TIMEOUT_SECONDS)
        return Verdict.PING

    def _look_at(self, connection: W, moment: float, *, for_hello: bool = False) -> None:
        self._number += 1  # so that two looks at one moment are never compared further
        heapq.heappush(self._looks, (moment, self._number, self._numbers[connection], for_hello))
