"""A command on a machine, from what a program says of it to its result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cmdop.client.delivery import Sink
from cmdop.client.executing import CommandEnd, executable
from cmdop.errors import UsageError
from cmdop.wire.exec_messages import Execute

Word = str | bytes


class Reader(Protocol):
    """A binary file to read from."""

    def read(self, size: int, /) -> bytes: ...


class Writer(Protocol):
    """A binary file to write to."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Executed:
    """What came of a command. `signal` is the number of the one that killed it, or 0.

    `timed_out` says that it took too long and was killed for that; `truncated` that there
    was more output than is kept here. What went to files of the caller is not in it.
    """

    exit_status: int
    signal: int = 0
    timed_out: bool = False
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False

    @property
    def status(self) -> int:
        """One number, as a shell's `$?` has it: 128 + n for a signal, 124 for one that took too long."""
        return CommandEnd(self.exit_status, self.signal, self.timed_out).exit_status


def wanted_command(
    command: Word | Sequence[Word],
    has_input: bool,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
) -> Execute:
    """What to ask a machine for. Raises UsageError for what it could not run."""
    words = [command] if isinstance(command, str | bytes) else list(command)
    if not words or not words[0]:
        raise UsageError(reason="there is no command")
    variables = dict(env or {})
    if any(not name or "=" in name for name in variables):
        raise UsageError(reason="a variable has a name, without `=`")
    wanted = Execute(
        tuple(map(os.fsencode, words)),
        stdin=has_input,
        env=tuple(os.fsencode(f"{name}={value}") for name, value in variables.items()),
        cwd=b"" if cwd is None else os.fsencode(cwd),
    )
    if any(b"\0" in word for word in (*wanted.command, *wanted.env, wanted.cwd)):
        raise UsageError(reason="there is a NUL in the command, its variables or its folder")
    return executable(wanted)


def reading(given: bytes | Reader) -> Callable[[int], bytes] | None:
    """How the command's input is read; None for a command that has none."""
    if not isinstance(given, bytes):
        # `read` of a buffered file waits for all that it is asked for.
        return getattr(given, "read1", given.read)
    if not given:
        return None
    rest = memoryview(given)

    def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = rest[:size], rest[size:]
        return bytes(piece)

    return read


def writing(to: Writer) -> Sink:
    """Where an output goes; whatever the file raises is told as what cannot be written."""

    def write(data: bytes) -> None:
        try:
            _write_all(to, data)
        except OSError:
            raise
        except Exception as error:
            raise OSError(str(error) or type(error).__name__) from error

    return Sink(write)


def _write_all(to: Writer, data: bytes) -> None:
    """A file without a buffer may take a part, and says how much. Raises what it raises."""
    rest = memoryview(data)
    while rest:
        taken = to.write(bytes(rest))
        if taken == 0:
            raise OSError("the file takes nothing")
        rest = rest[taken:] if isinstance(taken, int) else rest[:0]
