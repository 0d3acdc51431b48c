"""`cmdop` as a process of its own, with the environment and the descriptors that a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cmdop.home import Home

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0


class Done(NamedTuple):
    """What a command line did."""

    status: int
    out: str
    err: str


def environment(home: Home, **more: str | None) -> dict[str, str]:
    """A small one; None takes a variable away."""
    usual: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "HOME": str(home.path.parent),
        "CMDOP_HOME": str(home.path),
        "PYTHONPATH": str(ROOT),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "TERM": "xterm-256color",
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        **more,
    }
    return {name: value for name, value in usual.items() if value is not None}


def cmdop(home: Home, *words: str, stdin: str = "", **more: str | None) -> Done:
    """Run a command line to its end."""
    return finish(subprocess.run, [sys.executable, "-m", "cmdop", *words], home, input=stdin.encode(), **more)


def shell(home: Home, script: str, **more: str | None) -> Done:
    """Run a script of sh(1) in which `$CMDOP` is the command."""
    more = {"CMDOP": f"{sys.executable} -m cmdop", **more}
    return finish(subprocess.run, ["sh", "-c", script], home, input=b"", **more)


def finish(run: Any, command: list[str], home: Home, *, input: bytes, **more: str | None) -> Done:  # noqa: A002
    done = run(
        command, input=input, capture_output=True, env=environment(home, **more), timeout=TIMEOUT_SECONDS, check=False
    )
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
