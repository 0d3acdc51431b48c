"""The `[connect]` lines: each is begun as its step begins, and ended as it ends."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from cmdop.cli.output import printable

_PATIENCE_SECONDS = 0.1
"""How long a word to the user may wait for a terminal that takes nothing."""


class Line:
    """What a step came to: for people, and for programs."""

    def __init__(self) -> None:
        self.detail = ""
        self.fields: dict[str, object] = {}


class Banner:
    """Prints steps on stderr; a failed step ends its line with `failed`."""

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        line = Line()
        say(f"[connect] {name} ... ", end="")
        try:
            yield line
        except BaseException:
            say("failed")
            raise
        say(f"ok ({line.detail})" if line.detail else "ok")


class Silent:
    """Tells nobody: for scripts."""

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        yield Line()


def say(text: str, end: str = "\n") -> None:
    """One line of text on stderr at once; one that is gone, or takes nothing, is nobody's problem."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None and _takes_something(sys.stderr):
            sys.stderr.write(printable(text) + end)
            sys.stderr.flush()


def _takes_something(stream: IO[str]) -> bool:
    """Whether a write would not hang: a terminal that was stopped with Ctrl-S takes nothing."""
    try:
        return not stream.isatty() or bool(select.select([], [stream], [], _PATIENCE_SECONDS)[1])
    except (OSError, ValueError):  # there is no select for consoles on Windows
        return True


def raw_line_end() -> str:
    """What ends a line on stderr while the terminal is raw and turns no NL into CR NL."""
    return "\r\n" if sys.stderr is not None and sys.stderr.isatty() else "\n"
