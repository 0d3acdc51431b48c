"""What the parts of a session share: its PTY, the model of its screen, its decisions, and the one lock."""

from __future__ import annotations

import threading
import time

from cmdop.agent.viewer import Viewer
from cmdop.ptyhost.interface import Pty, PtyClosed
from cmdop.screen.interface import ScreenModel
from cmdop.session.core import Changes, SessionCore
from cmdop.session.keyboard import Typist
from cmdop.winsize import Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Answers, Ended


class Workings:
    """Methods of which it is said that the lock is held do what belongs together under it."""

    def __init__(self, pty: Pty, screen: ScreenModel, core: SessionCore[Viewer]) -> None:
        self.pty, self.screen, self.core = pty, screen, core
        # Guards everything here. Never held while sending or while a callback runs.
        self.lock = threading.Lock()
        self.typed = threading.Condition(self.lock)
        """Told when the PTY took what a call wants to have typed, or never will."""
        self.end: Ended | None = None
        self.used_at = time.monotonic()
        """When something was typed or put out."""
        self._machine = Typist("", "")
        """Types what the model answers to the program's questions."""
        self._unfed: list[bytes] = []
        """Output that the clients may have already, and the model not yet."""

    # -- output --------------------------------------------------------------------------

    def take(self, data: bytes, flushed: bool, now: float) -> list[Viewer]:
        """New output, and whether the kernel threw more of it away; for whom there may be
        something now. The lock is held."""
        self.used_at = now
        if data:
            self.core.output.ring.append(data)
            self._unfed.append(data)
        return self.core.flushed(now) if flushed else list(self.core.members.values())

    def feed_screen(self) -> None:
        """Let the model see what came. The lock is held."""
        unfed, self._unfed = self._unfed, []
        for data in unfed:
            self.screen.feed(data)

    def answer(self, now: float) -> list[tuple[Viewer, int]]:
        """Type what the model answers; whom to acknowledge. Without the lock: the model may
        take its time."""
        answers = self.screen.answers()
        with self.lock:
            if answers:
                self.core.keyboard.answer(self._machine, answers, now)
            return self.write_keys(now) if self.core.keyboard.next_bytes else []

    # -- input -----------------------------------------------------------------------------

    def write_keys(self, now: float) -> list[tuple[Viewer, int]]:
        """Give the PTY what it takes now; whom to acknowledge up to where. The lock is held."""
        keyboard, acks = self.core.keyboard, []
        if self.end is not None:
            keyboard.clear()
        while data := keyboard.next_bytes:
            try:
                taken = self.pty.write(data)
            except PtyClosed:
                keyboard.clear()
                break
            ack = keyboard.took(taken, now)
            if ack is not None and (viewer := self.core.members.get(ack[0].client_id)) is not None:
                acks.append((viewer, ack[1]))
            if taken < len(data):
                break
        self.used_at = now
        self.typed.notify_all()
        return acks

    # -- what changes when clients come, go, type and resize -----------------------------------

    def apply(self, changes: Changes, introduced: Viewer | None = None) -> None:
        """Give the PTY and its model their size, and say who answers questions. The lock is held."""
        if changes.size is not None:
            self.resize(changes.size)
        if changes.answered_before is None:
            return
        self.feed_screen()  # what came before is asked of who answered before
        answerer, head = self.core.answerer, self.core.output.ring.head
        for client_id in (changes.answered_before, answerer):
            viewer = self.core.members.get(client_id)
            if viewer is not None and viewer is not introduced:
                viewer.events.append(Answers(head, client_id == answerer))
        self.screen.answer(not answerer)

    def resize(self, winsize: Winsize) -> None:
        size = winsize.clamped()
        self.pty.resize(size)
        self.feed_screen()
        self.screen.resize(size)


def acknowledge(acks: list[tuple[Viewer, int]]) -> None:
    """Tell clients up to where the PTY took what they typed. Without the lock, and without `pumping`:
    one that is just being let in, back on another connection, is to be told that first."""
    for viewer, offset in acks:
        with viewer.pumping:
            viewer.stream.send_record(RecordKind.ACK, offset, b"")
