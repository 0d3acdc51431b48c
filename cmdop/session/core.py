"""What a session decides: who is attached, what each gets, who types, whose size, how long it lives.

The agent's half of docs/protocol.md §8, without a PTY, threads or a clock: agent/shell.py
has those, and asks here under its lock. Everything is told the time in seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from cmdop.errors import SessionRefused, TakenOver
from cmdop.limits import (
    ANSWER_TURNS_MAX,
    CLIENTS_PER_SESSION_MAX,
    DEPARTED_CLIENTS_MAX,
    GONE_INPUT_MAX_BYTES,
    GRACE_SECONDS,
    HOLD_SECONDS,
    OBSERVERS_PER_SESSION_MAX,
    OFFSET_MAX,
)
from cmdop.session.arbitration import SizeOwner
from cmdop.session.broadcast import Broadcast, Bytes, Drawing, View
from cmdop.session.keyboard import Keyboard, Typist
from cmdop.session.lifecycle import GraceClock
from cmdop.winsize import Winsize


class Resume(NamedTuple):
    """What a client says that comes back: what it received, and what it knows to be typed."""

    output_offset: int
    input_offset: int
    redraw: bool = False
    whole: bool = False
    """The redraw is to bring the scrollback as well."""


@dataclass(eq=False)
class Member:
    """One attached client."""

    client_id: str
    operator: str
    observer: bool
    winsize: Winsize
    view: View
    typist: Typist = field(init=False)

    def __post_init__(self) -> None:
        self.view.paces = not self.observer
        self.typist = Typist(self.client_id, self.operator)

    @property
    def role(self) -> str:
        return "observer" if self.observer else "operator"


class Held(NamedTuple):
    """The program waits for a client that vanished when the output was at `head`, until then."""

    head: int
    until: float


M = TypeVar("M", bound=Member)


class Changes(NamedTuple):
    """What follows from a change: the PTY's new size, if it has one; and the client that answered
    questions until now, if there is another one ("" is the machine itself)."""

    size: Winsize | None = None
    answered_before: str | None = None


_NONE = Changes()


class SessionCore(Generic[M]):
    """One session's state. Its clients are `M`, of which only what `Member` has is looked at."""

    def __init__(self, now: float, kept_seconds: float = GRACE_SECONDS) -> None:
        self.output = Broadcast()
        self.keyboard = Keyboard()
        self.grace = GraceClock(now, kept_seconds)
        self.members: dict[str, M] = {}
        self.winsize: Winsize | None = None
        """The size that a client or a call gave the PTY last."""
        self._sizes = SizeOwner()
        self.answerers: list[tuple[int, str]] = [(0, "")]
        """From which offset on questions were whose to answer, as far back as the ring goes."""
        self.held: Held | None = None
        self._departed: dict[str, Typist] = {}
        """Typists of clients that vanished, the last one last: they may resume."""
        self._left: dict[str, Typist] = {}
        """Of those that left, the last one last. One that did not hear that it was let go comes
        back once more, and nothing may be typed twice."""
        self.sent_away: dict[str, str] = {}
        """Clients that were detached, the last one last, and by which operator: they may not."""

    @property
    def answerer(self) -> str:
        """The client that answers the program's questions; "" while there is none."""
        return self._sizes.owner or ""

    def asked(self, client_id: str, offset: int) -> list[tuple[int, bool]]:
        """From which offsets on, beginning with this one, questions are a client's own to answer."""
        asked: list[tuple[int, bool]] = []
        for begin, answerer in self.answerers:
            mine = answerer == client_id
            if begin <= offset:
                asked = [(offset, mine)]
            elif asked[-1][1] != mine:
                asked.append((begin, mine))
        return asked

    @property
    def expects_back(self) -> bool:
        """Whether a client that vanished may still come back."""
        return bool(self._departed)

    def departed(self) -> list[Typist]:
        """Typists of the clients that vanished, the last one last."""
        return list(self._departed.values())

    def remember(self, typists: Iterable[Typist]) -> None:
        """These clients vanished, and may come back."""
        self._departed.update((typist.client_id, typist) for typist in typists)

    def knows(self, client_id: str) -> bool:
        """Whether this client is, or was attached and vanished."""
        return client_id in self._departed or client_id in self.members

    # -- coming and going ------------------------------------------------------------------

    def attach(
        self, member: M, created: bool, resume: Resume | None, drawn: bool, now: float
    ) -> tuple[M | None, Changes]:
        """Let a client in; the same client's older connection, which it replaces, and what changes.

        `drawn` is whether one that did not open the session and does not resume gets to see
        what was before. Raises SessionRefused or TakenOver when it may not come,
        RemoteProtocolError for a resume where nothing ever was. Nothing is changed then.
        """
        older = self.members.get(member.client_id)
        self._check_room(member, older)
        self._check_resume(member, resume)
        if resume is not None:
            self.output.resume(member.view, resume.output_offset, resume.redraw, resume.whole)
            member.typist = self._typist_of(member, older, resume)
            self.keyboard.came_back(member.typist, now)
        elif created:
            self.output.begin(member.view)
        else:
            self.output.join(member.view, drawn)
        self._departed.pop(member.client_id, None)
        self._left.pop(member.client_id, None)
        self.held = None if not member.observer else self.held
        self.members[member.client_id] = member
        self.grace.clients_are(len(self.members), now)
        changes = _NONE if member.observer else self._claim(member, member.winsize)
        if created and not self.answerers[0][1]:  # what was asked before anybody came is its own
            self.answerers[0] = self.answerers[0][0], member.client_id
        return older, changes

    def _check_room(self, member: M, older: M | None) -> None:
        known = self._known(member, older)
        if known is not None and known.operator != member.operator:
            raise SessionRefused(host="the machine", reason="somebody else is attached under this client's id")
        if older is None and len(self.members) >= CLIENTS_PER_SESSION_MAX:
            raise SessionRefused(host="the machine", reason=f"{CLIENTS_PER_SESSION_MAX} clients are attached to it")
        observers = sum(one.observer for one in self.members.values() if one is not older)
        if member.observer and observers >= OBSERVERS_PER_SESSION_MAX:
            raise SessionRefused(host="the machine", reason=f"{OBSERVERS_PER_SESSION_MAX} observers are watching it")

    def _check_resume(self, member: M, resume: Resume | None) -> None:
        """One that did not hear that it was sent away hears it now; its typing is not counted any more."""
        if resume is None:
            self.sent_away.pop(member.client_id, None)
        elif member.client_id in self.sent_away:
            raise TakenOver(operator=self.sent_away[member.client_id])

    def _typist_of(self, member: M, older: M | None, resume: Resume) -> Typist:
        known = self._known(member, older)
        if known is None:  # long gone: what it knows to be typed counts
            known = member.typist
            known.typed.start(min(resume.input_offset, OFFSET_MAX))
        return known

    def _known(self, member: M, older: M | None) -> Typist | None:
        """Who types, as that client or as the one that it was before."""
        if older is not None:
            return older.typist
        return self._departed.get(member.client_id) or self._left.get(member.client_id)

    def detach(self, member: M, now: float, left: bool) -> Changes:
        """A client is gone: it `left`, or else it vanished and may come back. Twice is quiet."""
        if self.members.get(member.client_id) is not member:
            return _NONE
        del self.members[member.client_id]
        if left:
            self.keyboard.left(member.typist, now)
        if not left and not member.observer:
            self.held = Held(self.output.ring.head, now + HOLD_SECONDS)
        gone = self._left if left else self._departed
        gone[member.client_id] = member.typist
        while len(gone) > DEPARTED_CLIENTS_MAX:
            self.keyboard.withdraw(gone.pop(next(iter(gone))))
        self._forget_input()
        self.grace.clients_are(len(self.members), now)
        before = self.answerer
        return self._changed(self._sizes.leave(member.client_id), before)

    def _forget_input(self) -> None:
        """Let nobody fill the memory by typing and going. Who vanished keeps its input, and sends it
        again should it come back; so that goes first."""
        gone = [*self._departed.values(), *self._left.values()]
        waiting_bytes = sum(typist.waiting_bytes for typist in gone)
        for typist in gone:
            if waiting_bytes <= GONE_INPUT_MAX_BYTES:
                break
            if typist.waiting_bytes:
                waiting_bytes -= typist.waiting_bytes
                self.keyboard.withdraw(typist)
                typist.typed.received = typist.typed.taken

    def send_away(self, member: M, operator: str, now: float) -> Changes:
        """A client is detached by another one's operator, and may not resume. Twice is quiet."""
        changes = self.detach(member, now, left=True)
        self.sent_away[member.client_id] = operator
        while len(self.sent_away) > DEPARTED_CLIENTS_MAX:
            del self.sent_away[next(iter(self.sent_away))]
        return changes

    def send_departed_away(self, operator: str) -> None:
        """Clients that vanished may not come back either."""
        for client_id in self._departed:
            self.sent_away[client_id] = operator
        self._departed.clear()
        self.held = None

    # -- typing and sizes ------------------------------------------------------------------------

    def type(self, member: M, offset: int, data: bytes, now: float) -> Changes:
        """Input of one client. Raises RemoteProtocolError when it breaks its window."""
        fresh = member.typist.typed.receive(offset, data)
        if fresh:
            self.keyboard.put(member.typist, fresh, now)
        return self._claim(member, None)

    def resize(self, member: M, winsize: Winsize) -> Changes:
        """A client's window has another size now."""
        member.winsize = winsize
        return _NONE if member.observer else self._claim(member, winsize)

    def _claim(self, member: M, winsize: Winsize | None) -> Changes:
        before = self.answerer
        if before == member.client_id and winsize is None:
            return _NONE
        return self._changed(self._sizes.claim(member.client_id, winsize), before)

    def _changed(self, size: Winsize | None, before: str) -> Changes:
        if size is not None:
            self.winsize = size
        if self.answerer == before:
            return Changes(size)
        self._remember_answerer()
        return Changes(size, before)

    def _remember_answerer(self) -> None:
        """Questions are somebody else's from the head on; what is before the ring's tail is forgotten."""
        head, tail = self.output.ring.head, self.output.ring.tail
        later = [entry for entry in self.answerers if tail < entry[0] < head]
        before = [who for begin, who in self.answerers if begin <= tail]
        turns = [(tail, who) for who in before[-1:]] + later
        if len(turns) >= ANSWER_TURNS_MAX:  # as many as a client remembers
            turns = [(tail, turns[1 - ANSWER_TURNS_MAX][1]), *turns[2 - ANSWER_TURNS_MAX :]]
        self.answerers = [*turns, (head, self.answerer)]

    # -- output -----------------------------------------------------------------------------------------

    def views(self) -> list[View]:
        return [member.view for member in self.members.values()]

    def next(self, member: M, now: float) -> Bytes | Drawing | None:
        """What a client gets now (`Broadcast.next`)."""
        return self.output.next(member.view, self.views(), now)

    def may_read(self, now: float) -> bool:
        """Whether the program may go on: somebody takes its output, or nobody is waited for."""
        held = self.held is not None and now < self.held.until
        return self.output.may_read(self.views(), self.held.head if self.held and held else None, now)

    def hold_due_in_seconds(self, now: float) -> float | None:
        """How long until the program need not wait any more, None while it does not."""
        if self.held is None or any(member.view.paces for member in self.members.values()):
            return None
        return max(0.0, self.held.until - now)

    def move_on(self, now: float) -> None:
        """Wait no longer for what is overdue: a client that vanished, the rest of a paste."""
        if self.held is not None and now >= self.held.until:
            self.held = None
        self.keyboard.release_stalled(now)

    def flushed(self, now: float) -> list[M]:
        """The kernel dropped output; the clients, for all of whom there may be something now."""
        self.output.flushed(self.views(), now)
        return list(self.members.values())
