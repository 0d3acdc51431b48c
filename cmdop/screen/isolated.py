"""The terminal model in a process apart, so that nothing a program prints can end this one.

libghostty-vt is fast and exact, but what it is fed can crash it: some of its own checks
end the process, and others were left out for speed. So each session's model has its own
process. When that dies, or does not answer, the session goes on with the filtered ring,
which is fed all the time; the other sessions notice nothing.

The process is started when it is first needed: for a snapshot, to answer questions, or
after `MODEL_EARLY_BYTES`. Until then the requests are kept. When this process becomes
another program the model's stays its child, and goes on with it.
"""

from __future__ import annotations

import logging
import struct
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from cmdop.limits import MODEL_EARLY_BYTES, PTY_READ_BYTES
from cmdop.screen.exchange import FORMAT, Kind, decode_answers, decode_snapshot, encode
from cmdop.screen.flood import is_plain
from cmdop.screen.interface import Capture, ScreenModel, Snapshot
from cmdop.screen.ring import RingScreen
from cmdop.screen.worker_process import Broken, WorkerProcess
from cmdop.winsize import Winsize

_SIZE = struct.Struct("<HH")
_NUMBERS = 1 << 32
_NEVER = -1
"""The number of no request."""
_ASKED_MAX = 64
"""Past it feeding waits for the answers itself."""

_LOG = logging.getLogger(__name__)


