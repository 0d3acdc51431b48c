"""Tracebacks: never on the user's terminal; with CMDOP_DEBUG=1 in CMDOP_HOME/debug.log."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Final

from cmdop.cli.options import home
from cmdop.errors import CmdopError
from cmdop.logline import LogLine
from cmdop.printable import printable

FILE: Final = "debug.log"


def wanted() -> bool:
    """Whether the user asked for more of it: CMDOP_DEBUG is set, and not to 0."""
    return os.environ.get("CMDOP_DEBUG", "") not in ("", "0")


def note(error: BaseException) -> None:
    """Write an error's traceback down if that is wanted. It is being reported: never raises."""
    import traceback

    lines = "".join(traceback.format_exception(error)).split("\n")
    _write("\n".join(map(printable, lines)))


def keep_off_the_terminal() -> None:
    """Let what threads die of, and what our loggers say, go there too, for this process."""
    logging.getLogger("cmdop").addHandler(_Notes())
    logging.raiseExceptions = False
    threading.excepthook = lambda died: note(died.exc_value or died.exc_type())
    sys.unraisablehook = lambda raised: note(raised.exc_value or raised.exc_type())


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LogLine())

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record) + "\n")


def _write(text: str) -> None:
    if not wanted():
        return
    from datetime import UTC, datetime

    try:
        with open(home().folder() / FILE, "a", encoding="utf-8", errors="backslashreplace", opener=_private) as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}")
    except (CmdopError, OSError):
        return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
