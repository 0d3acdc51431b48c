"""A client: its terminal, what it types, and the connection that it has at the time."""

from __future__ import annotations

from collections import deque

from cmdop.client.answers import Answers
from cmdop.errors import TakenOver
from cmdop.session.core import Resume
from cmdop.session.received import Received
from cmdop.session.typed import TypedOut
from tests.session.simulation.network import Connection, Entry, Record
from tests.session.simulation.program import Screen, questions
from tests.session.simulation.scale import WINDOW

PASTE_START, PASTE_END = b"\x1b[200~", b"\x1b[201~"


class Client:
    """Drives `Received` and `TypedOut` as cmdop/client does. `output` is what there really was."""

    def __init__(self, number: int, first: Entry, output: bytearray) -> None:
        self.number, self.first, self.output = number, first, output
        self.now = 0.0
        self.outcome = ""
        """Why it is over: ended, left, lost, detached, gone, failed; empty while it is not."""
        self.over_at = 0.0
        """When it was refused, or sent away."""
        self.connection: Connection | None = None
        self.ready = False
        self.received: Received | None = None
        self.typed_out = TypedOut()
        self.typed = bytearray()
        self.pastes: list[tuple[int, int]] = []
        """From where to where each paste goes; the last one may not have ended yet."""
        self.pasting = False
        self.screen = Screen()
        self.known = first.created
        """Whether its screen has to be that of the model."""
        self.shown = 0
        """The offset behind the last output on its terminal."""
        self.answered: dict[int, bool] = {}
        """Questions that it was shown, by offset, and whether it took them for its own."""
        self.end: int | None = None
        self._queue: deque[tuple[bytes | None, int | None]] = deque()
        """Bytes and their offset; where there are none, the number of a flush, whose replay comes next."""
        self._flushes = self._drawn_by = 0
        self._drawn = self._spoilt = self._written_over = False
        self._jumped = True
        self._registered_bytes = WINDOW
        self._answers = Answers(lambda: self.now)

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    @property
    def queued_bytes(self) -> int:
        return sum(len(data) for data, _ in self._queue if data is not None)

    # -- connections ------------------------------------------------------------------------

    def spoil(self) -> None:
        """The user is told of the outage: on the screen."""
        self.screen = Screen(b"[connect", self.screen.mode)
        self._spoilt = self._written_over = True
        self.known = False

    def dial(self) -> Connection:
        """Another connection, with what is to be said first on its way."""
        entry = self.first._replace(window_bytes=WINDOW)
        if self.received is not None:
            redraw = self.received.wants_redraw(self._spoilt)
            whole = redraw and self.received.history_missing
            resume = Resume(self.received.next_offset, self.typed_out.acked, redraw, whole)
            self.known = self.known and not redraw
            self._drawn_by = 0 if redraw else self._drawn_by
            self._written_over = self._written_over or redraw
            window_bytes = self.received.credit_bytes
            entry = entry._replace(created=False, takeover=False, resume=resume, window_bytes=window_bytes)
        self._registered_bytes = entry.window_bytes
        self.connection, self.ready = Connection(), False
        self.connection.send_up(Record("register", about=entry))
        return self.connection

    def lose(self) -> None:
        """Believe no more in the connection. One that was not let in yet gives up."""
        if self.connection is not None:
            self.connection.give_up()
            if self.received is None:
                self.outcome = self.outcome or "failed"
            elif self.ready:
                self.received.lost()
        self.connection, self.ready = None, False

    def leave(self, outcome: str, word: str = "") -> None:
        """Go for good; with a `word` to the machine, if there is a connection."""
        self.outcome = outcome
        if self.connection is not None:
            if word and self.ready:
                self.connection.send_up(Record(word))
            self.connection.send_up(Record("closed"))
        self.lose()

    # -- what comes ------------------------------------------------------------------------

    def receive(self, record: Record) -> None:
        if record.kind == "ready":
            self._on_ready(record)
            return
        if record.kind in ("refused", "detached"):
            self.leave("detached" if isinstance(record.about, TakenOver) else "gone")
            self.over_at = self.now
            return
        if record.kind == "closed":
            self.lose()
            return
        received = self.received
        assert received is not None
        assert self.ready, record
        assert self.end is None, "nothing comes behind the end"
        if record.kind == "output":
            received.output(record.offset, len(record.data), self.now)
            self._queue.append((record.data, record.offset))
        elif record.kind == "replay":
            received.replay(record.offset, len(record.data))
            self._queue.append((record.data, None))
        elif record.kind == "flush":
            self._on_flush(received, record.offset)
        elif record.kind == "ack":
            self.typed_out.ack(record.offset)
            self._send()
        elif record.kind == "answers":
            self._answers.told(record.offset, bool(record.about))
        elif record.kind == "ended":
            self._on_ended(received, record.offset)

    def _on_ready(self, record: Record) -> None:
        assert not self.ready, "ready twice"
        self.ready = True
        assert isinstance(record.about, int)
        if self.received is None:
            self.received = Received(record.offset, self.first.created)
            self.shown = record.offset
            self.known = self.first.created or self.first.drawn
            self._drawn = self.first.drawn and not self.first.created
        else:
            self._grant(self.received.resumed(record.offset, self._registered_bytes))
            self._spoilt = False
            self.typed_out.resume_at(record.about)
        self._send()

    def _on_flush(self, received: Received, offset: int) -> None:
        whole = received.leaves_out_nothing(offset)
        limit = received.flush(offset)
        if not whole:
            self._queue.clear()
            self._jumped = True
        self._flushes += 1
        self._drawn_by = self._flushes
        self._queue.append((None, self._flushes))
        self._grant(limit)

    def _on_ended(self, received: Received, offset: int) -> None:
        assert received.next_offset == offset, "the end comes behind the last byte"
        self.end = offset
        self.lose()

    def _grant(self, limit: int | None) -> None:
        if limit is not None and self.connection is not None and self.ready:
            self.connection.send_up(Record("credit", limit))

    # -- the terminal ------------------------------------------------------------------------

    def take(self, size: int) -> None:
        """The terminal takes so many bytes."""
        counted = 0
        while self._queue and size:
            data, offset = self._queue.popleft()
            if data is None:
                self._undo(offset)
                continue
            piece, rest = data[:size], data[size:]
            size -= len(piece)
            if rest:
                self._queue.appendleft((rest, None if offset is None else offset + len(piece)))
            if offset is not None:
                counted += len(piece)
            self._show(piece, offset)
        if counted and self.received is not None:
            self._grant(self.received.shown(counted, self.now, 0.0625))
        if self.end is not None and not self._queue and not self.outcome:
            self.outcome = "ended"

    def _undo(self, flush: int | None) -> None:
        """Behind all that was there before the flush."""
        undo = self.screen.undo()
        if undo:
            self._queue.appendleft((undo, None))
        if flush == self._drawn_by:
            self._drawn = self.known = True
            self._written_over = False

    def _show(self, piece: bytes, offset: int | None) -> None:
        if offset is not None:
            self._check(piece, offset)
            shown = self._answers.silenced(piece, offset)
            mine = set(questions(shown, offset))
            self.answered.update((asked, asked in mine) for asked in questions(piece, offset))
            self.shown = offset + len(piece)
        self._answers.showing()
        self.screen = self.screen.fed(piece)
        self._answers.shown((), offset)

    def _check(self, piece: bytes, offset: int) -> None:
        """What is shown is what there was, where it has to go on; behind a replay, on that screen."""
        assert piece == self.output[offset : offset + len(piece)], f"{self.number} shows at {offset} what was not there"
        assert self._jumped or offset == self.shown, f"{self.number} shows {offset}, and {self.shown} was next"
        if self._drawn:
            self.check_screen(offset)
        self._jumped = self._drawn = False

    def check_all_shown(self) -> None:
        """It has all output there is, and shows it, with nothing of ours on its screen."""
        end = len(self.output)
        assert self.received is not None
        assert self.received.next_offset == end, f"{self.number} has not got all"
        assert not self._written_over, f"{self.number} was not drawn anew"
        assert self._jumped or self.shown == end, f"{self.number} has not shown all"
        self.check_screen(end)

    def check_screen(self, offset: int) -> None:
        """It shows what one would that saw everything up to there."""
        if self.known:
            wanted = Screen().fed(bytes(self.output[:offset]))
            assert self.screen == wanted, f"{self.number} shows {self.screen} at {offset}, not {wanted}"

    # -- the keyboard ------------------------------------------------------------------------

    def type(self, size: int) -> None:
        """Bytes that nobody else types."""
        self._type(bytes(0x80 + self.number % 4 * 32 + (len(self.typed) + at) % 31 for at in range(size)))

    def paste(self) -> None:
        """Begin a bracketed paste, or end it."""
        marker = PASTE_END if self.pasting else PASTE_START
        end = len(self.typed) + len(marker)
        if self.pasting:
            self.pastes[-1] = self.pastes[-1][0], end
        else:
            self.pastes.append((len(self.typed), 2**62))
        self.pasting = not self.pasting
        self._type(marker)

    def _type(self, data: bytes) -> None:
        if not self.first.observer:
            self.typed += data
            self.typed_out.type(data)
            self._send()

    def _send(self) -> None:
        while self.ready and self.connection is not None and (piece := self.typed_out.next_to_send()) is not None:
            self.connection.send_up(Record("input", *piece))
