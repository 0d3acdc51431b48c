"""A relay and its connections: in order, late, and gone at any moment with all that was under way."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from cmdop.session.core import Resume

CONGESTED_BYTES: Final = 24


class Record(NamedTuple):
    """One record, or a step of the stream that brings it."""

    kind: str
    offset: int = 0
    data: bytes = b""
    about: object = None


class Entry(NamedTuple):
    """What a client says when it comes."""

    client_id: str
    observer: bool = False
    created: bool = False
    takeover: bool = False
    drawn: bool = True
    resume: Resume | None = None
    window_bytes: int = 0


class Connection:
    """One client's stream to the agent."""

    def __init__(self) -> None:
        self.up: deque[Record] = deque()
        self.down: deque[Record] = deque()
        self.down_bytes = 0
        self.cut = False
        self.client_open = self.agent_open = True
        """Whether that end still believes in it."""

    def send_up(self, record: Record) -> None:
        if not self.cut:
            self.up.append(record)

    def send_down(self, record: Record) -> None:
        if not self.cut and self.client_open:
            self.down.append(record)
            self.down_bytes += len(record.data)

    def take_down(self) -> Record:
        record = self.down.popleft()
        self.down_bytes -= len(record.data)
        return record

    @property
    def congested(self) -> bool:
        return self.down_bytes > CONGESTED_BYTES

    def lose(self) -> None:
        """The network loses it. Neither end knows yet."""
        self.cut = True
        self.up.clear()
        self._lose_down()

    def give_up(self) -> None:
        """The client does not listen any more. What it sent is still under way."""
        self.client_open = False
        self._lose_down()

    def _lose_down(self) -> None:
        self.down.clear()
        self.down_bytes = 0
