"""A stream's calls: a machine's sessions used without attaching (docs/protocol.md §7.3).

The uplink's reader only takes a call in and checks what it is. The thread `calls` of this
stream answers: a call may start a shell, or wait for a program to read or to end, at most
for `CALL_WAIT_SECONDS` at a time, or for a password to be judged. It is there while calls
are waiting, ends with the last of them, and is woken by nothing else; once the stream is
closed it ends behind the call that it is at.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cmdop.agent.admission import Guest
from cmdop.errors import (
    CmdopError,
    LocalProtocolError,
    RemoteProtocolError,
    RoleTooLow,
    SessionGone,
    SignalLost,
    TimedOut,
    TokenMissing,
)
from cmdop.limits import (
    CALL_DATA_MAX_BYTES,
    CALL_WAIT_SECONDS,
    DATA_MAX_BYTES,
    HANGUP_TO_KILL_SECONDS,
    WAITING_CALLS_MAX,
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
)
from cmdop.wire.message import Message, Unknown
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthSuccess, Refused

_LOG = logging.getLogger("cmdop.agent")
_PAGE_OVERHEAD_BYTES = 64
"""Of a `Sessions` around its records."""


class CalledShell(Protocol):
    """What calls need of a session (agent/shell.py)."""

    def record(self) -> SessionRecord: ...

    def type_all(self, data: bytes, timeout_seconds: float) -> None: ...

    def resize_by_call(self, winsize: Winsize) -> None: ...

    def signal(self, name: str) -> bool: ...

    def read(self, offset: int, max_bytes: int) -> Output: ...

    def end(self) -> None: ...

    def join(self, timeout_seconds: float) -> bool: ...


class CalledShells(Protocol):
    """What calls need of the table of sessions (agent/shells.py)."""

    def find(self, wanted: str) -> CalledShell | None: ...

    def create(self, wanted: CreateSession, operator: str) -> CalledShell: ...

    def records(self) -> Sequence[SessionRecord]: ...

    def wake(self) -> None: ...


class Calls:
    """The calls of one stream, answered one after the other, in the order that they came.

    `allowed` says whether a session token opens this machine, which without a password any
    does; `authenticate` gives one for a method and a password, or raises, and may block for
    long.
    """

    def __init__(
        self,
        shells: CalledShells,
        guest: Guest,
        allowed: Callable[[str], bool],
        authenticate: Callable[[str, str], AuthSuccess],
    ) -> None:
        self._shells, self._guest = shells, guest
        self._allowed, self._authenticate = allowed, authenticate
        # Guards the three below. Never held while a call is answered.
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque()
        self._answering = False
        self._closed = False

    def handle(self, payload: bytes, send: Callable[[bytes], None]) -> None:
        """Take a call in; never blocks. One that this version does not know is ignored.

        `send` takes the payload of a CONTROL record to the stream, and does not block.
        Raises RemoteProtocolError for what is no call, and for more than may wait.
        """
        call = CALL_MESSAGES.decode(payload)
        if isinstance(call, Unknown):
            return
        if type(call) not in RULES:
            raise RemoteProtocolError(reason=f"{type(call).__name__} from a client")
        with self._lock:
            if self._closed:
                return
            if len(self._waiting) >= WAITING_CALLS_MAX:
                raise RemoteProtocolError(reason=f"more than {WAITING_CALLS_MAX} calls before the first was answered")
            self._waiting.append(call)
            if self._answering:
                return
            self._answering = True
        threading.Thread(target=self._answer_all, args=(send,), name="calls", daemon=True).start()

    def close(self) -> None:
        """The stream is over: what still waits is not begun. Never blocks; twice is quiet."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _answer_all(self, send: Callable[[bytes], None]) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._answering = False
                    return
                call = self._waiting.popleft()
            try:
                send(self._answer(call))
            except Exception:  # noqa: BLE001 - a stream that does not take it has ended already
                _LOG.exception("the answer to %s", type(call).__name__)

    def _answer(self, call: Message) -> bytes:
        """The payload that answers a call. Never raises: what goes wrong is answered too."""
        try:
            answer = self._result(call)
            return (SESSION_MESSAGES if isinstance(answer, AuthSuccess) else CALL_MESSAGES).encode(answer)
        except CmdopError as error:
            refused = error
        except Exception:  # noqa: BLE001 - a mistake of ours ends no stream, and no agent
            _LOG.exception("the call %s", type(call).__name__)
            refused = LocalProtocolError(reason="see the agent's log")
        return SESSION_MESSAGES.encode(Refused.of(refused))

    def _result(self, call: Any) -> Message:
        rule = RULES[type(call)]
        if not rule.free and not self._allowed(call.session_token):
            raise TokenMissing(host="the machine")
        if self._guest.observer and not rule.observers:
            raise RoleTooLow(what=rule.what, needed="operator", role="observer")
        return rule.answer(self, call)

    # -- what each does, on the stream's own thread; a CmdopError is the answer ------------------

    def _prove(self, call: Authenticate) -> Message:
        return self._authenticate(call.method, call.password)

    def _list(self, call: ListSessions) -> Message:
        return page(self._shells.records(), call.first)

    def _create(self, call: CreateSession) -> Message:
        shell = self._shells.create(call, self._guest.operator)
        self._shells.wake()  # the relay's directory is to know of it before its client asks there
        return Sessions((shell.record(),))

    def _type(self, call: SendInput) -> Message:
        self._find(call.session).type_all(call.data, CALL_WAIT_SECONDS)
        return Done()

    def _resize(self, call: SendResize) -> Message:
        self._find(call.session).resize_by_call(Winsize(call.rows, call.cols))
        return Done()

    def _signal(self, call: SendSignal) -> Message:
        if not self._find(call.session).signal(call.signal):
            raise SignalLost(signal=call.signal, session=call.session[:8])
        return Done()

    def _read(self, call: GetOutput) -> Message:
        most = min(call.max_bytes or CALL_DATA_MAX_BYTES, CALL_DATA_MAX_BYTES)
        return self._find(call.session).read(call.offset, most)

    def _end(self, call: CloseSession) -> Message:
        shell = self._find(call.session)
        shell.end()
        if not shell.join(0):
            raise TimedOut(what=f"session {call.session[:8]}, which was to end,", seconds=2 * HANGUP_TO_KILL_SECONDS)
        return Done()

    def _find(self, wanted: str) -> CalledShell:
        """The session of that id or unique prefix. Raises SessionGone or AmbiguousSession."""
        shell = self._shells.find(wanted) if wanted else None
        if shell is None:
            raise SessionGone(session=wanted or "without an id", what="")
        return shell


