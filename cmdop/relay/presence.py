"""Which machines are there, and since when not. Told the time; no clock, no lock, no I/O.

Times are seconds on one clock that never goes back; the caller turns them into dates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cmdop.limits import OFFLINE_AFTER_SECONDS
from cmdop.wire.relay_messages import SessionSummary


@dataclass(frozen=True)
class Seen:
    """A machine since this relay started.

    `heard` is its last heartbeat while `connected`, and else the last sign of life;
    `session` is the first one that it named.
    """

    heard: float
    connected: bool
    stopped_cleanly: bool = False
    session: SessionSummary | None = None

    def online(self, now: float) -> bool:
        """Connected, and not silent for longer than a heartbeat may take."""
        return self.connected and now - self.heard < OFFLINE_AFTER_SECONDS


class Presence:
    """The machines that were heard since this relay started, by id."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def seen(self, machine_id: str) -> Seen | None:
        """What is known of a machine, None where it was never heard."""
        return self._seen.get(machine_id)

    def online(self, now: float) -> dict[str, Seen]:
        """The machines that are online, by id."""
        return {machine_id: seen for machine_id, seen in list(self._seen.items()) if seen.online(now)}

    def hello(self, machine_id: str, now: float) -> None:
        """A machine has connected."""
        self._seen[machine_id] = Seen(now, connected=True)

    def heartbeat(self, machine_id: str, now: float, session: SessionSummary | None) -> None:
        """A machine lives. One that has left or was removed meanwhile stays so."""
        seen = self._seen.get(machine_id)
        if seen is not None and seen.connected:
            self._seen[machine_id] = replace(seen, heard=now, session=session)

    def goodbye(self, machine_id: str, now: float) -> None:
        """A machine stops cleanly: it is offline from now on."""
        self._seen[machine_id] = Seen(now, connected=False, stopped_cleanly=True)

    def broke_off(self, machine_id: str, last_heard: float) -> None:
        """A machine's connection is gone. What it said by a goodbye before stays true."""
        seen = self._seen.get(machine_id)
        if seen is not None and seen.connected:
            self._seen[machine_id] = Seen(last_heard, connected=False)

    def forget(self, machine_id: str) -> None:
        """A machine was removed. One that is unknown is nothing."""
        self._seen.pop(machine_id, None)
