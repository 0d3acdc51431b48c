"""One session: a program in its PTY, the model of its screen, and the clients that watch.

What is decided is decided in session/core.py; agent/workings.py has the PTY and the lock,
agent/pump.py sends the output, agent/called.py serves who is not attached.

Threads. `pty->ring` belongs to the session: it blocks in the PTY's wait, is woken by
output, by room for input, by the child's end and by `Pty.wake`, and carries new output
straight on to the clients. The uplink's reader brings input, credit and sizes; the
uplink's writer calls `pump` when its queue has drained. Whoever makes progress possible
makes the progress, so no byte waits for another thread to wake up.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from cmdop.agent.called import Called, Opened
from cmdop.agent.pump import Pump
from cmdop.agent.viewer import Entry, Viewer
from cmdop.agent.workings import Workings, acknowledge
from cmdop.errors import SessionGone
from cmdop.limits import HANGUP_TO_KILL_SECONDS, HOLD_SECONDS
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, PtyRead
from cmdop.screen.interface import ScreenModel
from cmdop.session.core import Held, SessionCore
from cmdop.winsize import Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Answers, Detached, Ended, PeerJoined, PeerLeft, Ready

_LOG = logging.getLogger("cmdop.agent")


class ShellOver(Exception):
    """The session ended just when somebody wanted to join it."""


class Shell(Called):
    """A session that runs. `ended` is called once when it is over, and `stalls` while somebody
    waits for the rest of another one's paste: both on its own thread."""

    def __init__(
        self,
        opened: Opened,
        pty: Pty,
        screen: ScreenModel,
        ended: Callable[[Shell], None],
        stalls: Callable[[], None],
        kept: SessionCore[Viewer] | None = None,
    ) -> None:
        """`kept` is that of a session that goes on in another process (agent/keeping.py)."""
        core = kept or SessionCore[Viewer](time.monotonic(), opened.kept_seconds)
        core.winsize = core.winsize or opened.winsize
        super().__init__(opened, Workings(pty, screen, core))
        self._ended_callback, self._stalls_callback = ended, stalls
        self._pump = Pump(self._work, self.detach)
        self.pump = self._pump.pump
        self._ending = False
        self._freezing = False
        screen.answer(opened.alone or kept is not None)
        if kept is None and not opened.alone:  # it waits for who it was opened for
            core.held = Held(0, time.monotonic() + HOLD_SECONDS)
        self._thread = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=f"pty->ring {self.opened.session_id[:8]}", daemon=True)
        thread.start()
        return thread

    # -- clients -------------------------------------------------------------------------

    def attach(self, viewer: Viewer, entry: Entry) -> Ready:
        """Let a client watch from now on; what to tell it.

        Its replay is set up at the same moment, so that there is no gap and no overlap.
        The caller holds `viewer.pumping` until the client was told. Whoever opened the
        session, or vanished from it, may come when it is over already, and gets what there
        was. Raises ShellOver or SessionGone for others then, SessionRefused or TakenOver when it
        may not come.
        """
        with self._work.lock:
            self._check_over(viewer, entry)
            older, changes = self._work.core.attach(viewer, entry.created, entry.resume, entry.drawn, time.monotonic())
            viewer.history = entry.history and viewer.view.due is not None
            self._introduce(viewer, older)
            self._work.apply(changes, viewer)
            self._pump.set_up_replay(viewer)
            if not (entry.created or entry.drawn or entry.resume):
                viewer.replay.append((RecordKind.REPLAY, viewer.view.cursor, b""))  # that is all of it
            sent_away = self._take_over(viewer) if entry.takeover else []
            ready = self._ready(viewer, entry.created)
        if older is not None:  # the same client on a new connection (protocol.md §8.5)
            older.stream.finish()
        for other in sent_away:
            other.stream.send_control(Detached("taken-over", viewer.operator))
            other.stream.finish()
        self._work.pty.wake()
        return ready

    def show(self) -> None:
        """Send every client what there is for it: once a new one was told that it is in."""
        self._pump.pump_all(self.clients)
        acknowledge(self._work.answer(time.monotonic()))  # to what was asked while nobody was there
        with self._work.lock:
            stuck = bool(self._work.core.keyboard.next_bytes)
        if stuck:
            self._work.pty.wake()

    def _check_over(self, viewer: Viewer, entry: Entry) -> None:
        """Raises ShellOver or SessionGone for who may not come to a session that is over."""
        if self._work.end is None or entry.created:
            return
        if entry.resume is None:
            raise ShellOver
        if not self._work.core.knows(viewer.client_id):
            raise SessionGone(session=self.opened.session_id[:8], what="")

    def _take_over(self, viewer: Viewer) -> list[Viewer]:
        """Nobody else may watch or come back; who is to be told. The lock is held."""
        sent_away, now = self._others(viewer), time.monotonic()
        for other in sent_away:
            other.finished = True
            self._work.apply(self._work.core.send_away(other, viewer.operator, now))
        self._work.core.send_departed_away(viewer.operator)
        return sent_away

    def _ready(self, viewer: Viewer, created: bool) -> Ready:
        return Ready(
            session_id=self.opened.session_id,
            output_offset=viewer.view.cursor,
            input_offset=viewer.typist.typed.taken,
            created=created,
            operator=self.opened.operator,
            notice=self.opened.notice if created else "",
            kept_seconds=self.opened.kept_seconds,
        )

    def _introduce(self, viewer: Viewer, older: Viewer | None) -> None:
        """Tell the client of the others, and them of it. The lock is held."""
        for other in self._others(viewer):
            viewer.events.append(PeerJoined(other.client_id, other.operator, other.role))
            if older is None:
                other.events.append(PeerJoined(viewer.client_id, viewer.operator, viewer.role))
        asked = self._work.core.asked(viewer.client_id, viewer.view.cursor)
        viewer.events += [Answers(offset, mine) for offset, mine in asked]
        if older is not None:
            older.finished = True

    def _others(self, viewer: Viewer) -> list[Viewer]:
        return [other for other in self._work.core.members.copy().values() if other is not viewer]

    def detach(self, viewer: Viewer, left: bool = False) -> None:
        """A client is gone: it `left`, or its connection did and it may come back. Twice is quiet."""
        with self._work.lock:
            removed = self._remove(viewer, left)
        if removed:
            self.show()
            self._work.pty.wake()

    def _remove(self, viewer: Viewer, left: bool) -> bool:
        """Whether it was there still. The lock is held."""
        viewer.finished = True
        if self._work.core.members.get(viewer.client_id) is not viewer:
            return False
        self._work.apply(self._work.core.detach(viewer, time.monotonic(), left))
        for other in self._others(viewer):
            other.events.append(PeerLeft(viewer.client_id, viewer.operator))
        return True

    @property
    def expects_back(self) -> bool:
        """Whether a client that vanished may still come back."""
        with self._work.lock:
            return self._work.core.expects_back

    # -- what clients send -----------------------------------------------------------------

    def type(self, viewer: Viewer, offset: int, data: bytes) -> None:
        """Input of one client. Raises RemoteProtocolError when it breaks its window."""
        now = time.monotonic()
        with self._work.lock:
            waited = bool(self._work.core.keyboard.next_bytes)  # and `pty->ring` waits for room already
            changes = self._work.core.type(viewer, offset, data, now)
            acks = [] if waited else self._work.write_keys(now)
            keyboard = self._work.core.keyboard
            stuck = bool(keyboard.held_entries) or (not waited and keyboard.has_pending)
            self._work.used_at = now
            self._work.apply(changes)
        acknowledge(acks)
        if changes.answered_before is not None:
            self.show()
        if stuck:
            self._work.pty.wake()

    def grant(self, viewer: Viewer, limit: int) -> None:
        """A client has room for more output."""
        with self._work.lock:
            self._work.core.output.granted(viewer.view, limit, time.monotonic())
        self.pump(viewer)

    def resize(self, viewer: Viewer, winsize: Winsize) -> None:
        """A client's window has another size now."""
        with self._work.lock:
            changes = self._work.core.resize(viewer, winsize)
            self._work.apply(changes)
        if changes.answered_before is not None:
            self.show()

    # -- the session's own thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._freezing:
                with self._work.lock:
                    now = time.monotonic()
                    stalls = self._work.core.keyboard.stall_due_in_seconds(now) is not None
                    want_write = bool(self._work.core.keyboard.next_bytes)
                    want_read = self._ending or self._work.core.may_read(now)
                    self._pump.paused = not want_read
                if stalls:
                    self._stalls_callback()
                ready = self._work.pty.wait(want_write=want_write, want_read=want_read)
                if ready.readable:
                    self._take_output(self._work.pty.read())
                if ready.writable:
                    self._write_on()
        except PtyClosed:
            pass
        except Exception:  # noqa: BLE001 - a session whose thread died alone would never end
            _LOG.exception("session %s", self.opened.session_id)
            self._work.pty.kill()
        if not self._freezing:
            self._finish_session()

    def _write_on(self) -> None:
        now = time.monotonic()
        with self._work.lock:
            self._work.core.move_on(now)
            acks = self._work.write_keys(now)
        acknowledge(acks)

    def _take_output(self, read: PtyRead) -> None:
        """New output: the clients first, the model behind, so that no echo waits for it."""
        if not read.data and not read.flushed:
            return
        with self._work.lock:
            now = time.monotonic()
            viewers = self._work.take(read.data, read.flushed, now)
        self._pump.pump_all(viewers)
        with self._work.lock:
            self._work.feed_screen()
        acknowledge(self._work.answer(now))

    def _finish_session(self) -> None:
        exited = self._work.pty.exit_status(HANGUP_TO_KILL_SECONDS) or Exited(status=0)
        with self._work.lock:
            self._work.core.keyboard.clear()
            self._work.end = Ended(exited.status, exited.signal, self._work.core.output.ring.head)
            viewers = list(self._work.core.members.values())
            self._work.typed.notify_all()
        self._work.pty.close()
        self._ended_callback(self)
        self._pump.pump_all(viewers)

    # -- its life -----------------------------------------------------------------------------------------

    def relay_is(self, connected: bool) -> None:
        with self._work.lock:
            self._work.core.grace.relay_is(connected, time.monotonic())

    def due_in_seconds(self) -> tuple[float | None, float | None]:
        """Seconds until nobody has watched for too long, and until `move_on` has something to
        do; None while that does not count."""
        now = time.monotonic()
        with self._work.lock:
            moves = self._work.core.keyboard.stall_due_in_seconds(now), self._work.core.hold_due_in_seconds(now)
            return self._work.core.grace.due_in_seconds(now), min((m for m in moves if m is not None), default=None)

    def move_on(self) -> None:
        """Wait no longer for the rest of a paste, or for a client that vanished."""
        self._write_on()
        self._work.pty.wake()

    def hang_up(self) -> None:
        """End the program: SIGHUP. Its end is noticed by the session's own thread."""
        self._work.pty.hangup()
        self._end_soon()

    def kill(self) -> None:
        """End the program and all its children: SIGKILL."""
        self._work.pty.kill()
        self._end_soon()

    def end(self) -> None:
        """Hang up, then kill; returns when it is over."""
        self.hang_up()
        if not self.join(HANGUP_TO_KILL_SECONDS):
            self.kill()
            self.join(HANGUP_TO_KILL_SECONDS)

    def _end_soon(self) -> None:
        """Read on whatever the clients take: the end comes behind the output."""
        self._ending = True
        self._work.pty.wake()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Give the model back, and who does not leave, when nobody may come any more. Twice is quiet."""
        self._work.screen.close()
        for viewer in self.clients:
            viewer.stream.finish()

    # -- going on in another process (agent/keeping.py) ----------------------------------------------------

    def freeze(self) -> None:
        """Let the session's own thread stop between two steps, so that nothing is half done."""
        self._freezing = True
        self._work.pty.wake()
        self._thread.join()

    def parts(self) -> tuple[Opened, Pty, ScreenModel, SessionCore[Viewer]]:
        """What makes a frozen session, with nothing half done between its parts."""
        with self._work.lock:
            self._work.feed_screen()
        return self.opened, self._work.pty, self._work.screen, self._work.core

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._freezing = False
        self._work.pty.keep()
        self._work.screen.keep()
        if self._work.end is None:
            self._thread = self._start()


def new_session_id() -> str:
    return os.urandom(8).hex()
