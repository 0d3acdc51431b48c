"""The agent's half: drives `SessionCore` as agent/shell.py does, on one thread."""

from __future__ import annotations

import json

from cmdop.errors import CmdopError, SessionGone, TakenOver
from cmdop.limits import GRACE_SECONDS
from cmdop.session.broadcast import Drawing, View
from cmdop.session.core import Changes, SessionCore
from cmdop.session.kept import core_from, kept_core
from cmdop.session.keyboard import Typist
from cmdop.winsize import Winsize
from tests.session.simulation.network import Connection, Entry, Record
from tests.session.simulation.program import Model, Program, questions
from tests.session.simulation.viewer import Call, Undrawn, Viewer


class Agent:
    """One session, its PTY, its model, and the streams of its clients."""

    def __init__(self, program: Program) -> None:
        self.now = 0.0
        self.program = program
        self.core: SessionCore[Viewer] = SessionCore(self.now)
        self.model = Model(answering=False)
        self.streams: dict[Connection, Viewer] = {}
        self.output = bytearray()
        """All output there ever was."""
        self.owners: dict[int, str] = {}
        """Whose each question was when it was asked, by its offset."""
        self.calls: list[Call] = []
        self.end: int | None = None
        self.ended_at = 0.0
        self._machine = Typist("", "")
        self._unfed: list[bytes] = []
        self._ending = False

    # -- what comes over a stream -----------------------------------------------------------

    def receive(self, connection: Connection, record: Record) -> None:
        viewer = self.streams.get(connection)
        if record.kind == "register":
            assert isinstance(record.about, Entry)
            self._admit(connection, record.about)
        elif viewer is None:
            pass  # the stream is closed already
        elif record.kind == "input":
            self._type(viewer, record)
        elif record.kind == "credit":
            self.core.output.granted(viewer.view, record.offset, self.now)
            self.pump(viewer)
        elif record.kind == "resize":
            assert isinstance(record.about, Winsize)
            changes = self.core.resize(viewer, record.about)
            self._apply(changes)
            self._pump_all()
        elif record.kind == "detach":
            self.close(connection, left=True)
        elif record.kind == "closed":
            self.close(connection)

    def close(self, connection: Connection, left: bool = False) -> None:
        """A stream is over. Twice is quiet."""
        connection.agent_open = False
        viewer = self.streams.pop(connection, None)
        if viewer is not None:
            self._remove(viewer, left)
            self._pump_all()

    def _finish(self, connection: Connection, left: bool = False) -> None:
        if connection.agent_open:
            connection.send_down(Record("closed"))
        self.close(connection, left)

    def _admit(self, connection: Connection, entry: Entry) -> None:
        size = Winsize(24, 80 + len(entry.client_id))
        view = View(entry.window_bytes)
        viewer = Viewer(entry.client_id, "alice", entry.observer, size, view, connection)
        try:
            self._attach(viewer, entry)
        except CmdopError as refused:
            connection.send_down(Record("refused", about=refused))
            self._finish(connection)

    def _attach(self, viewer: Viewer, entry: Entry) -> None:
        back = entry.resume is not None and self.core.knows(viewer.client_id)
        if self.end is not None and (not back or self.now - self.ended_at >= GRACE_SECONDS):
            raise SessionGone(session="", what="")
        older, changes = self.core.attach(viewer, entry.created, entry.resume, entry.drawn, self.now)
        self.streams[viewer.connection] = viewer
        for offset, mine in self.core.asked(viewer.client_id, viewer.view.cursor):
            viewer.events.append(Record("answers", offset, about=mine))
        if older is not None:
            older.finished = True
        self._apply(changes, viewer)
        if viewer.view.due is not None:
            step = self._next(viewer)
            viewer.undrawn = step if isinstance(step, Undrawn) else None
        elif not (entry.created or entry.drawn or entry.resume):
            viewer.replay.append(Record("replay", viewer.view.cursor, b""))
        others = [other for other in self.core.members.values() if other is not viewer and entry.takeover]
        for other in others:
            other.finished = True
            self._apply(self.core.send_away(other, viewer.operator, self.now))
        viewer.connection.send_down(Record("ready", viewer.view.cursor, about=viewer.typist.typed.taken))
        if older is not None:
            self._finish(older.connection)
        for other in others:
            other.connection.send_down(Record("detached", about=TakenOver(operator=viewer.operator)))
            self._finish(other.connection)
        self._pump_all()

    def _remove(self, viewer: Viewer, left: bool) -> None:
        viewer.finished = True
        if self.core.members.get(viewer.client_id) is viewer:
            self._apply(self.core.detach(viewer, self.now, left))

    # -- typing ---------------------------------------------------------------------------

    def _type(self, viewer: Viewer, record: Record) -> None:
        changes = self.core.type(viewer, record.offset, record.data, self.now)
        self._write_keys()
        self._apply(changes)
        if changes.answered_before is not None:
            self._pump_all()

    def call(self, data: bytes, until: float) -> None:
        call = Call(Typist("", ""), data, until)
        self.calls.append(call)
        self.core.keyboard.put(call.typist, data, self.now)
        self.core.grace.used(self.now)
        self._write_keys()

    def _write_keys(self) -> None:
        keyboard = self.core.keyboard
        if self.end is not None:
            keyboard.clear()
        while data := keyboard.next_bytes:
            taken = self.program.write(keyboard.pending()[0][0], data)
            ack = keyboard.took(taken, self.now)
            if ack is not None and (viewer := self.core.members.get(ack[0].client_id)) is not None:
                viewer.connection.send_down(Record("ack", ack[1]))
            if taken < len(data):
                break

    # -- output ---------------------------------------------------------------------------

    def _apply(self, changes: Changes, introduced: Viewer | None = None) -> None:
        if changes.answered_before is None:
            return
        self._feed_model()
        answerer, head = self.core.answerer, self.core.output.ring.head
        for client_id in (changes.answered_before, answerer):
            viewer = self.core.members.get(client_id)
            if viewer is not None and viewer is not introduced:
                viewer.events.append(Record("answers", head, about=client_id == answerer))
        self.model.answering = not answerer

    def pump(self, viewer: Viewer) -> None:
        """Send a client what it has credit for, as long as its connection takes it."""
        while (step := self._next_step(viewer)) is not None:
            if isinstance(step, Undrawn):
                viewer.replay.extend(step.records())
            else:
                viewer.connection.send_down(step)
        view = viewer.view
        behind = view.due or view.redraw or viewer.undrawn or viewer.replay or view.cursor < self.core.output.ring.head
        if self.end is not None and not viewer.finished and not behind:
            viewer.finished = True
            viewer.connection.send_down(Record("ended", self.end))
            self._finish(viewer.connection)

    def _pump_all(self) -> None:
        for viewer in list(self.core.members.values()):
            self.pump(viewer)

    def _next_step(self, viewer: Viewer) -> Record | Undrawn | None:
        if viewer.finished:
            return None
        if viewer.events:
            return viewer.events.popleft()
        if viewer.connection.congested:
            return None
        if viewer.replay:
            return viewer.replay.popleft()
        undrawn, viewer.undrawn = viewer.undrawn, None
        return undrawn or self._next(viewer)

    def _next(self, viewer: Viewer) -> Record | Undrawn | None:
        step = self.core.next(viewer, self.now)
        if not isinstance(step, Drawing):
            return None if step is None else Record("output", step.offset, step.data)
        self._feed_model()
        return Undrawn(self.model.screen, step is Drawing.SKIP, viewer.view.cursor)

    def _feed_model(self) -> None:
        unfed, self._unfed = self._unfed, []
        for data in unfed:
            self.model.feed(data)
        answers = self.model.answers()
        if answers:
            self.core.keyboard.answer(self._machine, answers, self.now)

    # -- its threads ------------------------------------------------------------------------

    def turn(self) -> bool:
        """One round of `pty->ring`; whether there was anything to do."""
        if self.end is not None:
            return False
        did = False
        if self.program.readable and (self._ending or self.core.may_read(self.now)):
            did = True
            if self.program.over:
                self._finish_session()
                return True
            self._take_output(*self.program.read())
        if self.core.keyboard.next_bytes and self.program.room:
            did = True
            self.core.move_on(self.now)
            self._write_keys()
        return did

    def _take_output(self, data: bytes, flushed: bool) -> None:
        ring = self.core.output.ring
        for offset in questions(data, ring.head):
            self.owners[offset] = self.core.answerer
        if data:
            ring.append(data)
            self.output += data
            self._unfed.append(data)
        if flushed:
            self.core.flushed(self.now)
        self._pump_all()
        self._feed_model()
        self._write_keys()

    def _finish_session(self) -> None:
        self.core.keyboard.clear()
        self.end, self.ended_at = self.core.output.ring.head, self.now
        self._pump_all()

    def relay_is(self, connected: bool) -> None:
        self.core.grace.relay_is(connected, self.now)

    def tick(self, now: float) -> None:
        """Time goes on: the thread `grace`, and calls whose time is over."""
        self.now = now
        if self.end is None and self.core.grace.due_in_seconds(now) == 0.0:
            self.program.exited = self._ending = True
        keyboard = self.core.keyboard
        dues = keyboard.stall_due_in_seconds(now), self.core.hold_due_in_seconds(now)
        if self.end is None and any(due is not None and due <= 0 for due in dues):
            self.core.move_on(now)
            self._write_keys()
        for call in self.calls:
            if not call.over and (now >= call.until or call.typist.typed.taken == len(call.data)):
                call.over = True
                keyboard.withdraw(call.typist)

    def renew(self) -> None:
        """Go on in another process, when nobody is attached."""
        self._feed_model()
        state, blobs = kept_core(self.core, self.now)
        self.core = core_from(json.loads(json.dumps(state)), blobs, self.now)
        self.model.answering = True
