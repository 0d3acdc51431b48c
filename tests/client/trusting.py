"""For tests that are not about it: every machine is known, and has the key that it had."""

from __future__ import annotations

from cmdop.auth.known_machines import Sighting


class Trusting:
    """Lets every machine in, and notes those that proved themselves."""

    def __init__(self) -> None:
        self.proven_machines: list[Sighting] = []

    def check(self, seen: Sighting) -> None:
        pass

    def proven(self, *seen: Sighting) -> None:
        self.proven_machines += seen
