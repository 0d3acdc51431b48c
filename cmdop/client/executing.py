"""A command on a machine, without a session: its bytes, its end (docs/protocol.md §7.4).

Main blocks in `Executing.run`, in select on the connection and on a bell; it is woken by
what comes, by the bell (a signal, an output that is delivered), by the next ping's time
and by the command's. The threads of client/delivery.py carry the bytes, so that an output
that nobody reads holds up neither the other one nor the pings.
"""

from __future__ import annotations

import contextlib
import signal as signals
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cmdop.client.bell import Bell
from cmdop.client.delivery import Delivery, Sink, Supply, say
from cmdop.client.poll import wait_for_any
from cmdop.client.refusal import refusal
from cmdop.client.stream import MachineStream
from cmdop.errors import (
    CommandLost,
    ConnectionClosed,
    MachineOffline,
    RemoteProtocolError,
    TimedOut,
    UsageError,
)
from cmdop.limits import (
    COMMAND_WORDS_MAX,
    DATA_MAX_BYTES,
    HANGUP_TO_KILL_SECONDS,
    LINK_DEAD_SECONDS,
    PING_INTERVAL_SECONDS,
    WINDOW_MIN_BYTES,
)
from cmdop.winsize import Winsize
from cmdop.wire.exec_messages import EXEC_MESSAGES, Execute, InputEnded, OutputEnded, Signal, Started
from cmdop.wire.message import Message, Unknown, replaced
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Ended, Refused, Resize

TIMED_OUT_STATUS: Final = 124
"""As timeout(1) has it."""
_LOSSES: Final = (ConnectionClosed, TimedOut, MachineOffline)
_KILLS: Final = ("INT", "KILL")
"""What the command is sent when its user interrupts it, and again; after that we leave."""


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended: its exit status, or the signal that killed it (not 0)."""

    status: int
    signal: int = 0
    timed_out: bool = False

    @property
    def exit_status(self) -> int:
        """One number, as a shell's `$?` has it; 124 for one that took too long."""
        if self.timed_out:
            return TIMED_OUT_STATUS
        return 128 + self.signal if self.signal else self.status


def executable(wanted: Execute) -> Execute:
    """The same with the first credit. Raises UsageError for a command too long to be sent."""
    words = (*wanted.command, *wanted.env)
    size = sum(len(word) + 8 for word in words) + len(wanted.cwd) + 1024
    if size > DATA_MAX_BYTES or len(wanted.command) > COMMAND_WORDS_MAX or len(wanted.env) > COMMAND_WORDS_MAX:
        most = f"{DATA_MAX_BYTES // 1024} KiB and {COMMAND_WORDS_MAX} words"
        raise UsageError(reason=f"the command is too long ({most} at most): let it read the rest from its input")
    return replaced(wanted, window_bytes=WINDOW_MIN_BYTES)


