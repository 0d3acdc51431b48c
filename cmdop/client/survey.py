"""Which sessions many machines have: all are asked at once, over one connection to the relay.

Everything runs on the caller's thread. A machine that does not answer in time, or that
refuses, is an entry among the failures and spoils nothing for the others; only the end of
the connection itself is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cmdop.auth.known_machines import Sighting
from cmdop.client.leg import closed_error
from cmdop.client.link import RelayLink
from cmdop.client.poll import wait_for
from cmdop.client.question import Asker, Question, control_frame
from cmdop.client.resolver import display_name
from cmdop.errors import (
    AmbiguousSession,
    CmdopError,
    PasswordRefused,
    SessionGone,
    TimedOut,
    TokenMissing,
    UsageError,
)
from cmdop.limits import ASKED_MACHINES_MAX, PING_MAX_BYTES
from cmdop.printable import printable
from cmdop.wire.call_messages import SessionRecord
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed, MachineRecord


@dataclass(frozen=True)
class Found:
    """A session, and the machine that it is on."""

    machine: MachineRecord
    record: SessionRecord


@dataclass(frozen=True)
class Located:
    """Where a session is that was named by its id, or by the beginning of it."""

    machine: MachineRecord
    session_id: str
    silent: tuple[Silent, ...] = ()
    """Machines that did not answer: one of them might have a session with that beginning too."""


@dataclass(frozen=True)
class Silent:
    """A machine that did not say what sessions it has, and why."""

    machine: MachineRecord
    error: CmdopError


@dataclass
class Survey:
    """What was found, in the order of the machines; and who did not answer."""

    found: list[Found] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)


class Surveyor:
    """Asks machines over a link. For one thread."""

    def __init__(self, link: RelayLink, asker: Asker) -> None:
        self._link, self._asker = link, asker

    def ask(self, machines: Sequence[MachineRecord]) -> Survey:
        """The sessions of these machines. Raises ConnectionClosed when the relay is lost.

        A password that is not kept for one of them is told to a machine only if that is
        the one that asks for it: of several, some might learn what is not theirs.
        """
        survey = _Round(self._link, machines, self._asker).run()
        asking = [silent for silent in survey.silent if isinstance(silent.error, TokenMissing | PasswordRefused)]
        if len(asking) != 1 or self._asker.passwords is None:
            return survey
        told = _Round(self._link, [asking[0].machine], self._asker, of_machine_only=False).run()
        place = {machine.machine_id: number for number, machine in enumerate(machines)}
        found = sorted([*survey.found, *told.found], key=lambda found: place[found.machine.machine_id])
        return Survey(found, [silent for silent in survey.silent if silent is not asking[0]] + told.silent)

    def locate(self, wanted: str, machines: Sequence[MachineRecord]) -> Located:
        """The session whose id is, or begins with, `wanted`, on one of those that are online.

        A whole id that the relay knows needs no question. Else those are asked that have
        sessions as the relay knows, and if it is none of theirs, the others: what the
        relay knows may be late. Raises what `one_session` raises, and UsageError for an empty one.
        """
        if not wanted:
            raise UsageError(reason="the ID of a session is empty")
        wanted = wanted.lower()
        online = [machine for machine in machines if machine.online]
        for machine in online:
            if machine.session is not None and machine.session.session_id == wanted:
                return Located(machine, wanted)
        surveyed = self.ask([machine for machine in online if machine.session is not None])
        if not matching(wanted, surveyed):
            others = self.ask([machine for machine in online if machine.session is None])
            surveyed = Survey(surveyed.found + others.found, surveyed.silent + others.silent)
        found = one_session(wanted, surveyed)
        return Located(found.machine, found.record.session_id, tuple(surveyed.silent))


def matching(wanted: str, surveyed: Survey) -> list[Found]:
    """The sessions whose id is, or begins with, `wanted`; none for an empty text."""
    return [found for found in surveyed.found if wanted and found.record.session_id.startswith(wanted)]


def one_session(wanted: str, surveyed: Survey) -> Found:
    """The one session whose id is, or begins with, `wanted`.

    Raises AmbiguousSession, and where there is none SessionGone, or why a machine that may
    have it did not answer.
    """
    matches = matching(wanted, surveyed)
    if len(matches) == 1:
        return matches[0]
    if matches:
        lines = [_candidate(found) for found in matches]
        sessions = [{"session_id": f.record.session_id, "machine_id": f.machine.machine_id} for f in matches]
        raise AmbiguousSession(query=wanted, candidates="".join(lines), sessions=sessions)
    if surveyed.silent:
        raise surveyed.silent[0].error
    raise SessionGone(session=wanted, what="", host="HOST")


def _candidate(found: Found) -> str:
    record = found.record
    operator, command = printable(record.operator), printable(record.command)
    return f"\n  {record.session_id}  {display_name(found.machine)}  {operator}  {command}"


class _Round:
    """The questions to some machines, as many under way at once as there may be."""

    def __init__(
        self, link: RelayLink, machines: Sequence[MachineRecord], asker: Asker, of_machine_only: bool = True
    ) -> None:
        self._link, self._connection, self._asker = link, link.connection, asker
        self._of_machine_only = of_machine_only
        self._machines = machines
        self._waiting = deque(machines)
        self._asked: dict[int, Question] = {}
        self._told: dict[str, list[SessionRecord]] = {}
        self._silent: list[Silent] = []
        self._proven: list[Sighting] = []

    def run(self) -> Survey:
        try:
            self._run()
        finally:
            self._asker.known.proven(*self._proven)
        found = [Found(m, record) for m in self._machines for record in self._told.get(m.machine_id, ())]
        return Survey(found, self._silent)

    def _run(self) -> None:
        while True:
            self._begin_more()
            if not self._asked:
                break
            message = self._next_message()
            if message is not None:
                self._take(decode_frame(message))
            self._give_up_late()

    def _begin_more(self) -> None:
        while self._waiting and len(self._asked) < ASKED_MACHINES_MAX:
            question = Question(
                self._waiting.popleft(), self._link.next_stream_id(), self._asker, self._of_machine_only
            )
            self._asked[question.stream_id] = question
            self._send(question.opening())

    def _next_message(self) -> bytes | None:
        """A message; None when there is none before somebody's time is up."""
        if not self._connection.buffered:
            soonest = min(question.deadline.remaining_seconds or 0.0 for question in self._asked.values())
            if not wait_for(self._connection, None, soonest)[0]:
                return None
        return self._connection.receive_now()

    def _take(self, frame: Frame) -> None:
        if frame.kind == FrameKind.PING:
            self._send([encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload[:PING_MAX_BYTES])])
            return
        message = RELAY_MESSAGES.decode(frame.payload) if frame.kind == FrameKind.CONTROL else None
        if isinstance(message, Closed) and frame.stream == CONNECTION_STREAM:
            raise closed_error(message, "", frame.stream)
        question = self._asked.get(frame.stream)
        if question is None:
            return
        try:
            if isinstance(message, Closed):
                raise closed_error(message, question.host, frame.stream)
            if frame.kind == FrameKind.SEALED:
                more = question.sealed(frame.payload)
                if more is None:
                    self._told[question.machine.machine_id] = question.records
                    self._leave(question)
                else:
                    self._send(more)
        except CmdopError as error:
            self._give_up(question, error)

    def _give_up_late(self) -> None:
        for question in [one for one in self._asked.values() if one.deadline.passed]:
            self._give_up(question, TimedOut(what=f"the machine {question.host}", seconds=question.patience_seconds))

    def _give_up(self, question: Question, error: CmdopError) -> None:
        self._silent.append(Silent(question.machine, error))
        self._leave(question)

    def _leave(self, question: Question) -> None:
        del self._asked[question.stream_id]
        if question.proven is not None:
            self._proven.append(question.proven)
        self._send([control_frame(question.stream_id, Closed())])

    def _send(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._connection.send(frame)
