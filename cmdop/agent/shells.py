"""The machine's sessions: opened, joined, and ended when nobody wants them any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cmdop.agent.shell import Opened, Shell, new_session_id
from cmdop.agent.viewer import Viewer
from cmdop.errors import AmbiguousSession, SessionGone, SessionRefused
from cmdop.limits import HANGUP_TO_KILL_SECONDS, SESSIONS_MAX
from cmdop.ptyhost.interface import Pty
from cmdop.wire.relay_messages import SessionSummary
from cmdop.wire.session_messages import Register

OpenPty = Callable[[Register, str], tuple[Pty, str]]
"""Starts a login shell for what a client asked and a session id; the PTY and a note."""


class Shells:
    """The table of sessions. Its thread `grace` ends those that nobody watches.

    The thread blocks until the next session is due, and is woken by every change.
    """

    def __init__(self, open_pty: OpenPty, changed: Callable[[], None]) -> None:
        self._open_pty, self._changed = open_pty, changed
        # Guards the three below; told of every change. Opening a PTY happens outside.
        self._change = threading.Condition()
        self._shells: dict[str, Shell] = {}
        self._kill_at: dict[str, float] = {}
        self._opening = 0
        self._closed = False
        self._connected = False
        self._thread = threading.Thread(target=self._reap, name="grace", daemon=True)
        self._thread.start()

    def join_or_open(self, wanted: Register, operator: str) -> tuple[Shell, bool]:
        """The session that a client asked for, and whether it was opened for it.

        Raises SessionGone, AmbiguousSession, SessionRefused or ShellUnusable.
        """
        if not wanted.new:
            shell = self.find(wanted.session)
            if shell is not None:
                return shell, False
        with self._change:
            if len(self._shells) + self._opening >= SESSIONS_MAX:
                raise SessionRefused(host="the machine", reason=f"it has {SESSIONS_MAX} sessions already")
            self._opening += 1
        try:
            session_id = new_session_id()
            pty, notice = self._open_pty(wanted, session_id)
            shell = self._add(Opened(session_id, operator, notice), pty)
        finally:
            with self._change:
                self._opening -= 1
        return shell, True

    def _add(self, opened: Opened, pty: Pty) -> Shell:
        with self._change:
            if not self._closed:
                shell = self._shells[opened.session_id] = Shell(opened, pty, self._ended)
                shell.relay_is(self._connected)
                return shell
        pty.close()  # nobody would end the session any more
        raise SessionRefused(host="the machine", reason="its agent is stopping")

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
            raise SessionGone(session=wanted, what="")
        return found[0]

    def detach(self, shell: Shell, viewer: Viewer) -> None:
        """A client left; its session's grace may begin."""
        shell.detach(viewer)
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

    def summaries(self) -> tuple[SessionSummary, ...]:
        """What the relay's directory shows, the newest session first."""
        with self._change:
            shells = list(self._shells.values())
        return tuple(
            SessionSummary(shell.opened.session_id, shell.opened.operator, len(shell.clients))
            for shell in reversed(shells)
        )

    def statuses(self) -> list[dict[str, object]]:
        """The sessions for `cmdop agent status`."""
        with self._change:
            shells = list(self._shells.values())
        return [
            {
                "session_id": shell.opened.session_id,
                "operator": shell.opened.operator,
                "clients": len(shell.clients),
                "command": shell.foreground_command(),
            }
            for shell in shells
        ]

    def close(self) -> None:
        """End every session, politely and then firmly, and the thread. Twice is quiet."""
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

    def _ended(self, shell: Shell) -> None:
        with self._change:
            self._shells.pop(shell.opened.session_id, None)
            self._kill_at.pop(shell.opened.session_id, None)
            self._change.notify_all()
        self._changed()

    def _reap(self) -> None:
        with self._change:
            while not self._closed:
                hang_up, kill, wait_seconds = self._due()
                self._change.release()
                try:
                    for shell in hang_up:
                        shell.hang_up()
                    for shell in kill:
                        shell.kill()
                finally:
                    self._change.acquire()
                if not hang_up and not kill and not self._closed:
                    self._change.wait(wait_seconds)

    def _due(self) -> tuple[list[Shell], list[Shell], float | None]:
        """Whom to hang up, whom to kill, and how long until the next. The lock is held."""
        now = time.monotonic()
        hang_up, kill, waits = [], [], []
        for name, shell in self._shells.items():
            kill_at = self._kill_at.get(name)
            due = max(0.0, kill_at - now) if kill_at is not None else shell.grace_due_in_seconds()
            if due is None:
                continue
            if due > 0:
                waits.append(due)
            elif kill_at is None:
                self._kill_at[name] = now + HANGUP_TO_KILL_SECONDS
                hang_up.append(shell)
            else:
                self._kill_at[name] = now + HANGUP_TO_KILL_SECONDS
                kill.append(shell)
        return hang_up, kill, min(waits) if waits else None
