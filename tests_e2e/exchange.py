"""Clients at terminals of their own; a long text out and another one in, and what became of both."""

from __future__ import annotations

import dataclasses
import random
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests_e2e import far, recital
from tests_e2e.person import Person
from tests_e2e.terminal import UserTerminal
from tests_e2e.timing import BULK_SECONDS, START_SECONDS, STEP_SECONDS

if TYPE_CHECKING:
    from tests_e2e.conftest import User

_KEYS = bytes(value for value in range(256) if value not in (0x04, 0x1B))
"""All but the key that leaves, and the beginning of every sequence."""
_CLOSING = re.compile(rb"said (\d+) typed ([0-9a-f]{32}) " + far.END)


def keys(seed: int, size: int) -> bytes:
    """Something to type."""
    return bytes(random.Random(seed).choices(_KEYS, k=size))


class Client:
    """A user once more, at another terminal, attached to a host; and who sits there."""

    def __init__(self, user: User, *words: str, answer: Callable[[bytes], bytes] | None = None) -> None:
        """`answer` is the terminal's own: see Person."""
        self.home, self._closed = user.home, False
        self.terminal = UserTerminal()
        try:
            self.job = dataclasses.replace(user, terminal=self.terminal).cmdop("connect", *words)
            self.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n", START_SECONDS)
        except BaseException:
            self.terminal.close()
            raise
        self.person = Person(self.terminal, answer)

    def leave(self) -> None:
        """Press Ctrl-D."""
        self.person.type(b"\x04")
        assert self.job.wait() == 0

    def kill(self) -> None:
        self.job.signal(signal.SIGKILL)
        assert self.job.wait() == 128 + signal.SIGKILL

    def close(self) -> None:
        """Leave, and take the terminal away. Twice is quiet."""
        if not self._closed:
            self._closed = True
            self.person.leave()
            self.terminal.close()


def _run_far(client: Client, program: str, *words: object) -> None:
    """Let a program of this folder take the place of the shell, which is at its prompt."""
    command = shlex.join(map(str, [sys.executable, "-I", program, *words]))
    client.person.type(b"exec " + command.encode() + b"\r")


class Exchange:
    """far.py in the session of `client`, which is at its shell's prompt."""

    def __init__(self, client: Client, out_bytes: int = 0, pause_seconds: float = 0.0) -> None:
        self.person = client.person
        self._typed_file = Path(client.home / "typed")
        _run_far(client, far.__file__, self._typed_file, out_bytes, pause_seconds)
        self._begin = len(self.person.until_seen(far.BEGIN, START_SECONDS)) - len(far.BEGIN)

    @property
    def seen(self) -> bytes:
        """What the client has seen of it so far."""
        return self.person.seen[self._begin :]

    @property
    def typed(self) -> bytes:
        """What it has read so far."""
        return self._typed_file.read_bytes()

    def until_typed(self, size: int) -> None:
        """Until it has read so much; looked at whenever it says something."""
        self.person.until(lambda _: self._typed_file.stat().st_size >= size, BULK_SECONDS)

    def until_typed_last(self, text: bytes) -> None:
        """Until this is the last that it has read."""
        self.person.until(lambda _: self.typed.endswith(text), STEP_SECONDS)

    def stop(self, by: Person) -> bytes:
        """Let `by` stop it; all that it printed, once `by` sees the end of it."""
        by.type(far.STOP)
        found = _CLOSING.search(by.until_seen(far.END, BULK_SECONDS))
        assert found is not None
        output = far.output(int(found[1]), self.typed)
        assert output.endswith(found[0])
        return output


class Recital:
    """recital.py in the session of `client`, which is at its shell's prompt."""

    def __init__(self, client: Client, pieces: Sequence[bytes]) -> None:
        self._folder = Path(client.home / "recital")
        self._folder.mkdir()
        for number, piece in enumerate(pieces):
            (self._folder / str(number)).write_bytes(piece)
        _run_far(client, recital.__file__, self._folder)

    @property
    def typed(self) -> bytes:
        """What it has read so far."""
        return (self._folder / "typed").read_bytes()
