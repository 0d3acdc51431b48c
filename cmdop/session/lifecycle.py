"""How long a session lives that nobody watches. Told the time; answers what is due."""

from __future__ import annotations

from cmdop.limits import GRACE_SECONDS


class GraceClock:
    """Counts the seconds without a client, and stands still while there is no relay.

    `now` is in seconds of any one clock that never goes back.
    """

    def __init__(self, now: float, grace_seconds: float = GRACE_SECONDS) -> None:
        self.grace_seconds = grace_seconds
        self._used_seconds = 0.0
        self._since: float | None = None
        self._clients = 0
        self._connected = True
        self._tick(now)

    def clients_are(self, count: int, now: float) -> None:
        """The number of attached clients is this from now on. Anyone resets the clock."""
        self._pause(now)
        self._clients = count
        if count:
            self._used_seconds = 0.0
        self._tick(now)

    def left_is(self, seconds: float, now: float) -> None:
        """So much of the grace is left."""
        self._pause(now)
        self._used_seconds = self.grace_seconds - seconds
        self._tick(now)

    def used(self, now: float) -> None:
        """Somebody used the session without being attached: the time begins anew."""
        self._pause(now)
        self._used_seconds = 0.0
        self._tick(now)

    def relay_is(self, connected: bool, now: float) -> None:
        """The agent has a relay, or none, from now on."""
        self._pause(now)
        self._connected = connected
        self._tick(now)

    def due_in_seconds(self, now: float) -> float | None:
        """Seconds until the session is to be ended; 0 when it is due, None when it is not counted."""
        if self._since is None:
            return None
        return max(0.0, self.grace_seconds - self._used_seconds - (now - self._since))

    def left_seconds(self, now: float) -> float:
        """What is left of the grace, whether it is being counted or not."""
        running = 0.0 if self._since is None else now - self._since
        return max(0.0, self.grace_seconds - self._used_seconds - running)

    def _pause(self, now: float) -> None:
        if self._since is not None:
            self._used_seconds += now - self._since
            self._since = None

    def _tick(self, now: float) -> None:
        if self._clients == 0 and self._connected:
            self._since = now
