"""What was typed into a session and is not with its PTY yet: in order, and pastes in one piece.

Everybody's input goes to the PTY in the order that it came. While a bracketed paste of
one client is open the keys of the others wait, so that no program gets a paste with
somebody's key in the middle; also while that client's connection is lost, but no longer
than for any paste that does not go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cmdop.limits import ANSWERS_MAX_BYTES, HOLD_SECONDS, PASTE_STALL_SECONDS
from cmdop.session.pastes import PasteScanner
from cmdop.session.typed import TypedIn

_TOGETHER_BYTES = 4096
"""Small records are put together up to here: a flood of them would cost a system call each."""


@dataclass(eq=False)
class Typist:
    """Who types, for as long as the client lives, over all of its connections."""

    client_id: str
    operator: str
    typed: TypedIn = field(default_factory=TypedIn)
    pastes: PasteScanner = field(default_factory=PasteScanner)
    waiting_bytes: int = 0
    """Of its input, what the keyboard has."""


class Keyboard:
    """All input on its way to the PTY. Told the time in seconds of any one clock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Typist, bytes]] = deque()
        self._held: deque[tuple[Typist, bytes]] = deque()
        """Of others, while a paste is open."""
        self._pasting: Typist | None = None
        self._paste_moved_at = 0.0

    @property
    def next_bytes(self) -> bytes:
        """What the PTY is to get next; empty while nothing waits for it."""
        return self._waiting[0][1] if self._waiting else b""

    @property
    def has_pending(self) -> bool:
        """Whether there is something that the PTY has not got."""
        return bool(self._waiting or self._held)

    def put(self, typist: Typist, data: bytes, now: float) -> None:
        """Input of one client, in order."""
        self.release_stalled(now)
        typist.waiting_bytes += len(data)
        if self._pasting not in (None, typist):
            _add(self._held, typist, data)
            return
        self._put(typist, data, now)
        if self._held:
            self._release(now)

    def answer(self, typist: Typist, data: bytes, now: float) -> None:
        """What a model answers to a program's questions, which may ask and not read: past
        `ANSWERS_MAX_BYTES` that wait, answers are lost."""
        if typist.typed.received - typist.typed.taken < ANSWERS_MAX_BYTES:
            typist.typed.received += len(data)
            self.put(typist, data, now)

    def took(self, size: int, now: float) -> tuple[Typist, int] | None:
        """The PTY took so much of `next_bytes`; whom to acknowledge up to which offset, if it is time."""
        typist, data = self._waiting.popleft()
        if size < len(data):
            self._waiting.appendleft((typist, data[size:]))
        if typist is self._pasting:
            self._paste_moved_at = now
        typist.waiting_bytes -= size
        ack = typist.typed.took(size) if size else None
        return None if ack is None else (typist, ack)

    def came_back(self, typist: Typist, now: float) -> None:
        """A client has another connection, and can go on with its paste."""
        if self._pasting is typist:
            self._paste_moved_at = now

    def left(self, typist: Typist, now: float) -> None:
        """A client is gone for good; nobody waits for the rest of its paste."""
        if self._pasting is typist:
            self._pasting = None
            self._release(now)

    def release_stalled(self, now: float) -> None:
        """Let the others type after all when a paste does not go on."""
        due = self.stall_due_in_seconds(now)
        if due is not None and due <= 0:
            self._pasting = None
            self._release(now)

    def stall_due_in_seconds(self, now: float) -> float | None:
        """How long until `release_stalled` has something to do, None while nobody waits."""
        if self._pasting is None or not self._held or self._pasting.waiting_bytes:
            return None  # with some of it waiting it is the program that does not read
        return max(0.0, self._paste_moved_at + PASTE_STALL_SECONDS - now)

    def withdraw(self, typist: Typist) -> None:
        """What the PTY has not got of this client's input is not to be typed any more."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not typist)
        self._held = deque(entry for entry in self._held if entry[0] is not typist)
        typist.waiting_bytes = 0

    def clear(self) -> None:
        """Nobody is left to read it."""
        for typist, _ in self.pending():
            typist.waiting_bytes = 0
        self._waiting.clear()
        self._held.clear()
        self._pasting = None

    def pending(self) -> list[tuple[Typist, bytes]]:
        """All that the PTY has not got, in the order in which it will."""
        return [*self._waiting, *self._held]

    @property
    def held_entries(self) -> int:
        """How many of `pending`, the last ones, wait for the end of a paste."""
        return len(self._held)

    @property
    def pasting(self) -> Typist | None:
        """Whose paste is open."""
        return self._pasting

    def restore(
        self, pending: Sequence[tuple[Typist, bytes]], held_entries: int, pasting: Typist | None, now: float
    ) -> None:
        """Be the keyboard of another process. Who pastes there has to come here first, for which
        the others wait as the program does."""
        first_held = len(pending) - held_entries
        self._waiting, self._held = deque(pending[:first_held]), deque(pending[first_held:])
        for typist, data in pending:
            typist.waiting_bytes += len(data)
        self._pasting, self._paste_moved_at = pasting, now + HOLD_SECONDS - PASTE_STALL_SECONDS
        self._release(now)

    def _put(self, typist: Typist, data: bytes, now: float) -> None:
        typist.pastes.feed(data)
        self._pasting = typist if typist.pastes.open else None
        self._paste_moved_at = now
        _add(self._waiting, typist, data)

    def _release(self, now: float) -> None:
        """Take up what was held, in its order; it may hold a paste in its turn."""
        while self._held and self._pasting is None:
            held, self._held = self._held, deque()
            while held and not (self._held and self._pasting is None):
                typist, data = held.popleft()
                if self._pasting in (None, typist):
                    self._put(typist, data, now)
                else:
                    self._held.append((typist, data))
            self._held += held  # behind those who waited for a paste that is whole now


def _add(entries: deque[tuple[Typist, bytes]], typist: Typist, data: bytes) -> None:
    """Behind the others; small records of one client are put together."""
    if entries and entries[-1][0] is typist and len(entries[-1][1]) < _TOGETHER_BYTES:
        data = entries.pop()[1] + data
    entries.append((typist, data))
