"""Programs of the system, run to their end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cmdop.errors import NoServiceManager, ServiceRefused, TimedOut

_TIMEOUT_SECONDS: Final = 60.0
"""More than it takes to stop a service, which ends the sessions of an agent."""
_SAID_MAX_CHARS: Final = 300


class Ran(NamedTuple):
    """How a program ended, and what it said."""

    status: int
    out: str = ""
    err: str = ""


Run = Callable[[Sequence[str]], Ran]
"""Runs a program. Raises NoServiceManager when there is none of that name, TimedOut."""


def run_program(words: Sequence[str]) -> Ran:
    """A `Run`, of real ones; they get no input."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(what=words[0], seconds=_TIMEOUT_SECONDS) from error
    except OSError as error:
        raise NoServiceManager(reason=f"{words[0]}: {error.strerror}") from error
    return Ran(done.returncode, done.stdout, done.stderr)


def must(run: Run, words: Sequence[str]) -> Ran:
    """Run what has to succeed. Raises ServiceRefused with what it said, and as `run` does."""
    ran = run(words)
    if ran.status != 0:
        said = " ".join((ran.err.strip() or ran.out.strip() or f"it ended with status {ran.status}").split())
        raise ServiceRefused(what=" ".join(words), reason=said[:_SAID_MAX_CHARS])
    return ran


def put_file(path: Path, data: bytes) -> bool:
    """Write a file that everybody may read, whole or not at all; False when it was just so.

    Raises ServiceRefused.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.read_bytes() == data:
            return False
        scratch.write_bytes(data)
        scratch.chmod(0o644)
        os.replace(scratch, path)
    except OSError as error:
        raise ServiceRefused(what=f"writing {path}", reason=error.strerror) from error
    return True


def remove_file(path: Path) -> None:
    """Take a file away; that there is none is success. Raises ServiceRefused."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ServiceRefused(what=f"removing {path}", reason=error.strerror) from error
