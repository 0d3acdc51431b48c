"""Who guessed a machine's password wrong, and whose answer is judged when. No I/O, no lock.

All answers to a machine stand in one queue, whoever gives them over whichever connection,
and one is judged at a time. After `FREE_GUESSES_MAX` wrong ones each further one makes the
next answer wait: 1 s, then 2, 4 and so on up to `GUESS_WAIT_MAX_SECONDS`, counted from the
wrong one before. So the number of guesses in a time does not depend on how many guess.

Who waits is not simply the next: first comes who was wrong least often on this device,
then on any device with this key, then who came first. So somebody who knows the password
waits for one turn, while guessers wait for each other. Nobody is ever locked out.

What was wrong is forgotten `GUESSES_FORGOTTEN_SECONDS` after the last of it. Who is right
takes back what was wrong from that device, and nothing of what others guessed: or else a
guesser would gain from each login of an honest user. Another password begins the count anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cmdop.limits import (
    FREE_GUESSES_MAX,
    GUESS_WAIT_FIRST_SECONDS,
    GUESS_WAIT_MAX_SECONDS,
    GUESSERS_MAX,
    GUESSES_FORGOTTEN_SECONDS,
    WAITING_GUESSES_MAX,
)


class Guesser(NamedTuple):
    """Who answers: a device, by its proven static key in hex, and the API key's id, as the relay told it."""

    device: str
    key: str


NOBODY = Guesser("", "")
"""Has the wrong answers of those who are not told apart any more."""


@dataclass(eq=False)
class Turn:
    """An answer that waits to be judged."""

    who: Guesser
    number: int


class Guesses:
    """The queue and the count. Told Unix time in seconds, which may jump: no wait gets longer by that."""

    def __init__(self, wrong: Iterable[tuple[str, str, int]] = (), last_at: float = 0.0) -> None:
        """`wrong` and `last_at` are what `rows` and `last_at` of another process's were."""
        self._wrong = {Guesser(device, key): count for device, key, count in wrong}
        self._of_key: Counter[str] = Counter()
        """How often each key was wrong; looked at for all that wait, and counted when it changes."""
        self._recount()
        self._last_at = last_at
        self._waiting: list[Turn] = []
        self._judged: Turn | None = None
        self._numbers = 0

    def rows(self) -> list[tuple[str, str, int]]:
        """Who was wrong and how often, to be kept."""
        return [(*who, count) for who, count in self._wrong.items()]

    @property
    def last_at(self) -> float:
        """When somebody was last wrong."""
        return self._last_at

    # -- the queue -------------------------------------------------------------------------

    def put(self, who: Guesser) -> Turn | None:
        """Queue an answer; None when there are too many, and nobody who was wrong more often
        than this one. The answer of such a one is dropped (`waits` says so) for it."""
        self._numbers += 1
        turn = Turn(who, self._numbers)
        self._waiting.append(turn)
        if len(self._waiting) > WAITING_GUESSES_MAX:
            last = max(self._waiting, key=self._rank)
            self._waiting.remove(last)
            if last is turn:
                return None
        return turn

    def drop(self, turn: Turn) -> None:
        """Nobody wants it judged any more. Twice is quiet."""
        if turn in self._waiting:
            self._waiting.remove(turn)

    def waits(self, turn: Turn) -> bool:
        return turn in self._waiting

    def next_is(self, turn: Turn, now: float) -> bool:
        """Whether this answer is to be judged now. Then nobody else's is, until `done`."""
        if self._judged is not None or self.due_in_seconds(now) > 0 or not self._waiting:
            return False
        if min(self._waiting, key=self._rank) is not turn:
            return False
        self._waiting.remove(turn)
        self._judged = turn
        return True

    def due_in_seconds(self, now: float) -> float:
        """How long until the next answer may be judged, whoever's it is."""
        self._forget(now)
        return max(0.0, min(self._last_at, now) + self._delay(0) - now)

    def wait_seconds(self, who: Guesser, now: float) -> float:
        """How long an answer that this one gave now would wait, if all before it are wrong."""
        due = self.due_in_seconds(now)
        rank = self._rank(Turn(who, self._numbers + 1))
        before = sum(self._rank(turn) < rank for turn in self._waiting) + (self._judged is not None)
        return due + sum(self._delay(more + 1) for more in range(before))

    # -- what came of it ---------------------------------------------------------------------

    def wrong(self, now: float) -> None:
        """The one that is judged was wrong."""
        assert self._judged is not None
        self._forget(now)
        who = self._judged.who
        self._wrong[who] = self._wrong.pop(who, 0) + 1  # the latest stands last
        self._last_at = now
        while len(self._wrong) > GUESSERS_MAX:
            first = next(one for one in self._wrong if one != NOBODY)
            self._wrong[NOBODY] = self._wrong.get(NOBODY, 0) + self._wrong.pop(first)
        self._recount()

    def right(self) -> None:
        """The one that is judged was right."""
        assert self._judged is not None
        if self._wrong.pop(self._judged.who, None) is not None:
            self._recount()

    def forgive(self) -> None:
        """Begin the count anew."""
        self._wrong.clear()
        self._recount()

    def done(self) -> None:
        """It is judged: the next one may be."""
        self._judged = None

    def _rank(self, turn: Turn) -> tuple[int, int, int]:
        return self._wrong.get(turn.who, 0), self._of_key[turn.who.key], turn.number

    def _recount(self) -> None:
        self._of_key.clear()
        for who, count in self._wrong.items():
            self._of_key[who.key] += count

    def _delay(self, more: int) -> float:
        """The wait behind the last wrong answer, and behind so many more."""
        beyond = self._of_key.total() + more - FREE_GUESSES_MAX
        # Bounded before the power, which would grow without end.
        return min(GUESS_WAIT_FIRST_SECONDS * 2 ** min(beyond, 16), GUESS_WAIT_MAX_SECONDS) if beyond >= 0 else 0.0

    def _forget(self, now: float) -> None:
        if self._wrong and now - self._last_at >= GUESSES_FORGOTTEN_SECONDS:
            self.forgive()
