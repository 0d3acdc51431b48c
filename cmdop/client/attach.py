"""The attach loop: the user's terminal on one side, a session on the other.

Threads. Main waits in `Attach.run` for the first outcome, or until the user is to know
something; signals only put an event into its queue. `relay->stdout` (client/shower.py)
and `stdin->relay` (client/typist.py) carry the bytes; `redial` (client/redial.py) runs
while a connection is lost. None of them waits for another, or for the network to take
something: leaving needs nothing but the key.

A lost connection ends nothing: another one takes its place, and both directions go on
where they were. The terminal is put back in `run`, by leaving one `with` block, whatever
happened.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

from cmdop.client.answers import Answers
from cmdop.client.connect import Joined, Place
from cmdop.client.events import Event, GracePassed, LinkDown, Resumed
from cmdop.client.keys import KeyMachine
from cmdop.client.link import bury
from cmdop.client.mailbox import Mailbox
from cmdop.client.outcome import Detached, Failed, Killed, Outcome, SessionEnded
from cmdop.client.poll import wait_for
from cmdop.client.redial import Redial
from cmdop.client.show import Show
from cmdop.client.shower import Shower
from cmdop.client.typist import Typist
from cmdop.errors import CmdopError, ConnectionClosed, RelayLost
from cmdop.limits import ATTACH_EVENTS_MAX, RESTORE_WITHIN_SECONDS
from cmdop.session.received import Received
from cmdop.terminal.interface import Terminal
from cmdop.winsize import Winsize
from cmdop.wire.session_messages import Detach, Resize

_LOG = logging.getLogger("cmdop.client")


def _nobody(event: Event) -> None:
    """Told of what happens, and does not care."""


class Attach:
    """One attach, from the first Ready to its outcome."""

    def __init__(
        self,
        joined: Joined,
        terminal: Terminal,
        keys: KeyMachine,
        rejoin: Callable[[Joined, Place], Joined],
        *,
        read_only: bool = False,
        told_size: Winsize | None = None,
        input_ends_shell: bool = True,
        tell: Callable[[Event], None] = _nobody,
    ) -> None:
        """`rejoin` comes back to the session at a place, over a new connection, or raises.

        `told_size` is the size that the machine was told when it was asked for the session.
        With `input_ends_shell` the end of an input that is no terminal ends a shell that was
        opened for it; else it only leaves.
        `tell` is called on the main thread with what happens meanwhile.
        """
        ready, stream = joined.ready, joined.stream
        self._first, self._rejoin, self._terminal, self._tell = joined, rejoin, terminal, tell
        self._events: Mailbox[Outcome | Event | None] = Mailbox()
        """The first outcome wins; None says that the window's size changed. Signal handlers
        put into it."""
        self._received = Received(ready.output_offset, ready.created)
        round_trip = stream.about.round_trip_seconds
        answers = Answers() if terminal.is_tty else None
        self._show = Show(terminal.output, self._received, round_trip, answers)
        if terminal.is_tty:
            self._show.put_opening()
        ends_shell = input_ends_shell and ready.created and not terminal.is_tty
        self._typist = Typist(terminal, keys, answers, stream, self._events.put, read_only, ends_shell)
        self._redial = Redial(self._place, self._dial, lambda error: self._events.put(Failed(error)))
        self._shower = Shower(
            joined,
            terminal.output,
            self._show,
            self._received,
            self._typist,
            answers,
            self._redial,
            self._happened,
            self._events.put,
            told_size or terminal.size(),
        )
        self._told_last = False

    @property
    def at_line_start(self) -> bool:
        """Whether the cursor is most likely at the beginning of a line."""
        return self._told_last or self._show.at_line_start

    def leave(self) -> None:
        """Detach, whatever was typed and not sent. From any thread; never waits, and twice is quiet."""
        self._events.put(Detached())

    def run(self, attached: Callable[[], None]) -> Outcome:
        """Attach until something ends it, with the terminal put back. On the main thread, where
        the terminal has signals to hear of; here, main is whichever runs this.

        `attached` is called once the terminal is raw, so that the keys mean what it says.
        """
        outcome: Outcome = Failed(ConnectionClosed(reason="the attach was abandoned"))
        shower = self._thread(self._shower.run, "relay->stdout")
        typist = self._thread(self._typist.run, "stdin->relay")
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
            self._events.close()
        return outcome

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=self._until_it_fails, args=(work,), name=name, daemon=True)

    def _until_it_fails(self, work: Callable[[], None]) -> None:
        """Whatever ends a thread ends the attach: nobody is left in front of a dead terminal."""
        try:
            work()
        except CmdopError as error:
            self._events.put(Failed(error))
        except Exception as error:  # noqa: BLE001 - a thread must not die alone
            _LOG.exception("%s died", threading.current_thread().name)
            self._events.put(Failed(CmdopError(reason=repr(error))))

    # -- main ----------------------------------------------------------------------------------

    def _wait(self) -> Outcome:
        while True:
            try:
                event = self._events.get(self._redial.due_in_seconds())
            except queue.Empty:
                event = self._redial.due()
            if isinstance(event, Outcome):
                return event
            if isinstance(event, GracePassed) and not self._terminal.is_tty:
                return Failed(self._given_up(event))
            if event is not None:
                self._tell(event)
            if isinstance(event, LinkDown | GracePassed | Resumed):
                self._told_last = not isinstance(event, Resumed)
            self._tell_size()

    def _given_up(self, event: GracePassed) -> RelayLost:
        """Nobody sits there who could decide that it took long enough."""
        about = self._first.stream
        reason = f"link {event.leg} is down for {event.kept_seconds:.0f} s"
        return RelayLost(server=about.connection.remote, reason=reason, host=about.about.host)

    def _tell_size(self) -> None:
        """Tell the machine the terminal's size if it has another one; a new connection is told anyway."""
        joined, size = self._shower.joined, self._terminal.size()
        if joined is None or size == self._shower.told_size:
            return
        self._shower.told_size = size
        with contextlib.suppress(ConnectionClosed):
            joined.stream.send_control(Resize(size.rows, size.cols))

    def _stop(self, typist: threading.Thread) -> None:
        """Nothing more is shown or typed; the modes that the remote left on are undone."""
        self._shower.stop()
        self._terminal.wake()
        self._typist.stop()
        self._redial.stop()
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
        """Say goodbye, if there is anybody to say it to."""
        joined = self._shower.joined
        if joined is None:
            return
        if isinstance(outcome, Detached) and not self._typist.said_goodbye:
            with contextlib.suppress(ConnectionClosed):
                joined.stream.send_control(Detach())
        joined.stream.connection.close("detached")
        if isinstance(outcome, SessionEnded):  # `relay->stdout` has taken its last
            bury(joined.stream.connection)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals that end us become outcomes, SIGWINCH a new size, for as long as we are raw."""
        with (
            self._events.hearing_signals(),
            self._terminal.on_resize(lambda: self._events.put(None)),
            self._terminal.on_end(lambda number: self._events.put(Killed(number))),
        ):
            yield

    # -- called by the other threads -------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        """Something to tell, unless main is far behind with telling."""
        if len(self._events) < ATTACH_EVENTS_MAX:
            self._events.put(event)

    def _place(self, spoilt: bool) -> Place:
        """Where both directions are, while there is no connection."""
        received = self._received
        redraw = received.wants_redraw(spoilt and self._terminal.is_tty)
        return Place(
            received.next_offset,
            self._typist.acked,
            received.credit_bytes,
            redraw,
            received.history_missing,
            self._terminal.size(),
        )

    def _dial(self, place: Place) -> Joined:
        self._first = self._rejoin(self._first, place)
        return self._first
