"""One client's stream, as the agent serves it: handshake, admission, then the session.

Frames come on the uplink's reader thread and are handled there, so a keystroke goes
from the socket to the PTY without another thread. Only the admission has threads of its
own (agent/entrance.py), and calls, and commands.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from cmdop.agent.admission import Admission, Guest
from cmdop.agent.calls import Calls
from cmdop.agent.doorway import Doorway
from cmdop.agent.entrance import Entrance
from cmdop.agent.executing import Execution
from cmdop.agent.executions import Executions
from cmdop.agent.shell import Shell, ShellOver
from cmdop.agent.viewer import Viewer
from cmdop.errors import (
    CmdopError,
    CommandRefused,
    ConnectionClosed,
    LocalProtocolError,
    RemoteProtocolError,
    RoleTooLow,
    TimedOut,
    VersionMismatch,
)
from cmdop.limits import HANGUP_TO_KILL_SECONDS, PROTOCOL_VERSION
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.session.states import PATIENCE_SECONDS, StreamEvent, StreamState
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import Open
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthResponse, Detach, Ended, Refused, Register, Resize

_LOG = logging.getLogger("cmdop.agent")
_BULK = frozenset({int(RecordKind.OUTPUT), int(RecordKind.REPLAY), int(RecordKind.ERROR_OUTPUT)})
"""What waits while the connection is congested."""


class Uplink(Protocol):
    """What a stream needs of the connection that it runs in."""

    def send_sealed(self, stream: int, payload: bytes) -> None: ...

    def close_stream(self, stream: int, code: str = "", reason: str = "") -> None: ...

    @property
    def congested(self) -> bool: ...

    @property
    def turn(self) -> int:
        """Goes up whenever the connection takes more: however full it is, each stream may
        send one record a turn, or one that has much to send would starve the others."""


class AgentStream:
    """Serves one stream. `frame` and `closed` are called by one thread."""

    def __init__(
        self,
        stream_id: int,
        opened: Open,
        psk: bytes,
        static_key: bytes,
        uplink: Uplink,
        admission: Admission,
        executions: Executions | None = None,
    ) -> None:
        """Without `executions` no command is run here."""
        self._id, self._opened, self._uplink, self._admission = stream_id, opened, uplink, admission
        self._state = StreamState.GREETING
        self._handshake = Handshake(
            False, static_key, psk, prologue(opened.machine_id, opened.role), f"the client {opened.operator}"
        )
        self._channel: Channel | None = None
        self._shell: Shell | None = None
        self._viewer: Viewer | None = None
        self._step_at = time.monotonic()
        self._sent_in_turn = -1
        """The uplink's turn in which it last sent output."""
        # Guards the seal's order, `_state` and `_step_at`: records leave in the order they were sealed.
        self._sealing = threading.Lock()
        guest = Guest(opened.operator, opened.role == "observer")
        self._rights = guest
        self._door = Doorway(admission, guest, opened, self._handshake)
        self._allowed: Callable[[str], bool] = lambda session_token: admission.may_call(session_token, guest)
        # None of these knows the stream longer than a call takes: once it is over nothing
        # holds it, and it need not wait for the garbage collector.
        self._entrance = Entrance(stream_id, admission, self._door, guest)
        self._calls = Calls(admission.shells, guest, self._allowed, self._door.authenticate)
        self._executions = executions
        self._execution: Execution | None = None

    # -- from the uplink -----------------------------------------------------------------

    def frame(self, payload: bytes) -> None:
        """A SEALED frame of this stream. A client that breaks the rules loses its stream."""
        try:
            if self._channel is None:
                self._shake(payload)
            else:
                self._on_record(decode_record(self._channel.open(payload)))
        except Exception as error:  # noqa: BLE001 - no client may end the agent
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """End this stream, and nothing else. A mistake of our own goes into the log."""
        if not isinstance(error, CmdopError):
            _LOG.exception("stream %d", self._id)
            error = LocalProtocolError(reason="see the agent's log")
        self.refuse(error)

    @property
    def key_id(self) -> str:
        """The API key that it was opened with, as the relay told it."""
        return self._opened.key_id

    @property
    def closed_already(self) -> bool:
        return self._state is StreamState.CLOSED

    def pump(self) -> None:
        """The uplink takes more: send what the session has for this client."""
        shell, viewer, execution = self._shell, self._viewer, self._execution
        if shell is not None and viewer is not None:
            shell.pump(viewer)
        elif execution is not None:
            execution.wake()

    def closed(self, left: bool = False) -> None:
        """The stream is over, because the client `left` or for another reason; the session
        is not. Twice is quiet."""
        with self._sealing:
            self._state = StreamState.CLOSED
            shell, viewer = self._shell, self._viewer
            self._shell = self._viewer = None
            execution, self._execution = self._execution, None
        if execution is not None:
            execution.close()
        self._calls.close()
        self._door.leave()
        if shell is not None and viewer is not None:
            self._admission.leave(shell, viewer, left)

    def end_if_idle(self, now: float) -> None:
        """End a stream that takes too long to get in. `now` is of the monotonic clock; any thread."""
        with self._sealing:
            patience_seconds = PATIENCE_SECONDS.get(self._state, math.inf)
            idle = now - self._step_at >= patience_seconds
        if idle:
            self.refuse(TimedOut(what="the client", seconds=patience_seconds))

    def step(self, event: StreamEvent) -> None:
        """One step further, unless the stream was closed meanwhile: raises RemoteProtocolError."""
        with self._sealing:
            self._state = self._state.after(event)
            self._step_at = time.monotonic()

    def _shake(self, payload: bytes) -> None:
        self.step(StreamEvent.HANDSHAKE)
        self._handshake.read(payload)
        if self._handshake.finished:
            self._channel = self._handshake.channel()
        else:
            self._uplink.send_sealed(self._id, self._handshake.write())

    def _on_record(self, record: Record) -> None:
        """What the client says, to its command or else to us. A kind that this version does not know is ignored."""
        to = self._execution or self
        if record.kind == RecordKind.INPUT:
            to.on_input(record)
        elif record.kind == RecordKind.CREDIT:
            to.on_credit(record)
        elif record.kind == RecordKind.CONTROL:
            to.on_control(record)

    def on_control(self, record: Record) -> None:
        message = SESSION_MESSAGES.decode(record.payload)
        if isinstance(message, Unknown):
            self._on_call(record.payload)
            return
        if isinstance(message, Register):
            self._register(message)
            return
        if isinstance(message, AuthResponse):
            self._entrance.respond(message, self)
            return
        shell, viewer = self._attached(StreamEvent.DATA)
        if isinstance(message, Resize):
            shell.resize(viewer, Winsize(message.rows, message.cols))
        elif isinstance(message, Detach):
            # Under the seal: a Closed alone may be the relay's, and a pipe has to be sure of its end.
            self.send_record(RecordKind.ACK, viewer.typist.typed.received, b"")
            self.finish(left=True)
        else:
            raise RemoteProtocolError(reason=f"{type(message).__name__} from a client")

    def _on_call(self, payload: bytes) -> None:
        """A call or a command, on a stream on which nobody registered; elsewhere of no meaning."""
        if self._state not in (StreamState.REGISTERING, StreamState.CALLING):
            return
        message = EXEC_MESSAGES.decode(payload)
        if isinstance(message, Execute):
            self._execute(message)
        else:
            self.step(StreamEvent.CALL)
            self._calls.handle(payload, self.send_payload)

    def _execute(self, wanted: Execute) -> None:
        if self._executions is None:
            raise CommandRefused(host="the machine", reason="it runs none")
        execution = Execution(wanted, self, self._executions, self._rights, self._allowed)
        with self._sealing:
            self._state = self._state.after(StreamEvent.EXECUTE)
            self._execution = execution
        execution.begin()

    def not_executed(self, error: CmdopError) -> None:
        """The command was refused; quiet once the stream is closed."""
        with self._sealing:
            if self._state is StreamState.CLOSED:
                return
            self._state, self._step_at = self._state.after(StreamEvent.NOT_EXECUTED), time.monotonic()
            self._execution = None
        self.send_control(Refused.of(error))

    def on_input(self, record: Record) -> None:
        shell, viewer = self._attached(StreamEvent.DATA)
        if viewer.observer:
            raise RoleTooLow(what="typing into a session", needed="operator", role="observer")
        shell.type(viewer, record.offset, record.payload)

    def on_credit(self, record: Record) -> None:
        shell, viewer = self._attached(StreamEvent.DATA)
        shell.grant(viewer, record.offset)

    def _attached(self, event: StreamEvent) -> tuple[Shell, Viewer]:
        """The session of this stream. Raises RemoteProtocolError before there is one."""
        self._state.after(event)
        shell, viewer = self._shell, self._viewer
        if shell is None or viewer is None:
            raise ConnectionClosed(reason="the stream is closed")
        return shell, viewer

    # -- admission ------------------------------------------------------------------------------

    def _register(self, wanted: Register) -> None:
        self.step(StreamEvent.REGISTER)
        if wanted.version != PROTOCOL_VERSION:
            raise VersionMismatch(peer="the client", theirs=wanted.version, ours=PROTOCOL_VERSION)
        self._entrance.register(wanted, self)

    def enter(self, wanted: Register, guest: Guest) -> bool:
        """Attach to a session; False when it ended just then."""
        shell, viewer, entry = self._admission.enter(wanted, guest, self)
        with viewer.pumping:
            try:
                ready = shell.attach(viewer, entry)
            except ShellOver:
                shell.join(HANGUP_TO_KILL_SECONDS)
                return False
            with self._sealing:
                gone = self._state is StreamState.CLOSED
                if not gone:
                    self._state = self._state.after(StreamEvent.ADMITTED)
                    self._shell, self._viewer = shell, viewer
            if not gone:
                self.send_control(ready)
        if gone:
            self._admission.leave(shell, viewer, left=False)
        else:
            self._admission.entered()
            shell.show()
        return True

    # -- to the client (the `Watching` of its viewer) ----------------------------------------------

    @property
    def congested(self) -> bool:
        return self._uplink.congested and self._sent_in_turn == self._uplink.turn

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        with self._sealing:
            if self._state is StreamState.CLOSED or self._channel is None:
                return
            if kind in _BULK:
                self._sent_in_turn = self._uplink.turn
            self._uplink.send_sealed(self._id, self._channel.seal(encode_record(kind, offset, payload)))

    def send_control(self, message: Message) -> None:
        self.send_payload(SESSION_MESSAGES.encode(message))

    def send_payload(self, payload: bytes) -> None:
        self.send_record(RecordKind.CONTROL, 0, payload)

    def end(self, ended: Ended) -> None:
        """Tell the client of the session's end; it leaves then."""
        self.send_control(ended)

    def finish(self, left: bool = False) -> None:
        """Close the stream in good order."""
        self.closed(left)
        self._uplink.close_stream(self._id)

    def refuse(self, error: CmdopError) -> None:
        """Close the stream and say why: sealed where there is a channel."""
        refused = Refused.of(error)
        if self._channel is not None:
            self.send_control(refused)
        self.closed()
        if self._channel is None:
            self._uplink.close_stream(self._id, refused.code, refused.reason)
        else:
            self._uplink.close_stream(self._id)  # why was said under the seal
