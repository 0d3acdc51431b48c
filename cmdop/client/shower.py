"""What the machine sends, on its way to the terminal: the thread `relay->stdout`.

It blocks in select on the connection and, while something is queued, on the terminal; it
is woken by both, by the next ping's time, and by the connection's close. While there is
no connection it goes on showing what is queued, and is woken by the bell of `Redial`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from cmdop.client.answers import Answers
from cmdop.client.connect import Joined
from cmdop.client.events import Event, LinkLost, Resumed
from cmdop.client.leg import leg_of
from cmdop.client.outage import Outage, Wakefulness
from cmdop.client.outcome import Detached, SessionEnded
from cmdop.client.poll import wait_for
from cmdop.client.redial import PASSING, Fresh, Redial
from cmdop.client.refusal import refusal
from cmdop.client.show import Show
from cmdop.client.stream import MachineStream
from cmdop.client.typist import Typist
from cmdop.errors import CmdopError, ConnectionClosed, RemoteProtocolError, TimedOut, from_peer
from cmdop.limits import LINK_DEAD_SECONDS, LINK_HELD_SECONDS, PING_INTERVAL_SECONDS
from cmdop.session.received import Received
from cmdop.terminal.interface import Output
from cmdop.winsize import Winsize
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.session_messages import (
    SESSION_MESSAGES,
    Detach,
    Ended,
    Notice,
    PeerJoined,
    PeerLeft,
    Ready,
    Refused,
)
from cmdop.wire.session_messages import Answers as WhoAnswers
from cmdop.wire.session_messages import Detached as DetachedByAgent


class Shower:
    """Takes what comes over one connection after the other, and shows it.

    `tell` is given what happens, `over` the end of the session, or that the client has left
    it behind all of its input.
    """

    def __init__(
        self,
        joined: Joined,
        output: Output,
        show: Show,
        received: Received,
        typist: Typist,
        answers: Answers | None,
        redial: Redial,
        tell: Callable[[Event], None],
        over: Callable[[SessionEnded | Detached], None],
        told_size: Winsize,
    ) -> None:
        self._output, self._show, self._received = output, show, received
        self._typist, self._answers, self._redial = typist, answers, redial
        self._tell, self._over = tell, over
        self.joined: Joined | None = joined
        """Whose connection is up; None while there is none."""
        self.told_size = told_size
        """What the machine was told of the terminal over this connection; main tells it more."""
        self._ended: Ended | None = None
        self._began_at = self._heard_at = time.monotonic()
        self._came_to = (received.next_offset, 0)
        """Where output and input were when a connection was lost last."""
        self._silent = False
        self._wakefulness = Wakefulness(self._began_at, time.time())
        self._stopped = False

    def run(self) -> None:
        """Until the end was shown, or `stop`. Raises what ends the attach."""
        with contextlib.closing(self._redial.bell):
            while not self._stopped:
                if self.joined is None:
                    self._without_link()
                    continue
                try:
                    self._with_link(self.joined.stream)
                except PASSING as error:
                    if self._typist.left_behind_all(self.joined.stream):
                        self._over(Detached())
                        return
                    self._lost(self.joined, error)
                if self._ended is not None and not self._stopped:
                    self._over(SessionEnded(self._ended))
                    return

    def stop(self) -> None:
        """Show nothing more. From any thread; whoever calls wakes it by closing what it waits for."""
        self._stopped = True

    # -- while there is a connection -----------------------------------------------------------

    def _with_link(self, stream: MachineStream) -> None:
        """Take and show until the end was shown, or `stop`. Raises what the connection ends with."""
        connection, show = stream.connection, self._show
        now = self._heard_at = asked_at = time.monotonic()
        while not self._stopped:
            listening, pending = self._ended is None, show.pending  # nothing that counts comes behind the end
            if not (listening or pending):
                return
            out_fd = self._output.poll_fd if pending else None
            blind = pending and out_fd is None
            readable, writable = listening and connection.buffered, False
            if not readable:
                until = self._quiet_until(asked_at) if listening else now + PING_INTERVAL_SECONDS
                timeout_seconds = 0.0 if blind else until - now
                readable, writable = wait_for(connection if listening else None, out_fd, timeout_seconds)
            now = time.monotonic()
            if readable:
                self._heard_at = now
                self._take(stream, stream.receive_now())
            elif listening:
                asked_at = self._quiet(stream, now, asked_at)
            if show.pending and (writable or blind or readable):
                self._grant(stream, show.write())

    def _quiet_until(self, asked_at: float) -> float:
        """When something has to be done about a link that says nothing."""
        return min(max(self._heard_at, asked_at) + PING_INTERVAL_SECONDS, self._heard_at + LINK_DEAD_SECONDS)

    def _quiet(self, stream: MachineStream, now: float, asked_at: float) -> float:
        """Nothing was heard: ask for a sign of life, or give the link up; when it was asked last."""
        if now - self._heard_at >= LINK_DEAD_SECONDS:
            self._silent = True
            raise TimedOut(what="the relay", seconds=LINK_DEAD_SECONDS)
        if self._wakefulness.slept(now, time.time()):
            self._silent = True
            raise ConnectionClosed(reason="this computer was asleep")
        if now - max(self._heard_at, asked_at) < PING_INTERVAL_SECONDS:
            return asked_at
        with contextlib.suppress(ConnectionClosed):  # the reading will say so
            stream.ping()
        return now

    def _take(self, stream: MachineStream, record: Record | None) -> None:
        if record is None:
            return
        if record.kind == RecordKind.OUTPUT:
            self._show.put_output(record.offset, record.payload)
        elif record.kind == RecordKind.ACK:
            self._typist.ack(record.offset)
        elif record.kind == RecordKind.REPLAY:
            self._show.put_replay(record.offset, record.payload)
        elif record.kind == RecordKind.FLUSH:
            self._grant(stream, self._show.put_flush(record.offset))
        elif record.kind == RecordKind.CONTROL:
            self._on_control(stream, SESSION_MESSAGES.decode(record.payload))

    def _grant(self, stream: MachineStream, limit: int | None) -> None:
        """Tell a limit; one that gets lost is told to the next connection."""
        if limit is not None and self._ended is None:
            with contextlib.suppress(ConnectionClosed):  # what came before the end is still to be read
                stream.send_record(RecordKind.CREDIT, limit)

    def _on_control(self, stream: MachineStream, message: Message) -> None:
        if isinstance(message, WhoAnswers):
            if self._answers is not None:
                self._answers.told(message.offset, message.mine)
        elif isinstance(message, PeerJoined | PeerLeft | Notice):
            self._tell(message)
        elif isinstance(message, Ended):
            self._ended = message
            with contextlib.suppress(ConnectionClosed):
                stream.send_control(Detach())  # so that nothing is kept for us any longer
        elif isinstance(message, Refused):
            raise refusal(message, stream.about.host)
        elif isinstance(message, DetachedByAgent):
            raise from_peer(message.code, "", host=stream.about.host, operator=message.operator)
        elif isinstance(message, Ready):
            raise RemoteProtocolError(reason="ready twice")

    # -- while there is none ---------------------------------------------------------------------

    def _lost(self, joined: Joined, error: CmdopError) -> None:
        """The connection is gone: dial again, and keep what is typed."""
        now = time.monotonic()
        leg = leg_of(error)
        self._typist.lost()
        came_to = (self._received.next_offset, self._typist.acked)
        held = now - self._began_at >= LINK_HELD_SECONDS or came_to != self._came_to
        self._came_to = came_to
        self._received.lost()
        self.joined = None
        self._redial.lost(Outage(now, leg, joined.ready.kept_seconds, self._silent), joined, held)
        # Behind that: main asks when there is more to say only once it was told something.
        self._tell(LinkLost(leg, error.details.get("reason") or error.sentence))

    def _without_link(self) -> None:
        """Show what is queued until there is a connection, or `stop`."""
        while not self._stopped:
            pending = self._show.pending
            out_fd = self._output.poll_fd if pending else None
            blind = pending and out_fd is None
            # Time runs out only to see whether the computer slept.
            rung, writable = wait_for(self._redial.bell, out_fd, 0.0 if blind else PING_INTERVAL_SECONDS / 2)
            fresh = self._redial.take() if rung else None
            if fresh is not None:
                self._resume(fresh)
                return
            if self._wakefulness.slept(time.monotonic(), time.time()):
                self._redial.hurry()
            if pending and (writable or blind):
                self._show.write()  # what that grants is told on the next connection

    def _resume(self, fresh: Fresh) -> None:
        """Go on over another connection. Raises RemoteProtocolError for a machine that does not."""
        joined, place = fresh.joined, fresh.place
        stream, ready = joined.stream, joined.ready
        self.joined, self.told_size = joined, place.winsize
        if self._stopped:  # whoever stopped us may have looked before there was anything to close
            stream.connection.close("detached")
            return
        limit = self._received.resumed(ready.output_offset, place.window_bytes)
        self._typist.resumed(stream, ready.input_offset)
        self._show.round_trip_seconds = stream.about.round_trip_seconds
        self._began_at, self._silent = time.monotonic(), False
        self._grant(stream, limit)
        self._tell(Resumed(fresh.down_seconds))
