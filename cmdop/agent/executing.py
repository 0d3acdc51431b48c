"""Commands without a session, as the agent runs them for its clients (docs/protocol.md §7.4).

Each has a thread, `command`: it judges whether the client may, starts the program, and
carries its bytes to the stream until both outputs are at their end. It blocks in reading
the machine's password file, and in the program's `wait`: for output that there is credit
and room for, for input that there is a taker for, for the end; it is woken by those and by
`Program.wake`. When the client is gone it hangs the program up, waits for its end no
longer than `HANGUP_TO_KILL_SECONDS`, and kills it.

The uplink's reader takes in what the client says, and never waits for the program.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from cmdop.agent.admission import Guest
from cmdop.agent.executions import Executions
from cmdop.deadline import Deadline
from cmdop.errors import (
    CmdopError,
    CommandUnusable,
    LocalProtocolError,
    RemoteProtocolError,
    RoleTooLow,
    TokenMissing,
)
from cmdop.exechost.interface import Exited, Program, Wants
from cmdop.limits import (
    DATA_MAX_BYTES,
    HANGUP_TO_KILL_SECONDS,
    WINDOW_MAX_BYTES,
    WINDOW_MIN_BYTES,
)
from cmdop.session.credit import ReceiveWindow, SendCredit
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute, InputEnded, OutputEnded, Signal, Started
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Ended, Resize

_LOG = logging.getLogger("cmdop.agent")

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
"""What a shell's `$?` has for a command that is not there, and for one that cannot be run."""
_TOGETHER_BYTES: Final = 4096
"""Small records are put together up to here: each that waits takes far more than a byte."""
_FOR_INPUT: Final = bytes([RecordKind.INPUT])
_KINDS: Final = {False: RecordKind.OUTPUT, True: RecordKind.ERROR_OUTPUT}


class ExecutingStream(Protocol):
    """What a command needs of its client's stream. Nothing here blocks."""

    def send_record(self, kind: int, offset: int, payload: bytes) -> None: ...

    def send_payload(self, payload: bytes) -> None:
        """A CONTROL record."""

    @property
    def congested(self) -> bool: ...

    def finish(self) -> None:
        """Nothing more is to be said: close the stream."""

    def not_executed(self, error: CmdopError) -> None:
        """Refuse the command; the stream may be used for something else."""


class _Output:
    """One of a program's outputs on its way: how far it is, and how far it may go."""

    def __init__(self, window_bytes: int) -> None:
        self.offset = 0
        self.credit = SendCredit(min(window_bytes, WINDOW_MAX_BYTES))
        self.over = False
        self.refused = False
        """The client takes no more."""


