"""The entry point: finds the verb, imports only that, and turns errors into exits."""

from __future__ import annotations

import sys

from cmdop import __version__


def main() -> None:
    """Run the command line in sys.argv and exit with its status."""
    if sys.argv[1:] == ["--version"]:  # the answer needs nothing else
        print(f"cmdop {__version__}")
        return
    from cmdop.cli.root import run

    sys.exit(run(sys.argv[1:]))
