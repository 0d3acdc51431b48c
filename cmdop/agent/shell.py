"""One session: a program in its PTY, the ring behind it, and the clients that watch.

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
from dataclasses import dataclass

from cmdop.agent.keyboard import Keyboard
from cmdop.agent.viewer import Viewer
from cmdop.errors import SessionRefused
from cmdop.limits import (
    CLIENTS_PER_SESSION_MAX,
    DATA_MAX_BYTES,
    GRACE_SECONDS,
    HANGUP_TO_KILL_SECONDS,
    RING_BYTES,
)
from cmdop.ptyhost.interface import Exited, Pty, PtyClosed
from cmdop.screen.filtered import unfinished, without_questions
from cmdop.session.arbitration import SizeOwner
from cmdop.session.lifecycle import GraceClock
from cmdop.session.ring import RingBuffer
from cmdop.winsize import Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Ended, Ready

_LOG = logging.getLogger("cmdop.agent")

LAG_MAX_BYTES = RING_BYTES // 2
"""The PTY is not read while every client with credit is further behind than this."""


@dataclass(frozen=True)
class Opened:
    """Who opened a session and what was said about it."""

    session_id: str
    operator: str
    notice: str = ""


class ShellOver(Exception):
    """The session ended just when somebody wanted to join it."""


class Shell:
    """A session that runs. `ended` is called once, on its own thread, when it is over."""

    def __init__(self, opened: Opened, pty: Pty, ended: Callable[[Shell], None]) -> None:
        self.opened = opened
        self._pty, self._ended_callback = pty, ended
        # Guards everything below. Never held while sending or while a callback runs.
        self._lock = threading.Lock()
        self._ring = RingBuffer()
        self._viewers: dict[str, Viewer] = {}
        self._keyboard = Keyboard(pty)
        self._sizes = SizeOwner()
        self._grace = GraceClock(time.monotonic(), GRACE_SECONDS)
        self._end: Ended | None = None
        self._paused = False
        self._ending = False
        self.started_at = time.time()
        self._thread = threading.Thread(target=self._run, name=f"pty->ring {opened.session_id[:8]}", daemon=True)
        self._thread.start()

    # -- clients -------------------------------------------------------------------------

    def attach(self, viewer: Viewer, created: bool) -> Ready:
        """Let a client watch from now on; what to tell it.

        Its replay is set up at the same moment, so that there is no gap and no overlap.
        The caller holds `viewer.pumping` until the client was told. Whoever opened the
        session may come when it is over already, and gets what there was. Raises
        ShellOver for others then, SessionRefused when the session is full.
        """
        with self._lock:
            if self._end is not None and not created:
                raise ShellOver
            older = self._viewers.get(viewer.client_id)
            if older is not None and (older.operator, older.observer) != (viewer.operator, viewer.observer):
                raise SessionRefused(host="the machine", reason="somebody else is attached under this client's id")
            if older is not None:
                older.finished = True
            elif len(self._viewers) >= CLIENTS_PER_SESSION_MAX:
                raise SessionRefused(host="the machine", reason=f"{CLIENTS_PER_SESSION_MAX} clients are attached to it")
            self._viewers[viewer.client_id] = viewer
            self._grace.clients_are(len(self._viewers), time.monotonic())
            if created:  # what it wrote meanwhile is live: its questions are to be answered
                viewer.cursor = self._ring.tail
            else:
                self._set_up_replay(viewer)
            viewer.credit.grant(viewer.cursor + viewer.window_bytes)
            size = None if viewer.observer else self._sizes.claim(viewer.client_id, viewer.winsize)
            ready = Ready(
                session_id=self.opened.session_id,
                output_offset=viewer.cursor,
                input_offset=viewer.typed.taken,
                created=created,
                operator=self.opened.operator,
                notice=self.opened.notice if created else "",
            )
        if older is not None:  # the same client on a new connection (protocol.md §8.4)
            older.stream.finish()
        self._apply_size(size)
        self._pty.wake()
        return ready

    def _set_up_replay(self, viewer: Viewer) -> None:
        """Let a client's output go on at the head, what came before to be drawn. The lock is held."""
        kept = self._ring.read(self._ring.tail, RING_BYTES)
        torn = unfinished(kept)
        viewer.cursor = self._ring.head - torn
        viewer.undrawn = kept[: len(kept) - torn], self._ring.tail == 0

    def _draw(self, viewer: Viewer) -> None:
        """Make the replay of what was set up: it takes its time, so nobody waits for the lock.

        `viewer.pumping` is held, so that nothing of it is sent before.
        """
        if viewer.undrawn is None:
            return
        (kept, from_start), viewer.undrawn = viewer.undrawn, None
        shown = without_questions(kept, from_start)
        # One at least, though it be empty: it says where the output goes on.
        viewer.replay.extend(shown[at : at + DATA_MAX_BYTES] for at in range(0, len(shown) or 1, DATA_MAX_BYTES))

    def detach(self, viewer: Viewer) -> None:
        """A client is gone, for whatever reason. Twice is quiet."""
        with self._lock:
            viewer.finished = True
            if self._viewers.get(viewer.client_id) is not viewer:
                return
            del self._viewers[viewer.client_id]
            size = self._sizes.leave(viewer.client_id)
            self._grace.clients_are(len(self._viewers), time.monotonic())
        self._apply_size(size)
        self._pty.wake()

    @property
    def clients(self) -> list[Viewer]:
        with self._lock:
            return list(self._viewers.values())

    # -- what clients send -----------------------------------------------------------------

    def type(self, viewer: Viewer, offset: int, data: bytes) -> None:
        """Input of one client. Raises RemoteProtocolError when it breaks its window."""
        with self._lock:
            fresh = viewer.typed.receive(offset, data)
            size = self._sizes.claim(viewer.client_id)
            if fresh and self._end is None:
                self._keyboard.put(viewer, fresh)
            acks = self._keyboard.write()
            stuck = self._keyboard.stuck
        self._apply_size(size)
        self._acknowledge(acks)
        if stuck:
            self._pty.wake()

    def grant(self, viewer: Viewer, limit: int) -> None:
        """A client has room for more output."""
        with self._lock:
            viewer.credit.grant(limit)
        self.pump(viewer)

    def resize(self, viewer: Viewer, winsize: Winsize) -> None:
        """A client's window has another size now."""
        with self._lock:
            viewer.winsize = winsize
            size = None if viewer.observer else self._sizes.claim(viewer.client_id, winsize)
        self._apply_size(size)

    def _apply_size(self, size: Winsize | None) -> None:
        if size is not None:
            self._pty.resize(size.clamped())

    def _acknowledge(self, acks: list[tuple[Viewer, int]]) -> None:
        for viewer, offset in acks:
            viewer.stream.send_record(RecordKind.ACK, offset, b"")

    # -- output ---------------------------------------------------------------------------------

    def pump(self, viewer: Viewer) -> None:
        """Send a client what it has credit for, as long as its connection takes it."""
        with viewer.pumping:
            while not viewer.stream.congested:
                self._draw(viewer)
                with self._lock:
                    piece = self._next_piece(viewer)
                if piece is None and viewer.undrawn is None:
                    break
                if piece is None:
                    continue
                viewer.stream.send_record(*piece)
            done = self._finish(viewer)
        if done:
            viewer.stream.finish()
        if self._paused:
            self._pty.wake()

    def _next_piece(self, viewer: Viewer) -> tuple[int, int, bytes] | None:
        """Kind, offset and payload of the next record for a client. The lock is held."""
        if viewer.finished:
            return None
        if viewer.replay:
            return RecordKind.REPLAY, viewer.cursor, viewer.replay.popleft()
        if viewer.cursor < self._ring.tail:
            if not viewer.credit.spendable(viewer.cursor):
                return None  # it has not shown yet what it got before
            # It was too slow for the ring: it goes on from what is shown now (protocol.md §8.2).
            self._set_up_replay(viewer)
            return None
        room = min(viewer.credit.spendable(viewer.cursor), DATA_MAX_BYTES)
        offset = viewer.cursor
        data = self._ring.read(offset, room)
        if not data:
            return None
        viewer.cursor += len(data)
        return RecordKind.OUTPUT, offset, data

    def _finish(self, viewer: Viewer) -> bool:
        """Tell a client of the end once it has every byte; whether it was told now."""
        with self._lock:
            end = self._end
            if end is None or viewer.finished or viewer.undrawn or viewer.replay or viewer.cursor < self._ring.head:
                return False
            viewer.finished = True
        viewer.stream.send_control(end)
        return True

    # -- the session's own thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    want_write, want_read = self._keyboard.stuck, self._may_read()
                    self._paused = not want_read
                ready = self._pty.wait(want_write=want_write, want_read=want_read)
                if ready.readable:
                    self._take_output(self._pty.read().data)
                if ready.writable:
                    with self._lock:
                        acks = self._keyboard.write()
                    self._acknowledge(acks)
        except PtyClosed:
            pass
        except Exception:  # noqa: BLE001 - a session whose thread died alone would never end
            _LOG.exception("session %s", self.opened.session_id)
            self._pty.kill()
        self._finish_session()

    def _may_read(self) -> bool:
        """Whether anybody can take more, or nobody is there to hold it up. The lock is held."""
        if not self._viewers or self._ending:
            return True
        head = self._ring.head
        return any(v.credit.limit > head and head - v.cursor < LAG_MAX_BYTES for v in self._viewers.values())

    def _take_output(self, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            self._ring.append(data)
            viewers = list(self._viewers.values())
        for viewer in viewers:
            self._pump_alone(viewer)

    def _pump_alone(self, viewer: Viewer) -> None:
        """Send a client its output; a mistake on the way costs nobody else anything."""
        try:
            self.pump(viewer)
        except Exception:  # noqa: BLE001 - it ends one client and no more
            _LOG.exception("client %s of session %s", viewer.client_id, self.opened.session_id)
            self.detach(viewer)

    def _finish_session(self) -> None:
        exited = self._pty.exit_status(HANGUP_TO_KILL_SECONDS) or Exited(status=0)
        with self._lock:
            self._keyboard.clear()
            self._end = Ended(exited.status, exited.signal, self._ring.head)
            viewers = list(self._viewers.values())
        self._pty.close()
        self._ended_callback(self)
        for viewer in viewers:
            self._pump_alone(viewer)

    # -- its life -----------------------------------------------------------------------------------------

    def relay_is(self, connected: bool) -> None:
        with self._lock:
            self._grace.relay_is(connected, time.monotonic())

    def grace_due_in_seconds(self) -> float | None:
        """Seconds until nobody has watched for too long; None while it does not count."""
        with self._lock:
            return self._grace.due_in_seconds(time.monotonic())

    def hang_up(self) -> None:
        """End the program: SIGHUP. Its end is noticed by the session's own thread."""
        self._pty.hangup()
        self._end_soon()

    def kill(self) -> None:
        """End the program and all its children: SIGKILL."""
        self._pty.kill()
        self._end_soon()

    def _end_soon(self) -> None:
        """Read on whatever the clients take: the end comes behind the output."""
        self._ending = True
        self._pty.wake()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def foreground_command(self) -> str:
        return self._pty.foreground_command()


def new_session_id() -> str:
    return os.urandom(8).hex()
