"""One session: a program in its PTY, the model of its screen, and the clients that watch.

What is decided is decided in session/core.py; here are the PTY, the threads and the lock.

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
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cmdop.agent.viewer import Entry, Piece, Undrawn, Viewer
from cmdop.errors import SessionGone, TimedOut
from cmdop.limits import (
    CALL_DATA_MAX_BYTES,
    DATA_MAX_BYTES,
    GRACE_SECONDS,
    HANGUP_TO_KILL_SECONDS,
    TEXT_MAX_CHARS,
)
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed, PtyRead
from cmdop.screen.interface import ScreenModel
from cmdop.session.broadcast import Drawing
from cmdop.session.core import Changes, SessionCore
from cmdop.session.keyboard import Typist
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.call_messages import ClientRecord, Output, SessionRecord
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import (
    SESSION_MESSAGES,
    Answers,
    Detached,
    Ended,
    PeerJoined,
    PeerLeft,
    Ready,
)

_LOG = logging.getLogger("cmdop.agent")


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


class ShellOver(Exception):
    """The session ended just when somebody wanted to join it."""


class Shell:
    """A session that runs. `ended` is called once, on its own thread, when it is over."""

    def __init__(
        self,
        opened: Opened,
        pty: Pty,
        screen: ScreenModel,
        ended: Callable[[Shell], None],
        core: SessionCore[Viewer] | None = None,
    ) -> None:
        """`core` is that of a session that goes on in another process (agent/keeping.py)."""
        self.opened = opened
        self._pty, self._screen, self._ended_callback = pty, screen, ended
        # Guards everything below. Never held while sending or while a callback runs.
        self._lock = threading.Lock()
        self._typed = threading.Condition(self._lock)
        """Told when the PTY took what a call wants to have typed, or never will."""
        self._core = core or SessionCore[Viewer](time.monotonic(), opened.kept_seconds)
        self._core.winsize = self._core.winsize or opened.winsize
        self._machine = Typist("", "")
        """Types what the model answers to the program's questions."""
        self._unfed: list[bytes] = []
        """Output that the clients may have already, and the model not yet."""
        self._end: Ended | None = None
        self._paused = False
        self._ending = False
        self._freezing = False
        self._used_at = time.monotonic()
        screen.answer(opened.alone or core is not None)
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
        was. Raises ShellOver for others then, SessionRefused when it may not come.
        """
        with self._lock:
            back = entry.resume is not None and self._core.awaits(viewer.client_id)
            if self._end is not None and not entry.created and not back:
                raise ShellOver
            older, changes = self._core.attach(viewer, entry.created, entry.resume, entry.drawn, time.monotonic())
            viewer.history = entry.history
            self._introduce(viewer, older)
            self._apply(changes, viewer)
            self._set_up_replay(viewer)
            sent_away = [other for other in self._others(viewer) if entry.takeover]
            for other in sent_away:
                self._remove(other, left=True)
            ready = self._ready(viewer, entry.created)
        if older is not None:  # the same client on a new connection (protocol.md §8.5)
            older.stream.finish()
        for other in sent_away:
            other.stream.send_control(Detached("taken-over", viewer.operator))
            other.stream.finish()
        self._pump_all(self._others(viewer))
        self._pty.wake()
        return ready

    def _set_up_replay(self, viewer: Viewer) -> None:
        """Take the screen as of now for a client that is to see it. The lock is held."""
        drawing = viewer.view.due is not None
        step = self._next(viewer) if drawing else None
        viewer.undrawn = step if isinstance(step, Undrawn) else None

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
        asked = self._core.asked(viewer.client_id, viewer.view.cursor)
        viewer.events += [Answers(offset, mine) for offset, mine in asked]
        if older is not None:
            older.finished = True

    def _others(self, viewer: Viewer) -> list[Viewer]:
        return [other for other in self._core.members.copy().values() if other is not viewer]

    def detach(self, viewer: Viewer, left: bool = False) -> None:
        """A client is gone: it `left`, or its connection did and it may come back. Twice is quiet."""
        with self._lock:
            self._remove(viewer, left)
        self._pump_all(self._others(viewer))
        self._pty.wake()

    def _remove(self, viewer: Viewer, left: bool) -> None:
        viewer.finished = True
        if self._core.members.get(viewer.client_id) is not viewer:
            return
        self._apply(self._core.detach(viewer, time.monotonic(), left))
        for other in self._others(viewer):
            other.events.append(PeerLeft(viewer.client_id, viewer.operator))

    @property
    def clients(self) -> list[Viewer]:
        with self._lock:
            return list(self._core.members.values())

    @property
    def awaited(self) -> bool:
        """Whether a client that vanished may still come back."""
        with self._lock:
            return self._core.awaited

    # -- what clients send -----------------------------------------------------------------

    def type(self, viewer: Viewer, offset: int, data: bytes) -> None:
        """Input of one client. Raises RemoteProtocolError when it breaks its window."""
        now = time.monotonic()
        with self._lock:
            changes = self._core.type(viewer, offset, data, now)
            acks = self._write_keys(now)
            stuck = bool(self._core.keyboard.next_bytes)
            self._apply(changes)
        self._acknowledge(acks)
        if changes.answered_before is not None:
            self._pump_all(self.clients)
        if stuck:
            self._pty.wake()

    def grant(self, viewer: Viewer, limit: int) -> None:
        """A client has room for more output."""
        with self._lock:
            self._core.output.granted(viewer.view, limit, time.monotonic())
        self.pump(viewer)

    def resize(self, viewer: Viewer, winsize: Winsize) -> None:
        """A client's window has another size now."""
        with self._lock:
            changes = self._core.resize(viewer, winsize)
            self._apply(changes)
        if changes.answered_before is not None:
            self._pump_all(self.clients)

    def _apply(self, changes: Changes, introduced: Viewer | None = None) -> None:
        """Give the PTY and its model their size, and say who answers questions. The lock is held."""
        if changes.size is not None:
            self._resize(changes.size)
        if changes.answered_before is None:
            return
        self._feed_screen()  # what came before is asked of who answered before
        answerer, head = self._core.answerer, self._core.output.ring.head
        for client_id in (changes.answered_before, answerer):
            viewer = self._core.members.get(client_id)
            if viewer is not None and viewer is not introduced:
                viewer.events.append(Answers(head, client_id == answerer))
        self._screen.answer(not answerer)

    def _resize(self, winsize: Winsize) -> None:
        size = winsize.clamped()
        self._pty.resize(size)
        self._feed_screen()
        self._screen.resize(size)

    # -- typing ------------------------------------------------------------------------------------

    def _write_keys(self, now: float) -> list[tuple[Viewer, int]]:
        """Give the PTY what it takes now; whom to acknowledge up to where. The lock is held."""
        keyboard, acks = self._core.keyboard, []
        if self._end is not None:
            keyboard.clear()
        while data := keyboard.next_bytes:
            try:
                taken = self._pty.write(data)
            except PtyClosed:
                keyboard.clear()
                break
            ack = keyboard.took(taken, now)
            if ack is not None and (viewer := self._core.members.get(ack[0].client_id)) is not None:
                acks.append((viewer, ack[1]))
            if taken < len(data):
                break
        self._used_at = now
        self._typed.notify_all()
        return acks

    def _acknowledge(self, acks: list[tuple[Viewer, int]]) -> None:
        for viewer, offset in acks:
            viewer.stream.send_record(RecordKind.ACK, offset, b"")

    # -- output ---------------------------------------------------------------------------------

    def pump(self, viewer: Viewer) -> None:
        """Send a client what it has credit for, as long as its connection takes it."""
        with viewer.pumping:
            while True:
                congested = viewer.stream.congested
                with self._lock:
                    step = self._next_step(viewer, congested)
                if step is None:
                    break
                if isinstance(step, Undrawn):
                    viewer.replay.extend(step.draw())
                else:
                    viewer.stream.send_record(*step)
            done = self._finish(viewer)
        if done:
            viewer.stream.finish()
        if self._paused:
            self._pty.wake()

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
        step = self._core.next(viewer, time.monotonic())
        if not isinstance(step, Drawing):
            return None if step is None else (RecordKind.OUTPUT, *step)
        self._feed_screen()
        skip = step is Drawing.SKIP
        capture = self._screen.capture(history=viewer.history and not skip, redraw=skip)
        return Undrawn(capture, skip, viewer.view.cursor)

    def _finish(self, viewer: Viewer) -> bool:
        """Tell a client of the end once it has every byte; whether it was told now."""
        with self._lock:
            end, view = self._end, viewer.view
            behind = view.due or viewer.undrawn or viewer.replay or view.cursor < self._core.output.ring.head
            if end is None or viewer.finished or behind:
                return False
            viewer.finished = True
        viewer.stream.send_control(end)
        return True

    # -- the session's own thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._freezing:
                with self._lock:
                    now = time.monotonic()
                    want_write = bool(self._core.keyboard.next_bytes)
                    want_read = self._ending or self._core.may_read(now)
                    self._paused = not want_read
                ready = self._pty.wait(want_write=want_write, want_read=want_read)
                if ready.readable:
                    self._take_output(self._pty.read())
                if ready.writable:
                    self._write_on()
        except PtyClosed:
            pass
        except Exception:  # noqa: BLE001 - a session whose thread died alone would never end
            _LOG.exception("session %s", self.opened.session_id)
            self._pty.kill()
        if not self._freezing:
            self._finish_session()

    def _write_on(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._core.move_on(now)
            acks = self._write_keys(now)
        self._acknowledge(acks)

    def _take_output(self, read: PtyRead) -> None:
        """New output: the clients first, the model behind, so that no echo waits for it."""
        if not read.data and not read.flushed:
            return
        with self._lock:
            now = self._used_at = time.monotonic()
            if read.data:
                self._core.output.ring.append(read.data)
                self._unfed.append(read.data)
            if read.flushed:
                self._core.flushed(now)
            viewers = list(self._core.members.values())
        self._pump_all(viewers)
        with self._lock:
            self._feed_screen()
            acks = self._write_keys(now) if self._core.keyboard.next_bytes else []
        self._acknowledge(acks)

    def _feed_screen(self) -> None:
        """Let the model see what came, and answer what it is to answer. The lock is held."""
        unfed, self._unfed = self._unfed, []
        for data in unfed:
            self._screen.feed(data)
        answers = self._screen.answers()
        if answers:
            self._core.keyboard.put(self._machine, answers, time.monotonic())

    def _pump_all(self, viewers: Iterable[Viewer]) -> None:
        """Send clients what they get; a mistake on the way costs nobody else anything."""
        for viewer in viewers:
            try:
                self.pump(viewer)
            except Exception:  # noqa: BLE001 - it ends one client and no more
                _LOG.exception("client %s of session %s", viewer.client_id, self.opened.session_id)
                self.detach(viewer)

    def _finish_session(self) -> None:
        exited = self._pty.exit_status(HANGUP_TO_KILL_SECONDS) or Exited(status=0)
        with self._lock:
            self._core.keyboard.clear()
            self._end = Ended(exited.status, exited.signal, self._core.output.ring.head)
            viewers = list(self._core.members.values())
            self._typed.notify_all()
        self._pty.close()
        self._ended_callback(self)
        self._pump_all(viewers)

    # -- calls of clients that are not attached --------------------------------------------------------

    def type_all(self, data: bytes, timeout_seconds: float) -> None:
        """Type exactly these bytes; returns once the PTY took them.

        Raises TimedOut, with what it did not take withdrawn, or SessionGone.
        """
        typist = Typist("", "")
        now = time.monotonic()
        with self._lock:
            self._core.keyboard.put(typist, data, now)
            self._core.grace.used(now)
            acks = self._write_keys(now)
        self._acknowledge(acks)
        self._pty.wake()
        with self._lock:
            self._typed.wait_for(lambda: typist.typed.taken >= len(data) or self._end is not None, timeout_seconds)
            taken, over = typist.typed.taken, self._end is not None
            self._core.keyboard.withdraw(typist)
        if taken < len(data) and over:
            raise SessionGone(session=self.opened.session_id[:8], what="")
        if taken < len(data):
            raise TimedOut(what=f"the program in session {self.opened.session_id[:8]}", seconds=timeout_seconds)

    def read(self, offset: int, max_bytes: int) -> Output:
        """A part of the output from `offset` on, or from where it is still kept."""
        with self._lock:
            ring = self._core.output.ring
            start = min(max(offset, ring.tail), ring.head)
            data = ring.read(start, min(max_bytes, CALL_DATA_MAX_BYTES))
            self._core.grace.used(time.monotonic())
            return Output(start, data, ring.head, truncated=offset < ring.tail)

    def resize_by_call(self, winsize: Winsize) -> None:
        """Give the PTY a size, until an attached client claims its own."""
        with self._lock:
            self._core.winsize = winsize.clamped()
            self._resize(winsize)
            self._core.grace.used(time.monotonic())

    def signal(self, name: str) -> bool:
        """Send a signal to the foreground process group; whether there was one. Raises UsageError."""
        with self._lock:
            self._core.grace.used(time.monotonic())
        return self._pty.signal(name)

    def record(self) -> SessionRecord:
        """The session for a list."""
        command = self.foreground_command()
        now = time.monotonic()
        with self._lock:
            rows, cols = self._core.winsize or self.opened.winsize
            clients = [
                ClientRecord(m.client_id, m.operator, m.role, *m.winsize, since=m.since)
                for m in self._core.members.values()
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
                max(0.0, now - self._used_at),
                None if clients else self._core.grace.left_seconds(now),
                self._core.output.ring.head,
            )

    # -- its life -----------------------------------------------------------------------------------------

    def relay_is(self, connected: bool) -> None:
        with self._lock:
            self._core.grace.relay_is(connected, time.monotonic())

    def due_in_seconds(self) -> tuple[float | None, float | None]:
        """Seconds until nobody has watched for too long, and until `move_on` has something to
        do; None while that does not count."""
        now = time.monotonic()
        with self._lock:
            moves = self._core.keyboard.stall_due_in_seconds(now), self._core.hold_due_in_seconds(now)
            return self._core.grace.due_in_seconds(now), min((m for m in moves if m is not None), default=None)

    def move_on(self) -> None:
        """Wait no longer for the rest of a paste, or for a client that vanished."""
        self._write_on()
        self._pty.wake()

    def hang_up(self) -> None:
        """End the program: SIGHUP. Its end is noticed by the session's own thread."""
        self._pty.hangup()
        self._end_soon()

    def kill(self) -> None:
        """End the program and all its children: SIGKILL."""
        self._pty.kill()
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
        self._pty.wake()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Give the model back, when nobody may come any more. Twice is quiet."""
        self._screen.close()

    def foreground_command(self) -> str:
        return self._pty.foreground_command()

    # -- going on in another process (agent/keeping.py) ----------------------------------------------------

    def freeze(self) -> None:
        """Let the session's own thread stop between two steps, so that nothing is half done."""
        self._freezing = True
        self._pty.wake()
        self._thread.join()

    def parts(self) -> tuple[Opened, Pty, ScreenModel, SessionCore[Viewer]]:
        """What makes a frozen session, with nothing half done between its parts."""
        with self._lock:
            self._feed_screen()
        return self.opened, self._pty, self._screen, self._core

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._freezing = False
        self._pty.keep()
        self._screen.keep()
        if self._end is None:
            self._thread = self._start()


def new_session_id() -> str:
    return os.urandom(8).hex()
