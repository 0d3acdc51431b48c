"""The machine's password, as the agent asks clients for it.

One answer is judged at a time for the whole machine (auth/guesses.py says whose, and when),
so scrypt takes the memory of one however many guess. Who has an answer judged blocks until
its turn, on a thread of its own: it is woken by every change of the queue, and when the
next turn is due. What was wrong outlives the agent in `agent-guesses.json`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from cmdop.auth.guesses import Guesser, Guesses, Turn
from cmdop.auth.machine_password import MachinePassword, PasswordFile
from cmdop.errors import CmdopError, HomeUnusable, TimedOut, TooManyGuesses
from cmdop.home import Home, json_fields
from cmdop.limits import GUESS_QUEUED_SECONDS

FILE: Final = "agent-guesses.json"
_LOG = logging.getLogger("cmdop.agent")


class PasswordGate:
    """Whether the machine has a password, and who knows it. Any thread; without a home it has none."""

    def __init__(self, home: Home | None = None, clock: Callable[[], float] = time.time) -> None:
        self._home, self._clock = home, clock
        self._file = PasswordFile(home) if home is not None else None
        # Guards both below; told of every change. No scrypt and no file while it is held.
        self._change = threading.Condition()
        self._guesses, self._counted_for = _kept(home) if home is not None else _none()
        """The guesses, and the id of the password that they are counted for."""

    def password(self) -> MachinePassword | None:
        """The password as it is now, None where none is set. Reads a file: not for an uplink's reader.

        Raises PasswordUnusable or HomeUnusable: nobody enters then.
        """
        password = self._file.current() if self._file is not None else None
        password_id = password.id if password is not None else ""
        with self._change:
            if password_id != self._counted_for:
                self._guesses.forgive()
                self._counted_for = password_id
                self._change.notify_all()
        return password

    def wait_seconds(self, who: Guesser) -> float:
        """How long the next answer of this one would wait to be judged."""
        with self._change:
            return self._guesses.wait_seconds(who, self._clock())

    def queue(self, who: Guesser) -> Turn:
        """A turn for an answer, to be used with `proves` or given up with `drop`. Never blocks for long.

        Raises TooManyGuesses.
        """
        with self._change:
            turn = self._guesses.put(who)
            self._change.notify_all()
        if turn is None:
            raise TooManyGuesses(host="the machine")
        return turn

    def drop(self, turn: Turn) -> None:
        """Nobody waits for this answer any more. Twice is quiet."""
        with self._change:
            self._guesses.drop(turn)
            self._change.notify_all()

    def proves(self, turn: Turn, text: str) -> str | None:
        """The id of the password, if this is it, else None; blocks until it was this answer's turn.

        An empty id if the machine has none any more. Raises TimedOut when its turn did not
        come in time, TooManyGuesses when it was dropped, and as `password` does.
        """
        self._await(turn)
        try:
            return self._judge(text)
        finally:
            with self._change:
                self._guesses.done()
                self._change.notify_all()

    def _await(self, turn: Turn) -> None:
        until = time.monotonic() + GUESS_QUEUED_SECONDS
        with self._change:
            guesses = self._guesses
            while not guesses.next_is(turn, now := self._clock()):
                left_seconds = until - time.monotonic()
                if not guesses.waits(turn):
                    raise TooManyGuesses(host="the machine")
                if left_seconds <= 0:
                    guesses.drop(turn)
                    raise TimedOut(what="the machine, busy with wrong passwords,", seconds=GUESS_QUEUED_SECONDS)
                # At the same moment: not due, then until it is; due, then it is somebody else's, who will tell.
                due_seconds = guesses.due_in_seconds(now)
                self._change.wait(min(due_seconds or left_seconds, left_seconds))

    def _judge(self, text: str) -> str | None:
        password = self.password()
        right = password is None or password.matches(text)
        with self._change:
            before = self._guesses.rows()
            if right:
                self._guesses.right()
            else:
                self._guesses.wrong(self._clock())
            rows, last_at = self._guesses.rows(), self._guesses.last_at
        if rows != before:
            counted_for = password.id if password is not None else ""
            self._keep({"password_id": counted_for, "wrong": rows, "last_at": last_at})
        if not right:
            return None
        return password.id if password is not None else ""

    def _keep(self, count: dict[str, Any]) -> None:
        """By the thread whose turn it is, so that no older count comes behind a newer one."""
        try:
            if self._home is not None:
                self._home.write_json(FILE, count)
        except HomeUnusable as error:
            _LOG.warning("wrong passwords are only counted until the agent's end: %s", error.sentence)


def _none() -> tuple[Guesses, str]:
    return Guesses(), ""


def _kept(home: Home) -> tuple[Guesses, str]:
    """The count as the process before left it, and which password it was for."""
    try:
        return home.read(FILE, _parse) or _none()
    except CmdopError as error:
        _LOG.warning("wrong passwords are counted anew: %s", error.sentence)
        return _none()


def _parse(data: bytes) -> tuple[Guesses, str]:
    """Raises ValueError."""
    fields = json_fields(data)
    try:
        wrong = [(str(device), str(key), int(count)) for device, key, count in fields["wrong"]]
        return Guesses(wrong, float(fields["last_at"])), str(fields["password_id"])
    except (KeyError, TypeError) as error:
        raise ValueError("it is no count of wrong passwords") from error
