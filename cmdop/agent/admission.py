"""Who gets into which session: what a stream asks before it shows anything."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cmdop.agent.shell import Shell
from cmdop.agent.shells import Shells
from cmdop.agent.viewer import Entry, Viewer, Watching
from cmdop.auth.tokens import TokenTable
from cmdop.errors import RoleTooLow, SessionRefused
from cmdop.limits import SESSION_TOKEN_SECONDS, WINDOW_MAX_BYTES
from cmdop.session.broadcast import View
from cmdop.session.core import Resume
from cmdop.winsize import Winsize
from cmdop.wire.session_messages import AuthSuccess, Register


@dataclass(frozen=True)
class Guest:
    """Who knocks: the operator's label as the relay told it, and whether only to watch."""

    operator: str
    observer: bool


class Admission:
    """Lets clients into the machine's sessions."""

    def __init__(self, shells: Shells, tokens: TokenTable | None = None) -> None:
        self.shells = shells
        self._tokens = tokens or TokenTable()
        # Guards the tokens.
        self._lock = threading.Lock()

    def success(self, wanted: Register, guest: Guest) -> AuthSuccess:
        """The client proved that it holds this workspace's keys: that is enough here.

        One that comes back has to show the token that it was given: raises SessionRefused.
        """
        now = time.time()
        with self._lock:
            known = self._tokens.valid_for(wanted.session_token, wanted.client_id, guest.operator, now)
            if wanted.resume and not known:
                raise SessionRefused(host="the machine", reason="it does not know this client any more")
            token = wanted.session_token if known else self._tokens.issue(wanted.client_id, guest.operator, now)
        return AuthSuccess(session_token=token, ttl_seconds=SESSION_TOKEN_SECONDS)

    def token_rows(self) -> list[tuple[str, str, str, float]]:
        """All tokens, for another process of this agent (`TokenTable.rows`)."""
        with self._lock:
            return self._tokens.rows()

    def may_call(self, _session_token: str) -> bool:
        """Whether a call may be made: always, on a machine without a password."""
        return True

    def enter(self, wanted: Register, guest: Guest, stream: Watching) -> tuple[Shell, Viewer, Entry]:
        """The session to attach to, a viewer for it, and how it comes in.

        An observer never opens one, and nothing runs for it. Raises RoleTooLow, or what
        `Shells.join_or_open` and `Shells.find` raise.
        """
        if guest.observer:
            shell, created = self._watched(wanted), False
        else:
            shell, created = self.shells.join_or_open(wanted, guest.operator)
        window_bytes = min(wanted.window_bytes, WINDOW_MAX_BYTES)
        winsize = Winsize(wanted.rows, wanted.cols).clamped()
        viewer = Viewer(wanted.client_id, guest.operator, guest.observer, winsize, View(window_bytes), stream)
        return shell, viewer, _entry(wanted, created)

    def _watched(self, wanted: Register) -> Shell:
        if wanted.new or wanted.command:
            raise RoleTooLow(what="opening a session", needed="operator", role="observer")
        if wanted.takeover:
            raise RoleTooLow(what="taking a session over", needed="operator", role="observer")
        shell = self.shells.resumed(wanted.session) if wanted.resume else self.shells.find(wanted.session)
        if shell is None:
            raise SessionRefused(host="the machine", reason="it has no session to watch")
        return shell

    def entered(self) -> None:
        """A client is attached: the grace stops, and the directory hears of it."""
        self.shells.wake()

    def leave(self, shell: Shell, viewer: Viewer, left: bool) -> None:
        """A client is gone: it `left`, or its connection did."""
        self.shells.detach(shell, viewer, left)


def _entry(wanted: Register, created: bool) -> Entry:
    back = Resume(wanted.output_offset, wanted.input_offset, wanted.redraw)
    return Entry(
        created=created,
        resume=back if wanted.resume else None,
        takeover=wanted.takeover,
        drawn=wanted.replay != "none",
        history=wanted.replay != "screen",
    )