@dataclass(frozen=True)
class Rule:
    """What a call does, in the words of a refusal; who may make it; what answers it; and
    whether it is free of the machine's password."""

    what: str
    observers: bool
    answer: Callable[[Calls, Any], Message]
    free: bool = False


RULES: dict[type[Message], Rule] = {
    Authenticate: Rule("proving that one knows the password", True, Calls._prove, free=True),
    ListSessions: Rule("listing sessions", True, Calls._list),
    GetOutput: Rule("reading a session", True, Calls._read),
    CreateSession: Rule("opening a session", False, Calls._create),
    SendInput: Rule("typing into a session", False, Calls._type),
    SendResize: Rule("resizing a session", False, Calls._resize),
    SendSignal: Rule("signalling a session", False, Calls._signal),
    CloseSession: Rule("ending a session", False, Calls._end),
}
"""Every call that there is; nothing else is taken from a client."""


def page(records: Sequence[SessionRecord], first: int) -> Sessions:
    """The records from number `first` on, as many as fit one answer, and at least one."""
    shown: list[SessionRecord] = []
    room = DATA_MAX_BYTES - _PAGE_OVERHEAD_BYTES
    for record in records[first:]:
        room -= len(CALL_MESSAGES.encode(Sessions((record,))))
        if shown and room < 0:
            break
        shown.append(record)
    return Sessions(tuple(shown), more=first + len(shown) < len(records))
