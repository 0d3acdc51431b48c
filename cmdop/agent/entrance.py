"""From Register to the session: one stream's admission, with the machine's password in between.

Each step has a thread of its own, `admit N`, which ends with it: the one from Register to
the challenge or to the session, for it may start a shell, and the one of each answer to a
challenge, which blocks until that is judged (agent/password_gate.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from cmdop.agent.admission import Admission, Guest
from cmdop.agent.doorway import Doorway
from cmdop.errors import CmdopError
from cmdop.session.states import StreamEvent
from cmdop.wire.message import Message
from cmdop.wire.session_messages import AuthResponse, Register


class Entered(Protocol):
    """What the admission needs of its stream."""

    @property
    def closed_already(self) -> bool: ...

    def step(self, event: StreamEvent) -> None:
        """One step further. Raises RemoteProtocolError, also when the stream was closed meanwhile."""

    def send_control(self, message: Message) -> None: ...

    def failed(self, error: Exception) -> None:
        """End the stream, and nothing else."""

    def enter(self, wanted: Register, guest: Guest) -> bool:
        """Attach to a session; False when it ended just then."""
        ...


class Entrance:
    """One stream's. What the client says comes on the uplink's reader, which nothing here blocks."""

    def __init__(self, stream_id: int, admission: Admission, door: Doorway, rights: Guest) -> None:
        self._id, self._admission, self._door, self._rights = stream_id, admission, door, rights
        self._wanted: Register | None = None

    def register(self, wanted: Register, stream: Entered) -> None:
        """The stream is registering already, and speaks our version."""
        self._wanted = wanted
        self._begin(stream, lambda: self._admit(wanted, stream))

    def respond(self, response: AuthResponse, stream: Entered) -> None:
        """Raises RemoteProtocolError for an answer to nothing, or TooManyGuesses."""
        wanted = self._wanted
        stream.step(StreamEvent.RESPONSE)
        assert wanted is not None, "there is no challenge before"
        self._door.take(response.method)
        self._begin(stream, lambda: self._judge(wanted, response.password, stream))

    def _begin(self, stream: Entered, work: Callable[[], None]) -> None:
        threading.Thread(target=_until_it_fails, args=(stream, work), name=f"admit {self._id}", daemon=True).start()

    def _admit(self, wanted: Register, stream: Entered) -> None:
        password_id = self._admission.opened_by(wanted.session_token, self._guest(wanted))
        if password_id is None:
            self._challenge(stream)
        else:
            self._let_in(wanted, password_id, stream)

    def _challenge(self, stream: Entered) -> None:
        challenge = self._door.challenge()
        stream.step(StreamEvent.CHALLENGED)
        stream.send_control(challenge)

    def _judge(self, wanted: Register, password: str, stream: Entered) -> None:
        password_id = self._door.judge(password)
        if password_id is None:
            self._challenge(stream)
        else:
            stream.step(StreamEvent.JUDGED)
            self._let_in(wanted, password_id, stream)

    def _let_in(self, wanted: Register, password_id: str, stream: Entered) -> None:
        guest = self._guest(wanted)
        stream.send_control(self._admission.success(wanted, guest, password_id))
        while not stream.enter(wanted, guest):
            pass  # the session ended under our hands: there will be another one

    def _guest(self, wanted: Register) -> Guest:
        return Guest(self._rights.operator, self._rights.observer or wanted.read_only)


def _until_it_fails(stream: Entered, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - no client may end the agent
        if not (stream.closed_already and isinstance(error, CmdopError)):
            stream.failed(error)
