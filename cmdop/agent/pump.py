"""A session's output on its way to its clients: who gets what next, drawn where it is due."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from cmdop.agent.viewer import Piece, Undrawn, Viewer
from cmdop.agent.workings import Workings
from cmdop.session.broadcast import Drawing
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES

_LOG = logging.getLogger("cmdop.agent")


class Pump:
    """Sends clients their output, on whichever thread made it possible."""

    def __init__(self, work: Workings, lost: Callable[[Viewer], None]) -> None:
        """`lost` is told of a client that cannot be served, because of a mistake of ours."""
        self._work, self._lost = work, lost
        self.paused = False
        """Whether the PTY is not read for want of credit: a client that got on wakes it."""

    def set_up_replay(self, viewer: Viewer) -> None:
        """Take the screen as of now for a client that is to see it. The lock is held."""
        drawing = viewer.view.due is not None
        step = self._next(viewer) if drawing else None
        viewer.undrawn = step if isinstance(step, Undrawn) else None

    def pump(self, viewer: Viewer) -> None:
        """Send a client what it has credit for, as long as its connection takes it."""
        with viewer.pumping:
            while True:
                congested = viewer.stream.congested
                with self._work.lock:
                    step = self._next_step(viewer, congested)
                if step is None:
                    break
                if isinstance(step, Undrawn):
                    viewer.replay.extend(step.draw())
                else:
                    viewer.stream.send_record(*step)
            self._finish(viewer)
        if self.paused:
            self._work.pty.wake()

    def _next_step(self, viewer: Viewer, congested: bool) -> Piece | Undrawn | None:
        """The next record for a client, or what is to be drawn for it. The lock is held."""
        if viewer.finished:
            return None
        if viewer.events:
            return RecordKind.CONTROL, 0, SESSION_MESSAGES.encode(viewer.events.popleft())
        if congested:
            return None
        if viewer.replay:
            return viewer.replay.popleft()
        undrawn, viewer.undrawn = viewer.undrawn, None
        return undrawn or self._next(viewer)

    def _next(self, viewer: Viewer) -> Piece | Undrawn | None:
        """The next output for a client, or the screen as of now. The lock is held."""
        step = self._work.core.next(viewer, time.monotonic())
        if not isinstance(step, Drawing):
            return None if step is None else (RecordKind.OUTPUT, *step)
        self._work.feed_screen()
        skip = step is Drawing.SKIP
        # An observer's window may have any size, and what scrolled away would lie where it is not.
        fits = not viewer.observer or viewer.winsize == self._work.core.winsize
        history, viewer.history = viewer.history and fits, False
        redraw = not fits or (skip and not history)
        capture = self._work.screen.capture(history, redraw, fits)
        away = b"" if fits or skip else b"\r\n" * viewer.winsize.rows
        return Undrawn(capture, skip, viewer.view.cursor, away)

    def _finish(self, viewer: Viewer) -> None:
        """Tell a client of the end once it has every byte."""
        with self._work.lock:
            end, view = self._work.end, viewer.view
            behind = (
                view.due
                or view.redraw
                or viewer.undrawn
                or viewer.replay
                or view.cursor < self._work.core.output.ring.head
            )
            if end is None or viewer.finished or behind:
                return
            viewer.finished = True
        viewer.stream.end(end)

    def pump_all(self, viewers: Iterable[Viewer]) -> None:
        """Send clients what they get; a mistake on the way costs nobody else anything."""
        for viewer in viewers:
            try:
                self.pump(viewer)
            except Exception:  # noqa: BLE001 - it ends one client and no more
                _LOG.exception("client %s", viewer.client_id)
                self._lost(viewer)
