"""One output, many clients: who gets which bytes next, and who is skipped ahead.

Each client has a cursor of its own, so that none waits for another. A client that is
skipped ahead gets a fresh screen drawn instead of the bytes in between; the caller draws
it, at the moment that `Broadcast.next` says so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from cmdop.errors import RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES, KIB, MIB, RING_BYTES, RING_MAX_BYTES, WINDOW_FLOOR_BYTES
from cmdop.ring import RingBuffer
from cmdop.session.credit import SendCredit

LAG_MAX_BYTES: Final = RING_BYTES // 2
"""The PTY is not read while every client with credit is further behind than this, and one
that is, while another is not, is skipped ahead."""
HELD_BYTES: Final = 128 * KIB
"""What is read of the output while a client that vanished is waited for."""
BACKLOG_BYTES: Final = 4096
"""After a flush in the kernel nobody is made to wait for more than this."""
_PIECE_BYTES: Final = 4 * KIB
BLOCKED_SECONDS: Final = 1.0
"""A client that had no credit so lately has much that it did not show."""


class Drawing(Enum):
    """What is to be drawn for a client before its output goes on."""

    JOIN = "scrollback and screen, for a client that just came"
    SKIP = "the screen, over what the client shows, instead of the bytes in between"


class Bytes(NamedTuple):
    """Output for a client, and the offset of its first byte."""

    offset: int
    data: bytes


@dataclass(eq=False)
class View:
    """One client's place in the output. `window_bytes` is the credit that it gives before
    the first grant, and again with each skip; the program does not wait for one that does
    not pace."""

    window_bytes: int = 0
    paces: bool = True
    cursor: int = 0
    """Offset of the next byte for this client."""
    credit: SendCredit = field(default_factory=SendCredit)
    due: Drawing | None = None
    blocked_at: float | None = None
    """When it last had no credit for output that was there, or that the PTY held back."""
    redraw: bool = False
    """The screen is to be drawn anew once the client has all of the output."""
    skipped: bool = False
    """It was skipped ahead, and has not granted anything since."""

    def start(self, offset: int) -> None:
        """Output goes on at `offset`; the credit that comes with it."""
        self.cursor = offset
        self.credit.grant(offset + self.window_bytes)

    def skip(self, offset: int) -> None:
        """What is before `offset` is left out. The credit that comes with it is small: what
        is under way on a slow line cannot be overtaken by a prompt."""
        self.cursor, self.redraw = offset, False
        self.credit.grant(offset + min(self.window_bytes, WINDOW_FLOOR_BYTES))

    def lag(self, head: int) -> int:
        return head - self.cursor


class Broadcast:
    """The newest output of a session, and what each view gets of it. Told the time in seconds."""

    def __init__(self) -> None:
        self.ring = RingBuffer()

    # -- a client comes ------------------------------------------------------------------

    def begin(self, view: View) -> None:
        """For whom the session was opened: all of its output is live."""
        view.start(self.ring.tail)

    def join(self, view: View, drawn: bool) -> None:
        """A client that comes later: what was before is drawn, or left out."""
        view.start(self.ring.head)
        view.due = Drawing.JOIN if drawn else None

    def resume(self, view: View, offset: int, redraw: bool, whole: bool) -> None:
        """A client that has everything below `offset`, as far as it is still there.

        With `redraw` its screen is drawn anew once it has the rest, so that nothing is
        missing from its scrollback; with `whole` at once and with all of that, as its
        first replay came to nothing. Raises RemoteProtocolError for bytes that there never were.
        """
        if offset > self.ring.head:
            raise RemoteProtocolError(reason=f"a resume at {offset}, and the output ends at {self.ring.head}")
        if whole or offset < self.ring.tail:
            view.skip(self.ring.head)
            view.due = Drawing.SKIP
        else:
            view.start(offset)
            view.redraw = redraw

    # -- output ----------------------------------------------------------------------------

    def flushed(self, views: Collection[View], now: float) -> None:
        """The kernel threw output away on an interrupt: nobody is to wait for the rest."""
        for view in views:
            lately = view.blocked_at is not None and now - view.blocked_at < BLOCKED_SECONDS
            notable = view.lag(self.ring.head) > BACKLOG_BYTES or lately
            if notable and view.due is None and not view.skipped:
                view.due = Drawing.SKIP

    def granted(self, view: View, limit: int, now: float) -> None:
        """A client has room for more."""
        if not view.credit.spendable(view.cursor):
            view.blocked_at = now
        if view.credit.grant(limit):
            view.skipped = False
            self._make_room(limit)

    def _make_room(self, limit: int) -> None:
        """Let the ring hold all that may be under way to a client, should its connection break."""
        wanted = limit - self.ring.head + LAG_MAX_BYTES + HELD_BYTES
        if wanted > self.ring.capacity:
            self.ring.grow(min(-(-wanted // MIB) * MIB, RING_MAX_BYTES))

    def next(self, view: View, views: Collection[View], now: float) -> Bytes | Drawing | None:
        """What a client gets now. After a Drawing its output goes on at the head, so that
        what is drawn has to be what the terminal shows at this very moment."""
        head = self.ring.head
        if view.due is None and (self._left_behind(view, views) or (view.redraw and view.cursor == head)):
            view.due = Drawing.SKIP
        if view.due is not None:
            return self._draw(view)
        room = self._room(view)
        if not room and view.cursor < head:
            view.blocked_at = now
        if not room or view.cursor == head:
            return None
        piece = Bytes(view.cursor, self.ring.read(view.cursor, room))
        view.cursor += len(piece.data)
        return piece

    def _draw(self, view: View) -> Drawing | None:
        drawing, view.due = view.due, None
        # A redraw that was asked for leaves out nothing: the client has yet to show what it got.
        view.skipped = drawing is Drawing.SKIP and not (view.redraw and view.cursor == self.ring.head)
        if drawing is Drawing.SKIP:
            view.skip(self.ring.head)
        else:
            view.start(self.ring.head)
        return drawing

    def _room(self, view: View) -> int:
        """The most that goes into one record: never all of a small window, or the client
        would grant again only when the sender already stands still."""
        credit = view.credit.spendable(view.cursor)
        return min(credit, DATA_MAX_BYTES, max(credit // 2, _PIECE_BYTES))

    def _left_behind(self, view: View, views: Collection[View]) -> bool:
        """Whether a client that can take more is too far behind to get all of it."""
        if not view.credit.spendable(view.cursor):
            return False  # it has not shown yet what it got before
        if view.cursor < self.ring.tail:
            return True
        head = self.ring.head
        return view.lag(head) > LAG_MAX_BYTES and any(other.lag(head) < LAG_MAX_BYTES // 2 for other in views)

    def may_read(self, views: Collection[View], held_at: int | None, now: float) -> bool:
        """Whether anybody can take more, or nobody is there to hold the program up.

        `held_at` is where the output was when a client vanished that is waited for.
        """
        head = self.ring.head
        waiting = [view for view in views if view.paces]
        if not waiting:
            return held_at is None or head - held_at < HELD_BYTES
        if any(v.credit.limit > head and v.lag(head) < LAG_MAX_BYTES for v in waiting):
            return True
        for view in waiting:
            if view.credit.limit <= head:
                view.blocked_at = now
        return False