class Execution:
    """One command of one stream.

    `allowed` says whether a session token opens this machine; it may read a file.
    """

    def __init__(
        self,
        wanted: Execute,
        stream: ExecutingStream,
        executions: Executions,
        guest: Guest,
        allowed: Callable[[str], bool],
    ) -> None:
        self._wanted, self._stream, self._executions = wanted, stream, executions
        self._guest, self._allowed = guest, allowed
        self._program: Program | None = None
        self._outputs = {error: _Output(wanted.window_bytes) for error in _KINDS}
        self._outputs[True].over = wanted.tty
        # Guards the rest, the outputs' credit, and that `_program` is set. Never held while the
        # program is called.
        self._lock = threading.Lock()
        self._window = ReceiveWindow(0, WINDOW_MIN_BYTES)
        self._pending: deque[memoryview] = deque()
        self._received = 0
        self._input_ending = False
        self._input_over = not wanted.stdin
        self._gone = self._killed = False

    def begin(self) -> None:
        """Start its thread."""
        threading.Thread(target=self._run, name="command", daemon=True).start()

    # -- from the uplink --------------------------------------------------------------------

    def wake(self) -> None:
        """The connection takes more, or there is something to do."""
        program = self._program
        if program is not None:
            program.wake()

    def close(self) -> None:
        """The client is gone, or the command over. Never blocks; twice is quiet."""
        with self._lock:
            self._gone = True
        self.wake()

    def kill(self) -> None:
        """End it at once, for whoever cannot wait. Any thread."""
        with self._lock:
            self._gone = self._killed = True
            program = self._program
        if program is not None:
            program.kill()
            program.wake()

    def on_input(self, record: Record) -> None:
        """Raises RemoteProtocolError for a gap, or more than it was given credit for."""
        size = len(record.payload)
        with self._lock:
            if record.offset != self._received:
                raise RemoteProtocolError(reason=f"input at {record.offset}, and {self._received} was next")
            if record.offset + size > self._window.limit:
                raise RemoteProtocolError(reason="more input than it has credit for")
            self._received += size
            if not size or self._input_over or self._input_ending:
                return
            self._window.received(size, time.monotonic())
            idle = not self._pending
            self._queue(record.payload)
        if idle:
            self.wake()

    def _queue(self, data: bytes) -> None:
        """Keep input until the program takes it. The lock is held."""
        # The first may be with the program just now, and stays as it is.
        if len(self._pending) > 1 and len(self._pending[-1]) < _TOGETHER_BYTES:
            data = bytes(self._pending.pop()) + data
        self._pending.append(memoryview(data))

    def on_credit(self, record: Record) -> None:
        error = record.payload == bytes([RecordKind.ERROR_OUTPUT])
        if not error and record.payload not in (b"", bytes([RecordKind.OUTPUT])):
            return  # for something that this version does not know
        with self._lock:
            output = self._outputs[error]
            starved = not output.credit.spendable(output.offset)
            more = output.credit.grant(record.offset)
        if starved and more:
            self.wake()

    def on_control(self, record: Record) -> None:
        for codec in (EXEC_MESSAGES, SESSION_MESSAGES):
            message = codec.decode(record.payload)
            if not isinstance(message, Unknown):
                self._on_message(message)

    def _on_message(self, message: Message) -> None:
        program = self._program
        if program is None:
            raise RemoteProtocolError(reason=f"{type(message).__name__} before the command runs")
        if isinstance(message, Signal):
            program.signal(message.signal)
        elif isinstance(message, Resize):
            program.resize(Winsize(message.rows, message.cols))
        elif isinstance(message, InputEnded):
            with self._lock:
                self._input_ending = True
            program.wake()
        elif isinstance(message, OutputEnded):
            with self._lock:
                self._outputs[message.error].refused = True
            program.wake()
        else:
            raise RemoteProtocolError(reason=f"{type(message).__name__} from a client")

    # -- the command's thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except CmdopError as error:
            self._stream.not_executed(error)
        except Exception:  # noqa: BLE001 - a mistake of ours ends no agent
            _LOG.exception("a command")
            self._stream.not_executed(LocalProtocolError(reason="see the agent's log"))

    def _serve(self) -> None:
        """Raises CmdopError when the command is not run."""
        if not self._allowed(self._wanted.session_token):
            raise TokenMissing(host="the machine")
        if self._guest.observer:
            raise RoleTooLow(what="running a command", needed="operator", role="observer")
        self._executions.enter(self)
        try:
            program = self._start()
            if program is not None:
                self._attend(program)
        finally:
            self._executions.leave(self)

    def _start(self) -> Program | None:
        """The program, running; None if it is over before it began. Raises CommandUnusable."""
        try:
            program = self._executions.start(self._wanted)
        except CommandUnusable as error:
            number = error.details.get("errno")
            if number is None:
                raise
            self._say(Started())
            self._send(_KINDS[not self._wanted.tty], f"cmdop: {error.sentence}\n".encode())
            self._end(Exited(NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_RUNNABLE))
            return None
        with self._lock:
            self._program = program
        return program

    def _send(self, kind: RecordKind, data: bytes) -> None:
        """A line of our own, before any output of the program."""
        self._stream.send_record(kind, 0, data)

    def _attend(self, program: Program) -> None:
        """Carry its bytes, and see to its end."""
        end: Exited | None = None
        try:
            self._say(Started(WINDOW_MIN_BYTES if self._wanted.stdin else 0))
            end = self._carry(program)
        finally:
            if end is None:
                self._put_down(program)
            program.close()
        if end is not None:
            self._end(end)

    def _carry(self, program: Program) -> Exited | None:
        """Carry bytes until both outputs are over and the program has ended; how it did.

        None when the client is gone.
        """
        ended = False
        while True:
            self._close_unwanted(program)
            with self._lock:
                if self._gone:
                    return None
            end = program.exited() if ended and all(output.over for output in self._outputs.values()) else None
            if end is not None:
                return end
            ready = program.wait(self._wants())
            ended = ready.ended
            if ready.stdin:
                self._feed(program)
            if ready.stdout:
                self._read(program, error=False)
            if ready.stderr:
                self._read(program, error=True)

    def _wants(self) -> Wants:
        room = not self._stream.congested
        with self._lock:
            output, error = (
                room and not each.over and each.credit.spendable(each.offset) > 0 for each in self._outputs.values()
            )
            return Wants(bool(self._pending), output, error)

    def _close_unwanted(self, program: Program) -> None:
        """Close what the client has no more of, or wants no more of."""
        with self._lock:
            input_over = self._input_ending and not self._pending and not self._input_over
            self._input_over |= input_over
            refused = [error for error, output in self._outputs.items() if output.refused and not output.over]
            for error in refused:
                self._outputs[error].over = True
        if input_over:
            program.close_input()
        for error in refused:
            program.close_output(error)

    def _feed(self, program: Program) -> None:
        """Give the program what waits for it, as far as it takes it."""
        with self._lock:
            data = self._pending[0] if self._pending else None
        if data is None:
            return
        taken = program.write(data)
        with self._lock:
            if taken is None:
                self._pending.clear()
                self._input_over = True
            elif taken == len(data):
                self._pending.popleft()
            else:
                self._pending[0] = data[taken:]
            limit = self._window.wrote(taken, time.monotonic(), self._wanted.round_trip_seconds) if taken else None
        if taken is None:
            self._say(InputEnded())
        elif limit is not None:
            self._stream.send_record(RecordKind.CREDIT, limit, _FOR_INPUT)

    def _read(self, program: Program, error: bool) -> None:
        """Send what the program wrote, as much as there is credit for."""
        output = self._outputs[error]
        with self._lock:
            size = min(output.credit.spendable(output.offset), DATA_MAX_BYTES)
        data = program.read(error, size)
        if data is None:
            output.over = True
            self._say(OutputEnded(error))
        elif data:
            self._stream.send_record(_KINDS[error], output.offset, data)
            with self._lock:
                output.offset += len(data)

    def _say(self, message: Message) -> None:
        self._stream.send_payload(EXEC_MESSAGES.encode(message))

    def _end(self, end: Exited) -> None:
        message = Ended(end.status, end.signal, self._outputs[False].offset)
        self._stream.send_payload(SESSION_MESSAGES.encode(message))
        self._stream.finish()

    def _put_down(self, program: Program) -> None:
        """Nobody wants it any more: end it, politely at first."""
        deadline = Deadline(HANGUP_TO_KILL_SECONDS)
        program.hang_up()
        while program.exited() is None and not self._killed and not deadline.passed:
            program.wait(Wants(), deadline.remaining_seconds)
        program.kill()
