"""One attached client, as its session sees it."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from cmdop.limits import DATA_MAX_BYTES
from cmdop.screen.interface import Capture
from cmdop.session.core import Member, Resume
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Ended


class Watching(Protocol):
    """Where a viewer's records go: its stream. Nothing here blocks."""

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        """Seal and send. Quiet once the stream is closed."""

    def send_control(self, message: Message) -> None: ...

    def end(self, ended: Ended) -> None:
        """The session is over, and the client has every byte. It answers by leaving; one
        whose connection is lost before may come back for what it did not get."""

    def finish(self) -> None:
        """The session has nothing more to say: close the stream."""

    @property
    def congested(self) -> bool:
        """Whether bulk output should wait for the connection's queue."""


@dataclass(frozen=True)
class Entry:
    """How a client comes in: as the one for whom the session was opened, back from a lost
    connection, or to join; and what it wants to see of what was before."""

    created: bool = False
    resume: Resume | None = None
    takeover: bool = False
    drawn: bool = True
    history: bool = True


Piece = tuple[int, int, bytes]
"""Kind, offset and payload of a record."""


@dataclass(frozen=True)
class Undrawn:
    """A screen that is to be drawn for a client. It takes its time, so nobody waits for the
    session's lock meanwhile."""

    capture: Capture
    skip: bool
    offset: int
    away: bytes = b""
    """What scrolls away what the terminal shows, where the drawing does not."""

    def draw(self) -> list[Piece]:
        shown = self.away + self.capture.draw().whole
        # The last one is not full, though it be empty: by that its end is known.
        starts = range(0, len(shown) + 1, DATA_MAX_BYTES)
        replay: list[Piece] = [(RecordKind.REPLAY, self.offset, shown[at : at + DATA_MAX_BYTES]) for at in starts]
        return [(RecordKind.FLUSH, self.offset, b""), *replay] if self.skip else replay


@dataclass(eq=False)
class Viewer(Member):
    """A client's stream, and what is on its way to it."""

    stream: Watching
    history: bool = False
    """Whether what is drawn next shows the scrollback, too."""
    events: deque[Message] = field(default_factory=deque)
    """To be told before any more output. They are few and do not wait for a congested connection."""
    undrawn: Undrawn | None = None
    replay: deque[Piece] = field(default_factory=deque)
    """Drawn, and to be sent before the live output. Guarded by `pumping`."""
    finished: bool = False
    since: float = field(default_factory=time.time)
    pumping: threading.Lock = field(default_factory=threading.Lock)
    """Guards the order of this client's output: one thread sends it at a time. Taken
    before the session's lock, never after it; sending does not block."""
