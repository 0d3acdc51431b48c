"""What a client types, once and in order: its sending half and the agent's receiving half.

Each client numbers its bytes from 0 for as long as it lives. What was sent is kept
until the agent has acknowledged it, so that it can be sent again on a new connection;
the agent drops what it has seen before.
"""

from __future__ import annotations

from cmdop.errors import RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES, INPUT_WINDOW_BYTES


class TypedOut:
    """The client's half: bytes not yet sent, and bytes sent but not yet acknowledged."""

    def __init__(self, window_bytes: int = INPUT_WINDOW_BYTES) -> None:
        self._window_bytes = window_bytes
        self._kept = bytearray()
        self._acked = 0
        self._sent = 0
        self._ever_sent = 0
        """As far as any connection got: an ack may speak of an earlier one."""

    @property
    def end(self) -> int:
        """The offset of the next byte that will be typed."""
        return self._acked + len(self._kept)

    @property
    def acked(self) -> int:
        """The offset below which the agent acknowledged everything."""
        return self._acked

    @property
    def waiting_bytes(self) -> int:
        """Typed, and for want of window not yet sent."""
        return self.end - self._sent

    def type(self, data: bytes) -> None:
        self._kept += data

    def next_to_send(self) -> tuple[int, bytes] | None:
        """Offset and bytes of the next record, at most `DATA_MAX_BYTES`; None for now.

        What is returned counts as sent.
        """
        window_left = self._acked + self._window_bytes - self._sent
        size = min(self.waiting_bytes, window_left, DATA_MAX_BYTES)
        if size <= 0:
            return None
        offset = self._sent
        start = offset - self._acked
        self._sent += size
        self._ever_sent = max(self._ever_sent, self._sent)
        return offset, bytes(self._kept[start : start + size])

    def ack(self, offset: int) -> None:
        """Everything below `offset` is with the PTY.

        Raises RemoteProtocolError for bytes that were never sent; an old one is ignored.
        """
        if offset > self._ever_sent:
            raise RemoteProtocolError(reason=f"an ack for {offset}, and {self._ever_sent} were sent")
        if offset > self._acked:
            del self._kept[: offset - self._acked]
            self._acked = offset
            self._sent = max(self._sent, offset)

    def resume_at(self, offset: int) -> None:
        """A new connection: the agent has everything below `offset`; send the rest again.

        Raises RemoteProtocolError when that is not a place within what is kept.
        """
        if not self._acked <= offset <= self._ever_sent:
            raise RemoteProtocolError(reason=f"input resumed at {offset}, not in {self._acked}..{self._ever_sent}")
        self.ack(offset)
        self._sent = offset


class TypedIn:
    """The agent's half, one for each client: what is new, and what to acknowledge."""

    def __init__(self, window_bytes: int = INPUT_WINDOW_BYTES) -> None:
        self._window_bytes = window_bytes
        self.received = 0
        """Offset of the next byte that is new."""
        self.taken = 0
        """Offset below which the PTY took everything; where a new connection resumes.

        Not at `received`: the client counts its window from where it resumes, and would
        then have more under way than `receive` allows. What it sends twice is dropped.
        """
        self._acked = 0

    def start(self, offset: int) -> None:
        """A client that is not known any more goes on at `offset`."""
        self.received = self.taken = self._acked = offset

    def receive(self, offset: int, data: bytes) -> bytes:
        """The part of these bytes that was not seen before.

        Raises RemoteProtocolError for a gap, or for more than the window allows.
        """
        if offset > self.received:
            raise RemoteProtocolError(reason=f"input at {offset}, and {self.received} was next")
        fresh = data[self.received - offset :] if self.received > offset else data
        if self.received + len(fresh) - self.taken > self._window_bytes:
            raise RemoteProtocolError(reason="more input than its window allows")
        self.received += len(fresh)
        return fresh

    def took(self, size: int) -> int | None:
        """The PTY took `size` bytes; the offset to acknowledge, or None while it can wait.

        An ack frees the client's copy and opens its window; on a new connection the
        exact place is told anyway, so a keystroke needs none of its own.
        """
        self.taken += size
        if self.taken - self._acked < self._window_bytes // 4:
            return None
        self._acked = self.taken
        return self.taken
