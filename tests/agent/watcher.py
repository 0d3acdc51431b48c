"""A client's stream as a session sees it: remembers every record, and judges their order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from cmdop.agent.viewer import Viewer
from cmdop.limits import WINDOW_MIN_BYTES
from cmdop.session.broadcast import View
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Answers, Ended, PeerJoined, PeerLeft
from tests.agent.fake_pty import TIMEOUT_SECONDS

_numbers = itertools.count(1)


class Watcher:
    """What a viewer's records go to. `viewer` is the client."""

    def __init__(
        self, window_bytes: int = WINDOW_MIN_BYTES, observer: bool = False, winsize: Winsize = DEFAULT_WINSIZE
    ) -> None:
        self.viewer = Viewer(f"{next(_numbers):016x}", "anna", observer, winsize, View(window_bytes), self)
        self.replay = bytearray()
        self.output = bytearray()
        self.starts: list[int] = []
        """Offsets of the output records."""
        self.skips: list[int] = []
        """Where output went on after a client had been too slow; `replay` and `output` begin anew there."""
        self._next: int | None = None
        self.acks: list[int] = []
        self.told: list[Message] = []
        self.answers: list[Answers] = []
        self.peers: list[Message] = []
        self.finished = 0
        self.mistakes: list[str] = []
        self._congested = False
        # Guards everything; told of every change.
        self._change = threading.Condition()

    # -- the stream, as the session sees it ---------------------------------------------------

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        with self._change:
            if kind == RecordKind.OUTPUT:
                self._take_output(offset, payload)
            elif kind == RecordKind.REPLAY:
                self._take_replay(offset, payload)
            elif kind == RecordKind.FLUSH:
                self._take_flush(offset)
            elif kind == RecordKind.CONTROL:
                message = SESSION_MESSAGES.decode(payload)
                self.answers += [message] if isinstance(message, Answers) else []
                self.peers += [message] if isinstance(message, PeerJoined | PeerLeft) else []
            elif kind == RecordKind.ACK:
                self.acks.append(offset)
            self._change.notify_all()

    def until_acked(self, timeout_seconds: float) -> bool:
        """Whether an ack came in time."""
        with self._change:
            return self._change.wait_for(lambda: bool(self.acks), timeout_seconds)

    def _take_flush(self, offset: int) -> None:
        """It is skipped ahead: what it has counts no more."""
        if self._next is not None and offset < self._next:
            self.mistakes.append(f"a flush at {offset}, and {self._next} was next")
        self.skips.append(offset)
        self.replay.clear()
        self.output.clear()
        self._next = offset

    def _take_replay(self, offset: int, payload: bytes) -> None:
        """At first, or behind a flush."""
        if self._next not in (None, offset) or self.output:
            self.mistakes.append(f"replay at {offset}, and {self._next} was next")
        self._next = offset
        self.replay += payload

    def _take_output(self, offset: int, payload: bytes) -> None:
        if self._next not in (None, offset):
            self.mistakes.append(f"output at {offset} and not at {self._next}")
        self._next = offset + len(payload)
        if offset + len(payload) > self.viewer.view.credit.limit:
            self.mistakes.append(f"output to {offset + len(payload)}, with credit to {self.viewer.view.credit.limit}")
        if self.ended is not None:
            self.mistakes.append("output after the end")
        self.starts.append(offset)
        self.output += payload

    def send_control(self, message: Message) -> None:
        with self._change:
            self.told.append(message)
            self._change.notify_all()

    def end(self, ended: Ended) -> None:
        with self._change:
            self.told.append(ended)
            self.finished += 1
            self._change.notify_all()

    def finish(self) -> None:
        with self._change:
            self.finished += 1
            self._change.notify_all()

    @property
    def congested(self) -> bool:
        return self._congested

    # -- what the test does -------------------------------------------------------------------

    @congested.setter
    def congested(self, value: bool) -> None:
        self._congested = value

    @property
    def ended(self) -> Ended | None:
        return next((message for message in self.told if isinstance(message, Ended)), None)

    def until(self, condition: Callable[[Watcher], bool]) -> None:
        with self._change:
            came = self._change.wait_for(lambda: condition(self), TIMEOUT_SECONDS)
            assert came, f"{len(self.output)} bytes, told {self.told}, {self.mistakes}"

    def until_shown(self, size: int) -> bytes:
        """The output, once it is that much."""
        self.until(lambda watcher: len(watcher.output) >= size)
        return bytes(self.output)

    def until_finished(self) -> bytes:
        """The whole output, once the stream was closed."""
        self.until(lambda watcher: watcher.finished > 0)
        return bytes(self.output)
