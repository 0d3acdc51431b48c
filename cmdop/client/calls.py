"""Calls on the sessions of one machine, without attaching (docs/protocol.md §7.3).

Everything runs on the caller's thread and blocks: one request, one answer, within
`AUTH_TIMEOUT_SECONDS`, or more where a password is judged in between. A refusal is raised
as what the machine said, and the next call may be made; whatever else goes wrong gives the
stream up, and the next call opens a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from cmdop.client.link import bury
from cmdop.client.passwords import MachinePass
from cmdop.client.poll import wait_for
from cmdop.client.refusal import refusal
from cmdop.client.stream import MachineStream
from cmdop.deadline import Deadline
from cmdop.errors import CmdopError, PasswordRefused, RemoteProtocolError, TimedOut, TokenMissing
from cmdop.limits import (
    AUTH_TIMEOUT_SECONDS,
    CALL_DATA_MAX_BYTES,
    GUESS_WAIT_MAX_SECONDS,
    PING_INTERVAL_SECONDS,
    RING_MAX_BYTES,
    SESSIONS_MAX,
)
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import (
    CALL_MESSAGES,
    Authenticate,
    CloseSession,
    CreateSession,
    Done,
    GetOutput,
    ListSessions,
    Output,
    SendInput,
    SendResize,
    SendSignal,
    SessionRecord,
    Sessions,
    with_token,
)
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute, Started
from cmdop.wire.message import Message, Unknown, padded
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthSuccess, Refused

M = TypeVar("M", bound=Message)

METHOD: Final = "password"
JUDGED_SECONDS: Final = GUESS_WAIT_MAX_SECONDS + AUTH_TIMEOUT_SECONDS
"""How long a password may take to be judged: one wait, when others guess."""
STALE_SECONDS = PING_INTERVAL_SECONDS
"""A stream that was left alone for longer may have been closed: nobody answered its pings."""


class MachineCalls:
    """The calls on one machine. For one thread.

    `open_stream` opens a stream to it, when the first call is made and whenever the last
    one is stale; whoever opens it gives the connection to this object. `shown` has what
    opens a machine with a password: a token, or a password that brings one.
    """

    def __init__(self, open_stream: Callable[[], MachineStream], shown: MachinePass | None = None) -> None:
        self._open_stream, self._shown = open_stream, shown
        self._stream: MachineStream | None = None
        self._answered_at = 0.0

    def sessions(self) -> list[SessionRecord]:
        """The machine's sessions, in the order that they were opened."""
        found: list[SessionRecord] = []
        while True:
            answer = self._ask(ListSessions(len(found)), Sessions)
            found += answer.sessions
            if not answer.more:
                return found
            if not answer.sessions or len(found) > SESSIONS_MAX:
                raise RemoteProtocolError(reason="sessions without end")

    def create(self, wanted: CreateSession) -> SessionRecord:
        """Open a session that nobody is attached to.

        Raises SessionRefused where there are too many, ShellUnusable or CommandUnusable.
        """
        answer = self._ask(wanted, Sessions)
        if len(answer.sessions) != 1:
            raise RemoteProtocolError(reason=f"{len(answer.sessions)} sessions for one that was to be opened")
        return answer.sessions[0]

    def send_input(self, session: str, data: bytes) -> None:
        """Type exactly these bytes; returns once the PTY took them.

        Raises TimedOut when the program does not read: what it took of them is not known.
        """
        for at in range(0, len(data) or 1, CALL_DATA_MAX_BYTES):  # nothing is sent as well: is it there?
            self._ask(SendInput(session, data[at : at + CALL_DATA_MAX_BYTES]), Done)

    def resize(self, session: str, winsize: Winsize) -> None:
        """Give the PTY a size, until an attached client claims its own."""
        self._ask(SendResize(session, winsize.rows, winsize.cols), Done)

    def signal(self, session: str, name: str) -> None:
        """Send a signal to the foreground process group. Raises UsageError or SignalLost."""
        self._ask(SendSignal(session, name), Done)

    def read(self, session: str, offset: int) -> Iterator[Output]:
        """The output from `offset` on, or from where it is kept, as far as there is any now.

        Piece by piece, at least one, though it be empty. The end is that of the first
        answer, so that a program which never stops does not make this endless, and no
        further than a ring buffer can be.
        """
        end: int | None = None
        while end is None or offset < end:
            most = CALL_DATA_MAX_BYTES if end is None else min(end - offset, CALL_DATA_MAX_BYTES)
            piece = self._ask(GetOutput(session, offset, most), Output)
            if end is None:
                end = min(piece.end_offset, piece.offset + RING_MAX_BYTES)
            if piece.data and piece.offset < offset:
                raise RemoteProtocolError(reason=f"output from {piece.offset} and not from {offset}")
            yield piece
            if not piece.data:
                return
            offset = piece.offset + len(piece.data)

    def end(self, session: str) -> None:
        """End a session; returns once it is over."""
        self._ask(CloseSession(session), Done)

    def execute(self, wanted: Execute) -> tuple[MachineStream, Started]:
        """Run a command. The stream, and its connection, are the caller's from then on.

        Raises RoleTooLow, CommandRefused, CommandUnusable.
        """
        started = self._ask(wanted, Started)
        stream, self._stream = self._stream, None
        assert stream is not None, "it has just answered"
        return stream, started

    def close(self) -> None:
        """Give the connection back. Twice is quiet."""
        if self._stream is not None:
            bury(self._stream.connection)
            self._stream = None

    def _ask(self, call: Message, kind: type[M]) -> M:
        """The answer to a call. Raises what the machine refused it with, or what went wrong."""
        try:
            return self._ask_once(self._with_token(call), kind, AUTH_TIMEOUT_SECONDS)
        except TokenMissing:
            if not self._authenticate():
                raise
        return self._ask_once(self._with_token(call), kind, AUTH_TIMEOUT_SECONDS)

    def _with_token(self, call: Message) -> Message:
        return call if self._shown is None else with_token(call, self._shown.token)

    def _authenticate(self) -> bool:
        """Get a token for a password; False if there is none to try. Raises PasswordRefused when all are wrong."""
        shown, refused = self._shown, None
        for offer in shown.offers() if shown is not None else ():
            assert shown is not None
            try:
                proof = padded(Authenticate(METHOD, offer.text))
                success = self._ask_once(proof, AuthSuccess, JUDGED_SECONDS)
            except PasswordRefused as error:
                refused = error
                shown.wrong(offer)
                continue
            shown.right(offer, success)
            return True
        if refused is not None:
            raise refused
        return False

    def _ask_once(self, call: Message, kind: type[M], seconds: float) -> M:
        if self._stream is not None and (
            time.monotonic() - self._answered_at > STALE_SECONDS or _has_ended(self._stream)
        ):
            self.close()
        if self._stream is None:
            self._stream = self._open_stream()
        try:
            answer = self._exchange(self._stream, call, seconds)
            if not isinstance(answer, kind | Refused):
                raise RemoteProtocolError(reason=f"{type(answer).__name__} for an answer to {type(call).__name__}")
        except CmdopError:  # what comes behind it would be taken for the answer to something else
            self.close()
            raise
        self._answered_at = time.monotonic()
        if isinstance(answer, Refused):
            raise refusal(answer, self._stream.about.host, getattr(call, "session", ""))
        return answer

    def _exchange(self, stream: MachineStream, call: Message, seconds: float) -> Message:
        deadline = Deadline(seconds)
        codec = EXEC_MESSAGES if isinstance(call, Execute) else CALL_MESSAGES
        stream.send_record(RecordKind.CONTROL, 0, codec.encode(call))
        while not deadline.passed:
            if not stream.connection.buffered and not self._brings(stream, deadline):
                continue
            record = stream.receive_now()
            if record is not None and record.kind == RecordKind.CONTROL:
                answer = answer_in(record.payload)
                if answer is not None:
                    return answer
        raise TimedOut(what=f"the machine {stream.about.host}", seconds=seconds)

    @staticmethod
    def _brings(stream: MachineStream, deadline: Deadline) -> bool:
        """Whether something comes before the deadline."""
        return wait_for(stream.connection, None, deadline.remaining_seconds or 0.0)[0]


def _has_ended(stream: MachineStream) -> bool:
    """Whether a stream on which nothing is asked is over; takes in what came meanwhile."""
    deadline = Deadline(AUTH_TIMEOUT_SECONDS)
    try:
        while not deadline.passed and (stream.connection.buffered or wait_for(stream.connection, None, 0.0)[0]):
            stream.receive_now()
    except CmdopError:
        return True
    return False


def answer_in(payload: bytes) -> Message | None:
    """The answer in a CONTROL record, Refused included; None for what may be ignored.

    Raises RemoteProtocolError for a malformed one.
    """
    for codec in (CALL_MESSAGES, EXEC_MESSAGES, SESSION_MESSAGES):
        message = codec.decode(payload)
        if not isinstance(message, Unknown):
            return message
    return None
