"""A link that is down: what the user is told of it, and when. Told the time."""

from __future__ import annotations

from cmdop.client.events import GracePassed, LinkDown
from cmdop.client.leg import Leg
from cmdop.limits import IDLE_MAX_SECONDS, LINK_DEAD_SECONDS, LINK_TELL_SECONDS, LINK_TELL_SILENT_SECONDS


class Outage:
    """From the loss of a connection to the next one. `now` is of any one clock that never goes back.

    `silent` says that the link was quiet for long before it was given up, so that the
    user hears of it sooner.
    """

    def __init__(self, now: float, leg: Leg, kept_seconds: float, silent: bool = False) -> None:
        self.leg = leg
        """Which leg was down when it was last tried."""
        self.told = False
        """Whether the user was told: from then on the screen is not what the machine thinks."""
        self.kept_seconds = min(kept_seconds, IDLE_MAX_SECONDS)
        self._since = now
        self._tell_at = now + (LINK_TELL_SILENT_SECONDS if silent else LINK_TELL_SECONDS)
        self._gone_told = False

    def down_seconds(self, now: float) -> float:
        return now - self._since

    def due_in_seconds(self, now: float) -> float | None:
        """Seconds until `due` has something; None when it has nothing more."""
        if not self.told:
            return max(0.0, self._tell_at - now)
        return None if self._gone_told else max(0.0, self._gone_at - now)

    def due(self, now: float) -> LinkDown | GracePassed | None:
        """What the user is to be told now; each once."""
        if not self.told and now >= self._tell_at:
            self.told = True
            return LinkDown(self.leg, max(0.0, self._gone_at - now))
        if self.told and not self._gone_told and now >= self._gone_at:
            self._gone_told = True
            return GracePassed(self.leg, self.kept_seconds)
        return None

    @property
    def _gone_at(self) -> float:
        """When a session without another client is ended, if its machine has a relay."""
        return self._since + self.kept_seconds


class Wakefulness:
    """Finds out that the computer was asleep: the clock on the wall went on, the monotonic
    one stood still (as it does on Linux and macOS), and every link is most likely dead."""

    def __init__(self, now: float, wall: float) -> None:
        self._now, self._wall = now, wall

    def slept(self, now: float, wall: float) -> bool:
        """Whether it slept since the last call; a clock that was set looks the same, and does no harm."""
        gap = (wall - self._wall) - (now - self._now)
        self._now, self._wall = now, wall
        return gap > LINK_DEAD_SECONDS
