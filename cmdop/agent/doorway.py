"""The machine's password, as one stream is asked for it: challenges, answers, tries.

An answer is taken in on the uplink's reader, and judged on a thread of whoever has it
judged, which blocks until its turn (agent/password_gate.py).
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from cmdop.agent.admission import Admission, Guest
from cmdop.auth.guesses import Guesser, Turn
from cmdop.errors import ConnectionClosed, PasswordRefused, RemoteProtocolError
from cmdop.limits import PASSWORD_TRIES_MAX
from cmdop.seal.noise import Handshake
from cmdop.wire.relay_messages import Open
from cmdop.wire.session_messages import AuthChallenge, AuthSuccess

METHOD: Final = "password"
"""The only one in this version."""
_LOG = logging.getLogger("cmdop.agent")


class Doorway:
    """One stream's answers. It has one at a time."""

    def __init__(self, admission: Admission, guest: Guest, opened: Open, handshake: Handshake) -> None:
        self._admission, self._gate, self._guest = admission, admission.gate, guest
        self._opened, self._handshake = opened, handshake
        self._tries_left = PASSWORD_TRIES_MAX
        # Guards the two below. Nothing is judged while it is held.
        self._lock = threading.Lock()
        self._turn: Turn | None = None
        self._left = False

    @property
    def _who(self) -> Guesser:
        """Whose answers these are; there once the handshake is over."""
        return Guesser(self._handshake.remote_static.hex(), self._opened.key_id)

    def challenge(self) -> AuthChallenge:
        """The question, with how long an answer would wait to be judged."""
        return AuthChallenge((METHOD,), self._tries_left, self._gate.wait_seconds(self._who))

    def take(self, method: str) -> None:
        """An answer has come: queue it. Raises RemoteProtocolError, TooManyGuesses."""
        if method != METHOD:
            raise RemoteProtocolError(reason=f"an answer by {method!r:.50}")
        with self._lock:
            if self._left:
                raise ConnectionClosed(reason="the stream is closed")
            self._turn = self._gate.queue(self._who)

    def judge(self, password: str) -> str | None:
        """The id of the machine's password, if this is it, else None; blocks until its turn.

        Raises PasswordRefused for the last answer that may be wrong, and what
        `PasswordGate.proves` raises.
        """
        with self._lock:
            turn = self._turn
        if turn is None:
            raise ConnectionClosed(reason="the stream is closed")
        password_id = self._gate.proves(turn, password)
        if password_id is None:
            wait_seconds = self._gate.wait_seconds(self._who)
            about = self._opened
            _LOG.warning(
                "wrong password by %s (key %s, from %s); the next answer waits %.0f s",
                *(about.operator, about.key_id, about.address, wait_seconds),
            )
            self._tries_left -= 1
            if self._tries_left <= 0:
                raise PasswordRefused(host="the machine")
        return password_id

    def authenticate(self, method: str, password: str) -> AuthSuccess:
        """The same for calls, without a limit on tries: a token for the right password.

        Raises PasswordRefused for a wrong one.
        """
        self.take(method)
        self._tries_left = PASSWORD_TRIES_MAX
        password_id = self.judge(password)
        if password_id is None:
            raise PasswordRefused(host="the machine")
        return self._admission.proved(self._guest, password_id)

    def leave(self) -> None:
        """The stream is closed: an answer that waits is not judged. Never blocks; twice is quiet."""
        with self._lock:
            self._left = True
            turn, self._turn = self._turn, None
        if turn is not None:
            self._gate.drop(turn)
