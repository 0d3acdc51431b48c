"""Who gets into which session: what a stream asks before it shows anything."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cmdop.agent.password_gate import PasswordGate
from cmdop.agent.shell import Shell
from cmdop.agent.shells import Shells
from cmdop.agent.viewer import Entry, Viewer, Watching
from cmdop.auth.tokens import Row, TokenTable
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

    def __init__(self, shells: Shells, tokens: TokenTable | None = None, gate: PasswordGate | None = None) -> None:
        self.shells = shells
        self.gate = gate or PasswordGate()
        self._tokens = tokens or TokenTable()
        # Guards the tokens.
        self._lock = threading.Lock()

    def opened_by(self, session_token: str, guest: Guest) -> str | None:
        """The id of the password that a token stands for (empty where the machine has none);
        None if the guest has to prove that it knows it.

        Reads a file: not for an uplink's reader. Raises as `PasswordGate.password` does.
        """
        password = self.gate.password()
        if password is None:
            return ""
        with self._lock:
            until = self._tokens.valid_until(session_token, guest.operator, password.id, time.time())
        return None if until is None else password.id

    def success(self, wanted: Register, guest: Guest, password_id: str = "") -> AuthSuccess:
        """The client proved that it holds this workspace's keys, and knows the password of that id.

        One that comes back has to show the token that it was given: raises SessionRefused, or
        SessionGone if there is no such session. After a crash there is neither.
        A token that stood for the password is good for as long as before, and no longer.
        """
        shown, now = wanted.session_token, time.time()
        with self._lock:
            its_own = self._tokens.given_to(shown, wanted.client_id, guest.operator)
            if wanted.resume and not its_own:
                self.shells.resumed(wanted.session)
                raise SessionRefused(host="the machine", reason="it does not know this client any more")
            until = self._tokens.valid_until(shown, guest.operator, password_id, now)
            if its_own and until is not None:
                return AuthSuccess(session_token=shown, ttl_seconds=until - now)
            return self._issue(wanted.client_id, guest, password_id, now, until)

    def proved(self, guest: Guest, password_id: str) -> AuthSuccess:
        """A token for calls, for who knows the password of that id."""
        with self._lock:
            return self._issue("", guest, password_id, time.time(), None)

    def _issue(self, client_id: str, guest: Guest, password_id: str, now: float, until: float | None) -> AuthSuccess:
        token = self._tokens.issue(client_id, guest.operator, password_id, until or now + SESSION_TOKEN_SECONDS)
        return AuthSuccess(session_token=token, ttl_seconds=SESSION_TOKEN_SECONDS if until is None else until - now)

    def token_rows(self) -> list[Row]:
        """All tokens, for another process of this agent (`TokenTable.rows`)."""
        with self._lock:
            return self._tokens.rows()

    def may_call(self, session_token: str, guest: Guest) -> bool:
        """Whether a call may be made: always, on a machine without a password."""
        return self.opened_by(session_token, guest) is not None

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
    back = Resume(
        wanted.output_offset, wanted.input_offset, wanted.redraw, whole=wanted.redraw and wanted.replay == "all"
    )
    return Entry(
        created=created,
        resume=back if wanted.resume else None,
        takeover=wanted.takeover,
        drawn=wanted.replay != "none",
        history=wanted.replay != "screen",
    )
