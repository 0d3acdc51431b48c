"""Questions to somebody at a terminal. The only file that imports questionary.

They are shown on standard error: standard output is for results. Leaving a question with
Ctrl-C or Ctrl-D raises click.Abort. The terminal is as it was afterwards, also when a
signal ends us. On the main thread only.
"""

from __future__ import annotations

import contextlib
import signal
import sys

import click

from cmdop.terminal.signals import handled

_ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def can_ask() -> bool:
    """Whether somebody is there who sees a question and can answer it."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask_text(question: str, default: str = "") -> str:
    """One line, without white space around it; `default` if it is empty."""
    shown = f"{question} [{default}]:" if default else f"{question}:"
    return _ask(shown, hidden=False) or default


def ask_hidden(question: str) -> str:
    """One line that is not shown."""
    return _ask(f"{question}:", hidden=True)


def _ask(question: str, hidden: bool) -> str:
    import questionary  # a tenth of a second, for who is asked something

    kind = questionary.password if hidden else questionary.text
    # It looks for stdout, when it is made as well as when it asks.
    with contextlib.redirect_stdout(sys.stderr), handled(_ENDING, _leave, keep_ignored=True):
        try:
            answer = kind(question).unsafe_ask()
        except (KeyboardInterrupt, EOFError) as error:
            raise click.Abort from error
    return str(answer).strip()


def _leave(number: int) -> None:
    raise SystemExit(128 + number)
