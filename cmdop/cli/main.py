"""The entry point: finds the verb, imports only that, and turns errors into exits."""

from __future__ import annotations

import os
import sys

from cmdop import __version__


def main() -> None:
    """Run the command line in sys.argv and exit with its status."""
    _fill_standard_descriptors()
    if sys.argv[1:] == ["--version"]:  # the answer needs nothing else
        try:
            print(f"cmdop {__version__}", flush=True)
        except OSError:
            pass  # said below, with what else cannot be written
        else:
            return
    try:
        from cmdop.cli.debug import keep_off_the_terminal
        from cmdop.cli.root import run

        keep_off_the_terminal()
        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # it came before or after `run`
        status = 130
    sys.exit(status)


def _fill_standard_descriptors() -> None:
    """Put nothing where a standard stream was closed.

    Or else the next file or socket gets its number, and what is meant for the terminal.
    """
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            setattr(sys, name, open(fd, mode, encoding="utf-8", errors="replace"))  # noqa: SIM115 - for good
