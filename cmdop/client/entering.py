"""From Register to Ready: the machine's password in between, if it has one (docs/protocol.md §7.1).

Everything runs on the caller's thread but one thing: while somebody is asked for a
password, the thread `relay->prompt` receives, so that the relay's pings are answered. It
blocks in the connection until the machine says something, or the connection ends.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from cmdop.client.calls import METHOD
from cmdop.client.passwords import Offer, Passwords
from cmdop.client.refusal import refusal
from cmdop.client.stream import MachineStream
from cmdop.errors import CmdopError, PasswordMissing, PasswordRefused, RemoteProtocolError, from_peer
from cmdop.limits import AUTH_TIMEOUT_SECONDS, GUESS_QUEUED_SECONDS, PASSWORD_ANSWER_SECONDS
from cmdop.wire.message import Message, Unknown, padded
from cmdop.wire.session_messages import AuthChallenge, AuthResponse, AuthSuccess, Detached, Ready, Refused, Register

_JUDGED_SECONDS: Final = GUESS_QUEUED_SECONDS + AUTH_TIMEOUT_SECONDS
"""How long an answer may take to be judged."""


class Entered(NamedTuple):
    """The session that is there; the token, and for how long it is good, if the machine gave one."""

    ready: Ready
    success: AuthSuccess | None


def enter(stream: MachineStream, machine_id: str, asked: Register, passwords: Passwords) -> Entered:
    """Register, say the password if need be, and wait for Ready.

    Raises what the machine refuses with, PasswordMissing where nobody has one, and
    PasswordRefused when none was right.
    """
    return _Entering(stream, machine_id, passwords).run(asked)


class _Entering:
    """One way in."""

    def __init__(self, stream: MachineStream, machine_id: str, passwords: Passwords) -> None:
        self._stream, self._machine_id, self._passwords = stream, machine_id, passwords
        self._host = stream.about.host
        self._offers: Iterator[Offer] = passwords.offers(machine_id, self._host)
        self._offer: Offer | None = None
        """What was tried last."""

    def run(self, asked: Register) -> Entered:
        success = None
        self._stream.send_control(asked)
        message = self._receive(AUTH_TIMEOUT_SECONDS)
        while not isinstance(message, Ready):
            if isinstance(message, AuthChallenge):
                message = self._answer(message)
                continue
            if isinstance(message, AuthSuccess):
                success = message
                if self._offer is not None:
                    self._passwords.right(self._machine_id, self._offer)
            elif isinstance(message, Refused):
                raise refusal(message, self._host)
            elif isinstance(message, Detached):  # somebody took the session over at this very moment
                raise from_peer(message.code, "", host=self._host, operator=message.operator)
            elif not isinstance(message, Unknown):
                raise RemoteProtocolError(reason=f"{type(message).__name__} instead of Ready")
            message = self._receive(AUTH_TIMEOUT_SECONDS)
        return Entered(message, success)

    def _answer(self, challenge: AuthChallenge) -> Message:
        """Say the next password; what the machine says to that."""
        if METHOD not in challenge.methods:
            raise RemoteProtocolError(reason="it asks for something that this cmdop has never heard of")
        if self._offer is not None:
            self._passwords.wrong(self._machine_id, self._host, self._offer)
        self._offer, hear = self._next()
        if self._offer is None:
            raise self._none_left()
        if challenge.wait_seconds >= 1:
            self._passwords.told.waits(self._host, challenge.wait_seconds)
        self._stream.send_control(padded(AuthResponse(METHOD, self._offer.text)))
        return hear()

    def _next(self) -> tuple[Offer | None, Callable[[], Message]]:
        """The next password, and how to hear what the machine says to it.

        While somebody may be typing it, the connection is looked after.
        """
        if self._passwords.person is None:
            return next(self._offers, None), lambda: self._receive(_JUDGED_SECONDS)
        heard: queue.SimpleQueue[Message | CmdopError] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(heard,), name="relay->prompt", daemon=True).start()
        offer = next(self._offers, None)
        if not heard.empty():  # nobody has told it anything: this is the end, if it is not nonsense
            raise RemoteProtocolError(reason=f"{type(self._hear(heard)).__name__} before AuthResponse")
        return offer, lambda: self._hear(heard)

    def _listen(self, heard: queue.SimpleQueue[Message | CmdopError]) -> None:
        try:
            while isinstance(message := self._receive(PASSWORD_ANSWER_SECONDS + _JUDGED_SECONDS), Unknown):
                pass
            heard.put(message)
        except CmdopError as error:
            heard.put(error)
        except Exception as error:  # noqa: BLE001 - somebody waits for a word
            heard.put(CmdopError(reason=repr(error)))

    def _hear(self, heard: queue.SimpleQueue[Message | CmdopError]) -> Message:
        """What `relay->prompt` got; it always gets something."""
        message = heard.get()
        if isinstance(message, CmdopError):
            raise message
        if isinstance(message, Refused):
            raise refusal(message, self._host)
        return message

    def _receive(self, seconds: float) -> Message:
        return self._stream.receive_control(f"the machine {self._host}", seconds)

    def _none_left(self) -> CmdopError:
        tried = self._passwords.any_wrong(self._machine_id)
        return PasswordRefused(host=self._host) if tried else PasswordMissing(host=self._host)
