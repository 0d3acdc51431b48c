"""The `[connect]` lines: each is begun as its step begins, and ended as it ends."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from cmdop.printable import printable

if TYPE_CHECKING:
    from cmdop.auth.known_machines import FirstSight

_PATIENCE_SECONDS = 0.1
"""How long a word to the user may wait for a terminal that takes nothing."""


class Line:
    """What a step came to: for people, and for programs."""

    def __init__(self) -> None:
        self.detail = ""
        self.fields: dict[str, object] = {}
        self.interrupted = False
        """Whether something else was said since it was begun."""


class Banner:
    """Prints steps on stderr; one that fails ends its line with `failed`, one that the user breaks
    off with `cancelled`."""

    _under_way: Line | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        line = self._under_way = Line()
        say(f"[connect] {name} ... ", end="")
        outcome = "failed"
        try:
            yield line
            outcome = f"ok ({line.detail})" if line.detail else "ok"
        except KeyboardInterrupt:
            outcome = "cancelled"
            raise
        finally:
            self._under_way = None
            say(f"[connect] {name} ... {outcome}" if line.interrupted else outcome)

    def interrupt(self, text: str) -> None:
        """End the line that is under way with this; the step's end has a line of its own then."""
        line = self._under_way
        if line is not None and not line.interrupted:
            say(text)
            line.interrupted = True

    def first_sight(self, sight: FirstSight) -> None:
        from cmdop.cli.sight import first_sight_text

        say(f"[connect] {first_sight_text(sight)}")


class Silent:
    """Tells nobody: for scripts."""

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        yield Line()

    def first_sight(self, sight: FirstSight) -> None:
        pass


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