class Executing:
    """One command, from `Started` to its end."""

    def __init__(
        self, stream: MachineStream, started: Started, output: Sink, error: Sink, read: Callable[[int], bytes] | None
    ) -> None:
        """`read` brings the input, for a command that was asked for with it."""
        self._stream = stream
        self._bell = Bell()
        self._outputs = {
            kind: Delivery(stream, kind, sink, WINDOW_MIN_BYTES, self._bell.ring)
            for kind, sink in ((RecordKind.OUTPUT, output), (RecordKind.ERROR_OUTPUT, error))
        }
        self._supply = Supply(stream, read, started.window_bytes) if read is not None else None
        self._ended: Ended | None = None
        self._interrupts = self._interrupts_told = 0
        self._left_with = 0
        self._winsize: Winsize | None = None
        self._heard_at = self._asked_at = 0.0

    # -- from signal handlers, on main: nothing is sent here, for main may be at it --------------

    def interrupt(self) -> None:
        """The user wants it to stop; the second time at once; the third time we leave."""
        self._interrupts += 1
        self._bell.ring()

    def leave(self, number: int) -> None:
        """This process was sent that signal: be gone, and the command with it."""
        self._left_with = number
        self._bell.ring()

    def resize(self, winsize: Winsize) -> None:
        """The user's terminal has another size."""
        self._winsize = winsize
        self._bell.ring()

    # -- main --------------------------------------------------------------------------------

    def run(self, timeout_seconds: float | None = None, hears_signals: bool = False) -> CommandEnd:
        """Until the command has ended and everything is written.

        One that takes longer than `timeout_seconds` is killed. `hears_signals` is for a process
        of which this is all that main does (`Bell.hearing_signals`). Raises CommandLost when
        the machine is lost, OutputLost when its output cannot be written.
        """
        self._heard_at = self._asked_at = time.monotonic()
        deadline = None if timeout_seconds is None else self._heard_at + timeout_seconds
        try:
            if self._supply is not None:
                self._supply.start()
            with self._bell.hearing_signals() if hears_signals else contextlib.nullcontext():
                return self._until(deadline)
        except _LOSSES as error:
            reason = error.details.get("reason") or error.sentence
            raise CommandLost(host=self._stream.about.host, reason=reason) from error
        finally:
            self._stream.connection.close("the command is over")
            self._bell.close()

    def _until(self, deadline: float | None) -> CommandEnd:
        late = False
        while True:
            end = self._end()
            if end is not None:
                return CommandEnd(end.exit_status, end.signal, late)
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                if late:
                    return CommandEnd(0, timed_out=True)  # it is killed there when we are gone, if it was not
                late, deadline = True, now + HANGUP_TO_KILL_SECONDS
                say(self._stream, Signal("KILL"))
            self._look(deadline)
            self._tell()
            if self._left_with:
                return CommandEnd(0, self._left_with)

    def _end(self) -> Ended | None:
        """How it ended, once everything is written."""
        if self._ended is None or not all(output.delivered for output in self._outputs.values()):
            return None
        for output in self._outputs.values():
            if output.error is not None:
                raise output.error
        return self._ended

    def _look(self, deadline: float | None) -> None:
        """Take in one message, or wait until there is something to do."""
        connection, listening = self._stream.connection, self._ended is None
        if listening and connection.buffered:
            self._take(self._stream.receive_now())
            return
        until = self._quiet_until() if listening else None
        ends = [moment for moment in (until, deadline) if moment is not None]
        timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
        came = listening and connection.fileno() < 0  # it was closed: the reading will say so
        if not came:
            heard = [self._bell.fileno(), connection.fileno()] if listening else [self._bell.fileno()]
            ready, _ = wait_for_any(heard, [], timeout)
            came = listening and heard[1] in ready
            if heard[0] in ready:
                self._bell.silence()
        if came:
            self._heard_at = time.monotonic()
            self._take(self._stream.receive_now())
        elif listening:
            self._quiet(time.monotonic())

    def _quiet_until(self) -> float:
        return min(max(self._heard_at, self._asked_at) + PING_INTERVAL_SECONDS, self._heard_at + LINK_DEAD_SECONDS)

    def _quiet(self, now: float) -> None:
        """Ask a link that says nothing for a sign of life, or give it up."""
        if now - self._heard_at >= LINK_DEAD_SECONDS:
            raise TimedOut(what="the relay", seconds=LINK_DEAD_SECONDS)
        if now - max(self._heard_at, self._asked_at) >= PING_INTERVAL_SECONDS:
            self._asked_at = now
            self._stream.ping()

    def _tell(self) -> None:
        """Tell the machine what signals brought."""
        while self._interrupts_told < self._interrupts:
            if self._interrupts_told >= len(_KILLS) or self._ended is not None:
                self._left_with = signals.SIGINT
                return
            say(self._stream, Signal(_KILLS[self._interrupts_told]))
            self._interrupts_told += 1
        winsize, self._winsize = self._winsize, None
        if winsize is not None and self._ended is None:
            self._stream.send_control(Resize(winsize.rows, winsize.cols))

    # -- what the machine says -----------------------------------------------------------------

    def _take(self, record: Record | None) -> None:
        if record is None:
            return
        if record.kind in (RecordKind.OUTPUT, RecordKind.ERROR_OUTPUT):
            self._outputs[RecordKind(record.kind)].put(record.offset, record.payload)
        elif record.kind == RecordKind.CREDIT:
            if self._supply is not None and record.payload == bytes([RecordKind.INPUT]):
                self._supply.grant(record.offset)
        elif record.kind == RecordKind.CONTROL:
            for codec in (EXEC_MESSAGES, SESSION_MESSAGES):
                self._on_message(codec.decode(record.payload))

    def _on_message(self, message: Message) -> None:
        if isinstance(message, InputEnded):
            if self._supply is not None:
                self._supply.end()
        elif isinstance(message, OutputEnded):
            self._outputs[RecordKind.ERROR_OUTPUT if message.error else RecordKind.OUTPUT].end()
        elif isinstance(message, Ended):
            self._ended = message
            for output in self._outputs.values():
                output.end()
        elif isinstance(message, Refused):
            raise refusal(message, self._stream.about.host)
        elif not isinstance(message, Unknown):
            raise RemoteProtocolError(reason=f"{type(message).__name__} while a command runs")