class IsolatedScreen(ScreenModel):
    """A model that outlives its own crash, as a simpler one."""

    def __init__(self, winsize: Winsize, command: Sequence[str]) -> None:
        self._command = command
        self._ring = RingScreen()
        # Guards all below, and the order of the requests: it is held while the process
        # takes one, but never while a reply is waited for. Held from `hand_over` to `keep`.
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._early: list[bytes] | None = []
        """Requests before there is a process; None once it was started, or will never be."""
        self._early_bytes = 0
        self._number = 0
        self._winsize = winsize
        self._answering = False
        self._asked: list[int] = []
        """The requests whose answers were not received yet."""
        self._within_sequence = True
        """Whether plain text could be the end of a question, as far as is known ..."""
        self._known_at = _NEVER
        """... after this request; an older one says nothing about it."""
        self._answers = b""
        self._last_capture: Callable[[], _Requested | None] = lambda: None
        """The last one that was requested, as long as somebody has it."""
        self._handed_over = False
        self._resized = False
        """The process is yet to be told of the size: a flood of sizes at which nothing was written is one."""
        self.resize(winsize)

    def feed(self, data: bytes) -> None:
        self._ring.feed(data)
        with self._lock:
            for at in range(0, len(data), PTY_READ_BYTES):
                self._feed_piece(data[at : at + PTY_READ_BYTES])
            full = len(self._asked) >= _ASKED_MAX
        if full:
            self._receive_answers()

    def _feed_piece(self, piece: bytes) -> None:
        if self._answering and (self._within_sequence or not is_plain(piece)):
            self._asked.append(self._request(Kind.ASK, piece, expected=True))
            self._unsure()
        else:
            self._request(Kind.FEED, piece)

    def _unsure(self) -> None:
        """After the last request only a later one's answer says what is known. The lock is held."""
        self._within_sequence, self._known_at = True, self._number

    def resize(self, winsize: Winsize) -> None:
        with self._lock:
            self._winsize, self._resized = winsize.clamped(), True
            # The report of the size (mode 2048) comes with the next answer.
            self._within_sequence, self._known_at = True, _NEVER

    def capture(self, history: bool = True, redraw: bool = False, fits: bool = True) -> Capture:
        how = bytes((history, redraw, fits))
        with self._lock:
            self._start()
            last = self._last_capture()
            if last is not None and last.number == self._number and last.how == how and not self._resized:
                return last  # of the same moment: drawing it twice would cost twice as much
            number = self._request(Kind.CAPTURE, how, expected=True)
            requested = _Requested(self, self._worker, number, how, self._ring.capture(history, redraw))
            self._last_capture = weakref.ref(requested)
            return requested

    def answer(self, answering: bool) -> None:
        with self._lock:
            if answering:
                self._start()
            self._request(Kind.ANSWER, bytes((answering,)))
            self._answering = answering
            self._unsure()

    def answers(self) -> bytes:
        self._receive_answers()
        with self._lock:
            answers, self._answers = self._answers, b""
        return answers

    def _receive_answers(self) -> None:
        with self._lock:
            worker, asked, self._asked = self._worker, self._asked, []
        if worker is None or not asked:
            return
        received, within_sequence = b"", True
        try:
            for number in asked:
                answers, within_sequence = decode_answers(worker.reply(number))
                received += answers
        except Broken as broken:
            self.broke(worker, broken)
        with self._lock:
            self._answers += received
            if asked[-1] == self._known_at:
                self._within_sequence = within_sequence

    def close(self) -> None:
        with self._lock:
            worker, self._worker, self._early = self._worker, None, None
        if worker is not None:
            worker.close()
        self._ring.close()

    # -- over an exec -----------------------------------------------------------------------

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        self._receive_answers()
        self._lock.acquire()
        self._handed_over = True
        ring, blobs = self._ring.hand_over()
        state = {
            "model": "isolated",
            "format": FORMAT,
            "ring": ring,
            "winsize": list(self._winsize),
            "number": self._number,
            "answering": self._answering,
            "early": self._early is not None,
            "worker": None if self._worker is None else self._worker.hand_over(),
        }
        return state, [*blobs, self._answers, b"".join(self._early or [])]

    def keep(self) -> None:
        if self._handed_over:
            self._handed_over = False
            if self._worker is not None:
                self._worker.keep()
            self._lock.release()

    @classmethod
    def take_over(cls, state: dict[str, Any], blobs: list[bytes], command: Sequence[str]) -> IsolatedScreen:
        """The model that `hand_over` described before the exec.

        An older version may have done so, and its worker is of that version: if it is not
        understood any more, another one begins with what the ring has.
        """
        screen = cls(Winsize(*state["winsize"]), command)
        ring, screen._answers, early = blobs[:3]
        worker = _worker(state)
        if state["format"] != FORMAT:
            if worker is not None:
                worker.close()
            screen.feed(ring)
            screen.answer(state["answering"])
            return screen
        screen._ring = RingScreen.take_over(state["ring"], [ring])
        screen._early, screen._early_bytes = ([early], len(early)) if state["early"] else (None, 0)
        screen._worker, screen._number, screen._answering = worker, state["number"], state["answering"]
        return screen

    # -- its process ------------------------------------------------------------------------

    def _request(self, kind: Kind, payload: bytes, expected: bool = False) -> int:
        """Send a request, or keep it, behind the size if that is new; its number. The lock is held."""
        if self._resized:
            self._resized = False
            self._request(Kind.RESIZE, _SIZE.pack(*self._winsize))
        self._number = (self._number + 1) % _NUMBERS
        message = encode(kind, self._number, payload)
        if self._early is not None:
            self._early.append(message)
            self._early_bytes += len(message)
            if self._early_bytes > MODEL_EARLY_BYTES:
                self._start()
        elif self._worker is not None:
            if expected:
                self._worker.expect(self._number)
            self._send(self._worker, message)
        return self._number

    def _send(self, worker: WorkerProcess, message: bytes) -> None:
        try:
            worker.send(message)
        except Broken as broken:
            self._give_up(worker, broken)

    def _start(self) -> None:
        """Start the process, once. The lock is held."""
        if self._early is None:
            return
        early, self._early = self._early, None
        try:
            self._worker = WorkerProcess.start(self._command)
        except OSError as error:
            _LOG.warning("a session is replayed from its last output: no terminal model: %s", error)
            return
        self._send(self._worker, b"".join(early))

    def _give_up(self, worker: WorkerProcess, broken: Broken) -> None:
        """Go on with the ring. The lock is held."""
        if self._worker is worker:
            _LOG.warning("a session is replayed from its last output: its terminal model broke: %s", broken)
            self._worker = None
            worker.close()

    def broke(self, worker: WorkerProcess, broken: Broken) -> None:
        """A thread that waited for a snapshot found the process gone."""
        with self._lock:
            self._give_up(worker, broken)


def _worker(state: dict[str, Any]) -> WorkerProcess | None:
    if state["worker"] is None:
        return None
    try:
        return WorkerProcess.take_over(state["worker"])
    except OSError as error:
        _LOG.warning("a session is replayed from its last output: its terminal model is lost: %s", error)
        return None


class _Requested(Capture):
    """A snapshot on its way; the ring's, if it never comes. Several may want it."""

    def __init__(
        self, screen: IsolatedScreen, worker: WorkerProcess | None, number: int, how: bytes, kept: Capture
    ) -> None:
        self.number, self.how = number, how
        self._screen, self._worker, self._kept = screen, worker, kept
        # Guards the snapshot; the first who wants it waits for it with the lock, the others for the lock.
        self._drawing = threading.Lock()
        self._snapshot: Snapshot | None = None
        if worker is not None:
            weakref.finalize(self, worker.forget, number)

    def draw(self) -> Snapshot:
        with self._drawing:
            if self._snapshot is None:
                self._snapshot = self._received()
            return self._snapshot

    def _received(self) -> Snapshot:
        if self._worker is not None:
            try:
                snapshot = decode_snapshot(self._worker.reply(self.number))
            except Broken as broken:
                self._screen.broke(self._worker, broken)
            else:
                if snapshot.data:
                    return snapshot
        return self._kept.draw()
