"""What the user types, on its way to the machine: the thread `stdin->relay`.

It blocks in the terminal's read, and is woken by keys and by `Terminal.wake`; and, past
`INPUT_BACKLOG_MAX_BYTES`, in waiting for acks, from which `stop` wakes it. It never
waits for the network to take something: while there is no connection, what is typed is
kept, and sent over the next one.

A pipe has no leaving key. At its end the machine is told that the client leaves, behind
the last byte and over each connection anew, and its answer is what shows that every
byte came.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from cmdop.client.answers import Answers
from cmdop.client.keys import KeyMachine, Typed
from cmdop.client.outcome import Detached
from cmdop.client.stream import MachineStream
from cmdop.errors import ConnectionClosed
from cmdop.limits import INPUT_BACKLOG_MAX_BYTES, KEY_HOLD_SECONDS
from cmdop.session.typed import TypedOut
from cmdop.terminal.interface import Terminal
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Detach


class Typist:
    """Judges what is typed and sends it, once and in order, over one connection after the other."""

    def __init__(
        self,
        terminal: Terminal,
        keys: KeyMachine,
        answers: Answers | None,
        stream: MachineStream,
        leave: Callable[[Detached], None],
        read_only: bool = False,
        ends_shell: bool = False,
    ) -> None:
        """`leave` is told of the leaving key. With `ends_shell` the end of input is typed."""
        self._terminal, self._keys, self._answers = terminal, keys, answers
        self._leave, self._read_only, self._ends_shell = leave, read_only, ends_shell
        self._typed = TypedOut()
        self._stream: MachineStream | None = stream
        self._leaving = False
        """Whether the input of a pipe ended, and the client leaves once it is with the machine."""
        self._said_goodbye = False
        """Whether the machine was told so over this connection, behind all of it."""
        # Guards the four above; told of acks. Sending does not block.
        self._typing = threading.Condition()
        self._stopped = False

    def run(self) -> None:
        """Until the leaving key, the end of input, or `stop`. Raises TerminalGone."""
        while not self._stopped:
            held = self._keys.held or (self._answers is not None and self._answers.held)
            data = self._terminal.read(KEY_HOLD_SECONDS if held else None)
            if data == b"":
                self._end_of_input()
                return
            typed = self._flushed() if data is None else self._judged(data)
            self._type(typed.forward, waiting=not typed.detach)
            if typed.detach:
                self._leave(Detached())
                return

    def stop(self) -> None:
        """Type nothing more. From any thread; the terminal's read is woken by its `wake`."""
        self._stopped = True
        with self._typing:
            self._typing.notify_all()

    def _judged(self, data: bytes) -> Typed:
        return self._keys.feed(data if self._answers is None else self._answers.sift(data))

    def _flushed(self) -> Typed:
        """What was held back for the rest of it, which did not come."""
        rest = b"" if self._answers is None else self._answers.flush()
        typed = self._keys.feed(rest)
        if typed.detach:
            return typed
        held = self._keys.flush()
        return Typed(typed.forward + held.forward, held.detach)

    def _end_of_input(self) -> None:
        """Nobody types any more: a terminal that went, or the end of a pipe.

        A pipe's end is passed on to a shell that was opened for it, as the character
        that a terminal would send (VEOF); a session of somebody else is only left, once
        the machine has what was typed (`left_behind_all`).
        """
        self._type(self._flushed().forward + self._keys.finish())
        if self._ends_shell and not self._read_only:
            self._type(b"\x04")
        elif self._terminal.is_tty or self._read_only:
            self._leave(Detached())
        else:
            with self._typing:
                self._leaving = True
                self._send()

    def _type(self, data: bytes, waiting: bool = True) -> None:
        if not data or self._read_only:
            return
        with self._typing:
            self._typed.type(data)
            self._send()
            if waiting:
                # A paste that the program does not read: the terminal has to wait, as under ssh.
                self._typing.wait_for(lambda: self._stopped or self._typed.waiting_bytes < INPUT_BACKLOG_MAX_BYTES)

    def _send(self) -> None:
        """Send what the window allows, if there is a connection. `_typing` is held."""
        stream = self._stream
        if stream is None:
            return
        with contextlib.suppress(ConnectionClosed):  # `relay->stdout` will notice, and tell
            while (piece := self._typed.next_to_send()) is not None:
                stream.send_record(RecordKind.INPUT, *piece)
            if self._leaving and not self._said_goodbye and not self._typed.waiting_bytes:
                self._said_goodbye = True
                stream.send_control(Detach())

    # -- called by `relay->stdout` and `redial` ---------------------------------------------

    def ack(self, offset: int) -> None:
        """The machine has what is below. Raises RemoteProtocolError for what was never sent."""
        with self._typing:
            self._typed.ack(offset)
            self._send()
            self._typing.notify_all()

    @property
    def acked(self) -> int:
        """Where a new connection may count from."""
        with self._typing:
            return self._typed.acked

    @property
    def said_goodbye(self) -> bool:
        """Whether the machine was told over this connection that the client leaves."""
        with self._typing:
            return self._said_goodbye

    def left_behind_all(self, stream: MachineStream) -> bool:
        """Whether the machine let the client go behind the last byte of a pipe, over this connection,
        and said itself that it has that byte."""
        with self._typing:
            return self._said_goodbye and stream.finished and self._typed.acked == self._typed.end

    def lost(self) -> None:
        """There is no connection; from now on what is typed is kept."""
        with self._typing:
            self._stream, self._said_goodbye = None, False

    def resumed(self, stream: MachineStream, offset: int) -> None:
        """There is another one, on which the machine has everything below `offset`.

        Raises RemoteProtocolError for a place that cannot be.
        """
        with self._typing:
            self._typed.resume_at(offset)
            self._stream = stream
            self._send()
            self._typing.notify_all()
