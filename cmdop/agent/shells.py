"""The machine's sessions: opened, joined, and ended when nobody wants them any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cmdop.agent.called import Opened
from cmdop.agent.keeping import keep_shell, shell_from
from cmdop.agent.shell import Shell, new_session_id
from cmdop.agent.viewer import Viewer
from cmdop.errors import AmbiguousSession, SessionGone, SessionRefused, ShellLost
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, GRACE_SECONDS, GRAVES_MAX, HANGUP_TO_KILL_SECONDS, SESSIONS_MAX
from cmdop.ptyhost.interface import Pty
from cmdop.screen.factory import open_screen
from cmdop.screen.interface import ScreenModel
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import CreateSession, SessionRecord
from cmdop.wire.relay_messages import SessionSummary
from cmdop.wire.session_messages import Register

_LOG = logging.getLogger("cmdop.agent")

OpenPty = Callable[[Register | CreateSession, str], tuple[Pty, str]]
"""Starts a login shell for what a client asked and a session id; the PTY and a note."""
OpenScreen = Callable[[Winsize], ScreenModel]


@dataclass
class _Over:
    """A session that is over: what it was running, and for a while itself, for clients that
    vanished from it and may come back for the rest."""

    running: str
    shell: Shell | None
    forget_at: float


class Shells:
    """The table of sessions. Its thread `grace` ends those that nobody watches.

    The thread blocks until the next session is due, and is woken by every change.
    """

    def __init__(self, open_pty: OpenPty, changed: Callable[[], None], open_screen: OpenScreen = open_screen) -> None:
        self._open_pty, self._changed, self._open_screen = open_pty, changed, open_screen
        # Guards all below; told of every change. Opening a PTY happens outside.
        self._change = threading.Condition()
        self._shells: dict[str, Shell] = {}
        self._kill_at: dict[str, float] = {}
        self._running: dict[str, str] = {}
        """What was in the foreground of those that are being ended."""
        self._over: dict[str, _Over] = {}
        self._opening = 0
        self._refusing = ""
        """Why no session is opened now; empty while it is."""
        self._closed = False
        self._connected = False
        self._thread = threading.Thread(target=self._reap, name="grace", daemon=True)
        self._thread.start()

    # -- opening and finding ---------------------------------------------------------------

    def join_or_open(self, wanted: Register, operator: str) -> tuple[Shell, bool]:
        """The session that a client asked for, and whether it was opened for it.

        Raises SessionGone, AmbiguousSession, SessionRefused, ShellUnusable or CommandUnusable.
        """
        if wanted.resume:
            return self.resumed(wanted.session), False
        if not wanted.new:
            shell = self.find(wanted.session)
            if shell is not None:
                return shell, False
        opened = Opened(new_session_id(), operator, kept_seconds=GRACE_SECONDS, winsize=_size(wanted))
        return self._open(wanted, opened), True

    def create(self, wanted: CreateSession, operator: str) -> Shell:
        """A session that nobody is attached to. Raises SessionRefused, ShellUnusable or CommandUnusable."""
        opened = Opened(
            new_session_id(),
            operator,
            name=wanted.name,
            kept_seconds=wanted.idle_seconds,
            winsize=_size(wanted),
            alone=True,
        )
        return self._open(wanted, opened)

    def _open(self, wanted: Register | CreateSession, opened: Opened) -> Shell:
        with self._change:
            if self._refusing:
                raise SessionRefused(host="the machine", reason=self._refusing)
            if len(self._shells) + self._opening >= SESSIONS_MAX:
                raise SessionRefused(host="the machine", reason=f"it has {SESSIONS_MAX} sessions already")
            self._opening += 1
        try:
            pty, notice = self._open_pty(wanted, opened.session_id)
        except BaseException:
            with self._change:
                self._opening -= 1
                self._change.notify_all()
            raise
        return self._add(opened._replace(notice=notice, at=time.time()), pty)

    def _add(self, opened: Opened, pty: Pty) -> Shell:
        with self._change:
            self._opening -= 1
            self._change.notify_all()
            if not self._closed:
                shell = Shell(opened, pty, self._open_screen(opened.winsize), self._ended, self._stalls)
                self._keep(shell)
                return shell
        pty.close()  # nobody would end the session any more
        raise SessionRefused(host="the machine", reason="its agent is stopping")

    def _keep(self, shell: Shell) -> None:
        """Take a session into the table. The lock is held."""
        self._shells[shell.opened.session_id] = shell
        shell.relay_is(self._connected)
        self._change.notify_all()

    def find(self, wanted: str) -> Shell | None:
        """The live session of that id or unique prefix; the newest one, if any, when none is named.

        Raises SessionGone or AmbiguousSession.
        """
        with self._change:
            if not wanted:
                live = [shell for name, shell in self._shells.items() if name not in self._kill_at]
                return live[-1] if live else None
            found = [shell for name, shell in self._shells.items() if name.startswith(wanted)]
            if len(found) > 1:
                raise AmbiguousSession(query=wanted)
            if not found:
                raise self._gone(wanted)
            return found[0]

    def resumed(self, session_id: str) -> Shell:
        """The session of a client that comes back, though it may be over. Raises SessionGone."""
        with self._change:
            shell = self._shells.get(session_id)
            over = self._over.get(session_id)
            if shell is None and over is not None:
                shell = over.shell
            if shell is None:
                raise self._gone(session_id)
            return shell

    def _gone(self, wanted: str) -> SessionGone:
        running = next((over.running for name, over in self._over.items() if name.startswith(wanted)), "")
        return SessionGone(session=wanted[:8], what=f"; it was running: {running}" if running else "")

    # -- what changes ------------------------------------------------------------------------

    def detach(self, shell: Shell, viewer: Viewer, left: bool = False) -> None:
        """A client left, or vanished; its session's grace may begin, or nobody wants it any more."""
        shell.detach(viewer, left)
        with self._change:
            over = self._over.get(shell.opened.session_id)
            done = over is not None and over.shell is shell and not _wanted(shell)
            if over is not None and done:
                over.shell = None
        if done:
            shell.close()
        self.wake()

    def wake(self) -> None:
        """Something changed that the grace depends on."""
        with self._change:
            self._change.notify_all()
        self._changed()

    def relay_is(self, connected: bool) -> None:
        """The agent has a relay, or none: without one the grace stands still."""
        with self._change:
            self._connected = connected
            for shell in self._shells.values():
                shell.relay_is(connected)
            self._change.notify_all()

    # -- looking at them -----------------------------------------------------------------------

    def all(self) -> list[Shell]:
        """Every session that runs, in the order that they were opened."""
        with self._change:
            return list(self._shells.values())

    def summaries(self) -> tuple[SessionSummary, ...]:
        """What the relay's directory shows, the newest session first."""
        return tuple(
            SessionSummary(shell.opened.session_id, shell.opened.operator, len(shell.clients))
            for shell in reversed(self.all())
        )

    def records(self) -> list[SessionRecord]:
        """The sessions for `cmdop session list`."""
        return [shell.record() for shell in self.all()]

    def statuses(self) -> list[dict[str, object]]:
        """The sessions for `cmdop agent status`."""
        return [
            {
                "session_id": shell.opened.session_id,
                "operator": shell.opened.operator,
                "clients": len(shell.clients),
                "command": shell.foreground_command(),
            }
            for shell in self.all()
        ]

    # -- going on in the program that this process becomes ------------------------------------

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        """Freeze every session, and what goes on of them (`take_over`). Nobody is attached
        any more; what is just being opened is waited for, and nothing else is opened.
        `thaw` when it comes to nothing."""
        with self._change:
            self._refusing = "its agent is being renewed"
            self._change.wait_for(lambda: not self._opening)
        sessions: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        for shell in self.all():
            shell.freeze()
            kept = keep_shell(shell)
            if kept is not None:
                sessions.append({**kept[0], "blobs": len(kept[1])})
                blobs += kept[1]
        with self._change:
            over = {name: over.running for name, over in self._over.items() if over.running}
        return {"sessions": sessions, "over": over}, blobs

    def thaw(self) -> None:
        """Go on with the sessions that were frozen."""
        with self._change:
            self._refusing = ""
        for shell in self.all():
            shell.thaw()

    def take_over(self, state: dict[str, Any], blobs: list[bytes]) -> None:
        """Go on with the sessions of `hand_over`. One that was lost is told of in the log."""
        with self._change:
            self._over.update((name, _Over(running, None, 0.0)) for name, running in state["over"].items())
        for kept in state["sessions"]:
            own, blobs = blobs[: kept["blobs"]], blobs[kept["blobs"] :]
            try:
                shell = shell_from(kept, own, self._ended, self._stalls)
            except ShellLost as lost:
                _LOG.error("session %s: %s", kept["opened"]["session_id"], lost.sentence)
            else:
                with self._change:
                    self._keep(shell)

    # -- their end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End every session, politely and then firmly, and the thread. Twice is quiet.

        Those who are attached get the rest and hear of the end, unless it takes them too long.
        """
        with self._change:
            self._closed = True
            shells = list(self._shells.values())
            self._change.notify_all()
        self._thread.join()
        for shell in shells:
            shell.hang_up()
        until = time.monotonic() + HANGUP_TO_KILL_SECONDS
        for shell in shells:
            if not shell.join(max(0.0, until - time.monotonic())):
                shell.kill()
        for shell in shells:
            shell.join(HANGUP_TO_KILL_SECONDS)
        with self._change:
            self._change.wait_for(lambda: not self._is_watched, CLOSE_TIMEOUT_SECONDS)
        self._forget(list(self._over))

    @property
    def _is_watched(self) -> bool:
        """Whether somebody still takes what a session left. The lock is held."""
        return any(over.shell is not None and over.shell.clients for over in self._over.values())

    def _stalls(self) -> None:
        """Somebody waits for the rest of a paste, but not for long. On the thread of that session."""
        with self._change:
            self._change.notify_all()

    def _ended(self, shell: Shell) -> None:
        """A session is over. On its own thread."""
        name, now = shell.opened.session_id, time.monotonic()
        with self._change:
            self._shells.pop(name, None)
            self._kill_at.pop(name, None)
            running = self._running.pop(name, "")
            wanted = _wanted(shell)
            self._over[name] = _Over(running, shell if wanted else None, now + GRACE_SECONDS)
            too_many = list(self._over)[: max(0, len(self._over) - GRAVES_MAX)]
            self._change.notify_all()
        if not wanted:
            shell.close()
        self._forget(too_many)
        self._changed()

    def _forget(self, names: list[str]) -> None:
        with self._change:
            forgotten = [over for name in names if (over := self._over.pop(name, None)) is not None]
        for over in forgotten:
            if over.shell is not None:
                over.shell.close()

    def _reap(self) -> None:
        with self._change:
            while not self._closed:
                due, wait_seconds = self._due(time.monotonic())
                if not due:  # not let go of in between: a wake would be lost
                    self._change.wait(wait_seconds)
                    continue
                self._change.release()
                try:
                    for action in due:
                        action()
                finally:
                    self._change.acquire()

    def _due(self, now: float) -> tuple[list[Callable[[], None]], float | None]:
        """What is to be done now, and how long until the next. The lock is held."""
        due: list[Callable[[], None]] = []
        waits: list[float] = []
        for name, shell in self._shells.items():
            grace, move = shell.due_in_seconds()
            kill_at = self._kill_at.get(name)
            left = grace if kill_at is None else max(0.0, kill_at - now)
            if left is not None and left <= 0:
                self._kill_at[name] = now + HANGUP_TO_KILL_SECONDS
                due.append(shell.kill if kill_at is not None else partial(self._hang_up, shell))
            if move is not None and move <= 0:
                due.append(shell.move_on)
            waits += [seconds for seconds in (left, move) if seconds]
        for over in self._over.values():
            if over.shell is not None and now >= over.forget_at:
                due.append(over.shell.close)
                over.shell = None
            elif over.shell is not None:
                waits.append(over.forget_at - now)
        return due, min(waits) if waits else None

    def _hang_up(self, shell: Shell) -> None:
        """Nobody came: what it was running is told to who comes too late."""
        running = shell.foreground_command()
        with self._change:
            self._running[shell.opened.session_id] = running
        shell.hang_up()


def _wanted(shell: Shell) -> bool:
    """Whether somebody may still want what a session left."""
    return shell.expects_back or bool(shell.clients)


def _size(wanted: Register | CreateSession) -> Winsize:
    return Winsize(wanted.rows, wanted.cols).clamped()
