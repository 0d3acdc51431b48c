"""The attach loop: the user's terminal on one side, a session on the other.

Threads. Main waits in `Attach.run` for the first outcome; signals only put an event
into its queue. `relay->stdout` blocks in poll on the connection and, while something is
queued, on the terminal; it is woken by both, by the next ping's time, and by the
connection's close. `stdin->relay` blocks in the terminal's read, and is woken by keys
and by `Terminal.wake`. Neither ever waits for the other, or for the network to take
something: leaving needs nothing but the key.

The terminal is put back in `run`, by leaving one `with` block, whatever happened.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

from cmdop.client.keys import KeyMachine
from cmdop.client.link import MachineStream
from cmdop.client.outcome import Detached, Failed, Killed, Outcome, SessionEnded
from cmdop.client.poll import wait_for
from cmdop.client.show import Show
from cmdop.errors import CmdopError, ConnectionClosed, RelayLost, RemoteProtocolError, TimedOut, from_peer
from cmdop.limits import (
    GRACE_SECONDS,
    INPUT_BACKLOG_MAX_BYTES,
    KEY_HOLD_SECONDS,
    LINK_DEAD_SECONDS,
    PING_INTERVAL_SECONDS,
    RESTORE_WITHIN_SECONDS,
)
from cmdop.session.credit import ReceiveWindow
from cmdop.session.typed import TypedOut
from cmdop.terminal.interface import Terminal
from cmdop.winsize import Winsize
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Detach, Ended, Ready, Refused, Resize
from cmdop.wire.session_messages import Detached as DetachedByAgent

_LOG = logging.getLogger("cmdop.client")


class Attach:
    """One attach, from Ready to its outcome."""

    def __init__(
        self,
        stream: MachineStream,
        ready: Ready,
        terminal: Terminal,
        keys: KeyMachine,
        read_only: bool = False,
        told_size: Winsize | None = None,
    ) -> None:
        """`told_size` is the size that the machine was told when it was asked for the session."""
        self._stream, self._terminal, self._keys, self._read_only = stream, terminal, keys, read_only
        self._created = ready.created
        self._told_size = told_size or terminal.size()
        self._events: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        """The first outcome wins; None says that the window's size changed. Signal
        handlers put into it, which a SimpleQueue allows and a Condition does not."""
        window = ReceiveWindow(ready.output_offset)
        window.first_grant()
        self._show = Show(terminal.output, ready.output_offset, window, stream.about.round_trip_seconds)
        if terminal.is_tty:
            self._show.put_opening()
        self._typed = TypedOut()
        # Guards `_typed`, which the reader acknowledges and the writer fills; told of acks.
        self._typing = threading.Condition()
        self._ended: Ended | None = None
        self._stopping = False

    @property
    def at_line_start(self) -> bool:
        """Whether the cursor is most likely at the beginning of a line."""
        return self._show.at_line_start

    def run(self, attached: Callable[[], None]) -> Outcome:
        """Attach until something ends it, with the terminal put back. On the main thread.

        `attached` is called once the terminal is raw, so that the keys mean what it says.
        """
        outcome: Outcome = Failed(ConnectionClosed(reason="the attach was abandoned"))
        shower = threading.Thread(target=self._relay_to_stdout, name="relay->stdout", daemon=True)
        typist = threading.Thread(target=self._stdin_to_relay, name="stdin->relay", daemon=True)
        try:
            with self._signals(), self._terminal.raw():  # entered last and left first: no signal finds it raw
                try:
                    attached()
                    self._events.put(None)  # the window may have been resized on the way here
                    shower.start()
                    typist.start()
                    outcome = self._wait()
                finally:
                    self._stop(typist)
        finally:
            self._leave(outcome)
        return outcome

    def _wait(self) -> Outcome:
        while True:
            event = self._events.get()
            if event is not None:
                return event
            size = self._terminal.size()
            if size == self._told_size:
                continue
            self._told_size = size
            with contextlib.suppress(ConnectionClosed):
                self._stream.send_control(Resize(size.rows, size.cols))

    def _stop(self, typist: threading.Thread) -> None:
        """Nothing more is shown or typed; the modes that the remote left on are undone."""
        self._stopping = True
        self._terminal.wake()
        with self._typing:
            self._typing.notify_all()
        until = time.monotonic() + RESTORE_WITHIN_SECONDS / 2
        undo = self._show.stop(RESTORE_WITHIN_SECONDS / 2)
        with contextlib.suppress(CmdopError):
            while undo and time.monotonic() < until:
                taken = self._terminal.output.try_write(undo)
                undo = undo[taken:]
                if undo and not taken:
                    wait_for(None, self._terminal.output.poll_fd, until - time.monotonic())
        if typist.ident is not None:
            typist.join(RESTORE_WITHIN_SECONDS / 2)
        if not undo:
            self._terminal.drain_input(self._show.answers_due)

    def _leave(self, outcome: Outcome) -> None:
        if isinstance(outcome, Detached):
            with contextlib.suppress(ConnectionClosed):
                self._stream.send_control(Detach())
        self._stream.connection.close("detached")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals that end us become outcomes, SIGWINCH a new size, for as long as we are raw."""
        with (
            self._terminal.on_resize(lambda: self._events.put(None)),
            self._terminal.on_end(lambda number: self._events.put(Killed(number))),
        ):
            yield

    # -- relay->stdout -------------------------------------------------------------------

    def _relay_to_stdout(self) -> None:
        self._until_it_fails(self._pump_out)

    def _until_it_fails(self, pump: Callable[[], None]) -> None:
        """Whatever ends a thread ends the attach: nobody is left in front of a dead terminal."""
        try:
            pump()
        except (ConnectionClosed, TimedOut) as error:
            self._events.put(Failed(self._lost(error)))
        except CmdopError as error:
            self._events.put(Failed(error))
        except Exception as error:  # noqa: BLE001 - a thread must not die alone
            _LOG.exception("%s died", threading.current_thread().name)
            self._events.put(Failed(CmdopError(reason=repr(error))))

    def _lost(self, error: CmdopError) -> RelayLost:
        return RelayLost(
            server=self._stream.connection.remote,
            reason=error.details.get("reason") or error.sentence,
            grace_seconds=round(GRACE_SECONDS),
            host=self._stream.about.host,
        )

    def _pump_out(self) -> None:
        connection = self._stream.connection
        heard_at = asked_at = time.monotonic()
        while not self._stopping:
            if self._ended is not None and not self._show.pending:
                self._events.put(SessionEnded(self._ended))
                return
            out_fd = self._show_fd()
            blind = self._show.pending and out_fd is None
            listening = self._ended is None  # nothing that counts comes behind the end
            readable, writable = listening and connection.buffered, False
            if not readable:
                timeout_seconds = 0 if blind else PING_INTERVAL_SECONDS / 2
                readable, writable = wait_for(connection if listening else None, out_fd, timeout_seconds)
            now = time.monotonic()
            if readable:
                heard_at = now
                self._take(self._stream.receive_now())
            elif listening and now - heard_at >= LINK_DEAD_SECONDS:
                raise TimedOut(what="the relay", seconds=LINK_DEAD_SECONDS)
            elif listening and now - max(heard_at, asked_at) >= PING_INTERVAL_SECONDS:
                asked_at = now
                self._stream.ping()
            if self._show.pending and (writable or blind or readable):
                limit = self._show.write()
                if limit is not None and self._ended is None:
                    self._stream.send_record(RecordKind.CREDIT, limit)

    def _show_fd(self) -> int | None:
        return self._terminal.output.poll_fd if self._show.pending else None

    def _take(self, record: Record | None) -> None:
        if record is None:
            return
        if record.kind == RecordKind.OUTPUT:
            self._show.put_output(record.offset, record.payload)
        elif record.kind == RecordKind.REPLAY:
            limit = self._show.put_replay(record.offset, record.payload)
            if limit is not None:
                self._stream.send_record(RecordKind.CREDIT, limit)
        elif record.kind == RecordKind.ACK:
            with self._typing:
                self._typed.ack(record.offset)
                self._send_typed()
                self._typing.notify_all()
        elif record.kind == RecordKind.CONTROL:
            self._on_control(SESSION_MESSAGES.decode(record.payload))

    def _on_control(self, message: Message) -> None:
        if isinstance(message, Ended):
            self._ended = message
        elif isinstance(message, Refused):
            raise from_peer(message.code, message.reason, host=self._stream.about.host)
        elif isinstance(message, DetachedByAgent):
            raise from_peer(message.code, "", host=self._stream.about.host, operator=message.operator)
        elif isinstance(message, Ready):
            raise RemoteProtocolError(reason="ready twice")

    # -- stdin->relay -----------------------------------------------------------------------

    def _stdin_to_relay(self) -> None:
        self._until_it_fails(self._pump_in)

    def _pump_in(self) -> None:
        while not self._stopping:
            data = self._terminal.read(KEY_HOLD_SECONDS if self._keys.held else None)
            if data == b"":
                self._end_of_input()
                return
            typed = self._keys.flush() if data is None else self._keys.feed(data)
            self._type(typed.forward, waiting=not typed.detach)
            if typed.detach:
                self._events.put(Detached())
                return

    def _end_of_input(self) -> None:
        """Nobody types any more: a terminal that went, or the end of a pipe.

        A pipe's end is passed on to a shell that was opened for it, as the character
        that a terminal would send (VEOF); a session of somebody else is only left.
        """
        self._type(self._keys.flush().forward + self._keys.finish())
        if self._created and not self._read_only and not self._terminal.is_tty:
            self._type(b"\x04")
        else:
            self._events.put(Detached())

    def _type(self, data: bytes, waiting: bool = True) -> None:
        if not data or self._read_only:
            return
        with self._typing:
            self._typed.type(data)
            with contextlib.suppress(ConnectionClosed):  # `relay->stdout` tells, unless the session is over
                self._send_typed()
            if waiting:
                # A paste that the program does not read: the terminal has to wait, as under ssh.
                self._typing.wait_for(lambda: self._stopping or self._typed.waiting_bytes < INPUT_BACKLOG_MAX_BYTES)

    def _send_typed(self) -> None:
        """Send what the window allows. `_typing` is held; sending does not block."""
        while (piece := self._typed.next_to_send()) is not None:
            self._stream.send_record(RecordKind.INPUT, *piece)
