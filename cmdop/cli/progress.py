"""The `[connect]` lines: each is begun as its step begins, and ended as it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cmdop.cli.output import printable


class _Line:
    detail = ""


class Banner:
    """Prints steps on stderr; a failed step ends its line with `failed`."""

    @contextmanager
    def step(self, name: str) -> Iterator[_Line]:
        line = _Line()
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
    def step(self, name: str) -> Iterator[_Line]:
        yield _Line()


def say(text: str, end: str = "\n") -> None:
    """One line of text on stderr at once; a stderr that is gone is nobody's problem."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(printable(text) + end)
            sys.stderr.flush()


def raw_line_end() -> str:
    """What ends a line on stderr while the terminal is raw and turns no NL into CR NL."""
    return "\r\n" if sys.stderr is not None and sys.stderr.isatty() else "\n"
