"""What the PTY got, of whom: each client's bytes once and in order, and nothing in the middle of a paste."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from cmdop.limits import PASTE_STALL_SECONDS
from cmdop.session.keyboard import Typist
from tests.session.simulation.client import Client


class Ledger:
    """Follows the log of a PTY. Told who came, went and stalled, as the agent knows it."""

    def __init__(self, log: Sequence[tuple[Typist, bytes]]) -> None:
        self._log, self._seen = log, 0
        self.written: dict[str, int] = {}
        """By client, how much of its typing the PTY has."""
        self._moved_at: dict[str, float] = {}
        self._now = 0.0
        self._excused: dict[str, int] = {}
        """Clients into whose unfinished paste others may type, as it stalled or they left, and
        what the agent had of their typing then."""

    def came(self, client_id: str, now: float) -> None:
        """The agent got input of this client."""
        self._moved_at[client_id] = now

    def excuse(self, typist: Typist) -> None:
        """Nobody waits for the rest of this client's paste: it has left, or says no more."""
        self._excused[typist.client_id] = typist.typed.received

    def tick(self, known: Iterable[Typist], now: float) -> None:
        """It is so late; a paste that has not moved for long is not waited for."""
        self._now = now
        for typist in known:
            if now - self._moved_at.get(typist.client_id, 0.0) >= PASTE_STALL_SECONDS:
                self.excuse(typist)

    def check(self, clients: Sequence[Client]) -> None:
        """Look at what the PTY got since the last time."""
        for typist, data in self._log[self._seen :]:
            self._check_pastes(clients, typist.client_id)
            if typist.client_id:
                self._check_order(clients[int(typist.client_id)], data)
        self._seen = len(self._log)

    def _check_order(self, client: Client, data: bytes) -> None:
        name = str(client.number)
        written = self.written.get(name, 0)
        wanted = client.typed[written : written + len(data)]
        assert data == wanted, f"{name} has {data!r} typed at {written}, not {bytes(wanted)!r}"
        self.written[name] = written + len(data)
        self._moved_at[name] = self._now
        if self.written[name] >= self._excused.get(name, 0) and not self._inside_paste(client):
            self._excused.pop(name, None)

    def _check_pastes(self, clients: Sequence[Client], writer: str) -> None:
        """Somebody types: into nobody's paste."""
        for client in clients:
            owner = str(client.number)
            if owner != writer and owner not in self._excused:
                assert not self._inside_paste(client), f"{writer} types into the paste of {owner}"

    def _inside_paste(self, client: Client) -> bool:
        """Whether the PTY has a paste of this client half."""
        written = self.written.get(str(client.number), 0)
        at = bisect_right(client.pastes, (written, 0)) - 1
        return at >= 0 and client.pastes[at][0] + 2 <= written < client.pastes[at][1]
