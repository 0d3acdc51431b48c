"""Who gets into which session: what a stream asks before it shows anything."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cmdop.agent.shell import Shell
from cmdop.agent.shells import Shells
from cmdop.agent.viewer import Viewer, Watching
from cmdop.errors import RoleTooLow, SessionRefused
from cmdop.limits import SESSION_TOKEN_SECONDS, WINDOW_MAX_BYTES
from cmdop.winsize import Winsize
from cmdop.wire.session_messages import AuthSuccess, Register


@dataclass(frozen=True)
class Guest:
    """Who knocks: the operator's label as the relay told it, and whether only to watch."""

    operator: str
    observer: bool


class Admission:
    """Lets clients into the machine's sessions."""

    def __init__(self, shells: Shells) -> None:
        self._shells = shells

    def success(self) -> AuthSuccess:
        """The client proved that it holds this workspace's keys: that is enough here."""
        return AuthSuccess(session_token=os.urandom(32).hex(), ttl_seconds=SESSION_TOKEN_SECONDS)

    def enter(self, wanted: Register, guest: Guest, stream: Watching) -> tuple[Shell, Viewer, bool]:
        """The session to attach to, a viewer for it, and whether the session is new.

        An observer never opens one, and nothing runs for it. Raises RoleTooLow, or what
        `Shells.join_or_open` and `Shells.find` raise.
        """
        if guest.observer:
            shell, created = self._watched(wanted), False
        else:
            shell, created = self._shells.join_or_open(wanted, guest.operator)
        winsize = Winsize(wanted.rows, wanted.cols).clamped()
        window_bytes = min(wanted.window_bytes, WINDOW_MAX_BYTES)
        viewer = Viewer(wanted.client_id, guest.operator, guest.observer, winsize, stream, window_bytes)
        return shell, viewer, created

    def _watched(self, wanted: Register) -> Shell:
        if wanted.new or wanted.command:
            raise RoleTooLow(what="opening a session", needed="operator", role="observer")
        shell = self._shells.find(wanted.session)
        if shell is None:
            raise SessionRefused(host="the machine", reason="it has no session to watch")
        return shell

    def entered(self) -> None:
        """A client is attached: the grace stops, and the directory hears of it."""
        self._shells.wake()

    def leave(self, shell: Shell, viewer: Viewer) -> None:
        self._shells.detach(shell, viewer)
