"""What calls do with a session: clients that are not attached to it (docs/protocol.md §7.3)."""

from __future__ import annotations

import time
from typing import NamedTuple

from cmdop.agent.viewer import Viewer
from cmdop.agent.workings import Workings, acknowledge
from cmdop.errors import SessionGone, TimedOut
from cmdop.limits import CALL_DATA_MAX_BYTES, GRACE_SECONDS, TEXT_MAX_CHARS
from cmdop.session.keyboard import Typist
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.call_messages import ClientRecord, Output, SessionRecord


class Opened(NamedTuple):
    """Who opened a session, when (Unix time), and what was said about it.

    `alone` is whether nobody attaches at once, and the model has to answer questions.
    """

    session_id: str
    operator: str
    notice: str = ""
    name: str = ""
    kept_seconds: float = GRACE_SECONDS
    winsize: Winsize = DEFAULT_WINSIZE
    alone: bool = False
    at: float = 0.0


class Called:
    """A session, as calls see it. Each call counts as a use of it, so that it lives on."""

    def __init__(self, opened: Opened, work: Workings) -> None:
        self.opened, self._work = opened, work

    @property
    def clients(self) -> list[Viewer]:
        with self._work.lock:
            return list(self._work.core.members.values())

    def foreground_command(self) -> str:
        return self._work.pty.foreground_command()

    def type_all(self, data: bytes, timeout_seconds: float) -> None:
        """Type exactly these bytes; returns once the PTY took them.

        Raises TimedOut, with what it did not take withdrawn, or SessionGone.
        """
        typist = Typist("", "")
        now = time.monotonic()
        with self._work.lock:
            self._work.core.keyboard.put(typist, data, now)
            self._work.core.grace.used(now)
            acks = self._work.write_keys(now)
        acknowledge(acks)
        self._work.pty.wake()
        with self._work.lock:
            self._work.typed.wait_for(
                lambda: typist.typed.taken >= len(data) or self._work.end is not None, timeout_seconds
            )
            taken, over = typist.typed.taken, self._work.end is not None
            self._work.core.keyboard.withdraw(typist)
        if taken < len(data) and over:
            raise SessionGone(session=self.opened.session_id[:8], what="")
        if taken < len(data):
            raise TimedOut(what=f"the program in session {self.opened.session_id[:8]}", seconds=timeout_seconds)

    def read(self, offset: int, max_bytes: int) -> Output:
        """A part of the output from `offset` on, or from where it is still kept."""
        with self._work.lock:
            ring = self._work.core.output.ring
            start = min(max(offset, ring.tail), ring.head)
            data = ring.read(start, min(max_bytes, CALL_DATA_MAX_BYTES))
            self._work.core.grace.used(time.monotonic())
            return Output(start, data, ring.head, truncated=offset < ring.tail)

    def resize_by_call(self, winsize: Winsize) -> None:
        """Give the PTY a size, until an attached client claims its own."""
        with self._work.lock:
            self._work.core.winsize = winsize.clamped()
            self._work.resize(winsize)
            self._work.core.grace.used(time.monotonic())

    def signal(self, name: str) -> bool:
        """Send a signal to the foreground process group; whether there was one. Raises UsageError."""
        with self._work.lock:
            self._work.core.grace.used(time.monotonic())
        return self._work.pty.signal(name)

    def record(self) -> SessionRecord:
        """The session for a list."""
        command = self.foreground_command()
        now = time.monotonic()
        with self._work.lock:
            rows, cols = self._work.core.winsize or self.opened.winsize
            clients = [
                ClientRecord(m.client_id, m.operator, m.role, *m.winsize, since=m.since)
                for m in self._work.core.members.values()
            ]
            return SessionRecord(
                self.opened.session_id,
                self.opened.operator,
                self.opened.at,
                rows,
                cols,
                self.opened.name,
                tuple(clients),
                command[:TEXT_MAX_CHARS],
                max(0.0, now - self._work.used_at),
                None if clients else self._work.core.grace.left_seconds(now),
                self._work.core.output.ring.head,
            )
