"""What the agent keeps of each client that is attached, and of each call."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cmdop.session.core import Member
from cmdop.session.keyboard import Typist
from tests.session.simulation.network import Connection, Record
from tests.session.simulation.program import Screen
from tests.session.simulation.scale import DATA_MAX


@dataclass(frozen=True)
class Undrawn:
    """A screen that is to be drawn, as it was when it was captured."""

    screen: Screen
    skip: bool
    offset: int

    def records(self) -> list[Record]:
        shown = self.screen.drawn()
        starts = range(0, len(shown) + 1, DATA_MAX)
        replay = [Record("replay", self.offset, shown[at : at + DATA_MAX]) for at in starts]
        return [Record("flush", self.offset), *replay] if self.skip else replay


@dataclass(eq=False)
class Viewer(Member):
    """A client as its session sees it."""

    connection: Connection
    events: deque[Record] = field(default_factory=deque)
    undrawn: Undrawn | None = None
    replay: deque[Record] = field(default_factory=deque)
    finished: bool = False


@dataclass(eq=False)
class Call:
    """What `cmdop session send` types."""

    typist: Typist
    data: bytes
    until: float
    over: bool = False
