"""The agent's log: written by its two processes, read by `cmdop agent logs`.

`agent.log` and at most four older ones, `agent.log.1` the youngest of them, a mebibyte
each and for their owner only. The session host turns them over; the agent, which has
little to say, opens the file for each line, whatever it is by now.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from cmdop.errors import HomeUnusable
from cmdop.home import Home
from cmdop.limits import MIB
from cmdop.logline import LogLine

LOG_FILE = "agent.log"
LOG_BYTES = 1 * MIB
LOG_FILES = 5


class PrivateRotatingHandler(RotatingFileHandler):
    """A rotating log that nobody else can read."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", errors="replace", opener=open_private)


def open_private(path: str, flags: int) -> int:
    """An `opener` for files of their owner only."""
    return os.open(path, flags, 0o600)


def log_to_file(home: Home, debug: bool = False) -> logging.Handler:
    """Send what cmdop logs to the home's file, in UTC. Raises HomeUnusable."""
    path = home.folder() / LOG_FILE
    try:
        handler = PrivateRotatingHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1)
    except OSError as error:
        raise HomeUnusable(path=path, reason=error.strerror) from error
    return _log_with(handler, debug)


def log_beside_host(home: Home, debug: bool = False) -> logging.Handler:
    """Add to the file that the session host writes. Raises HomeUnusable."""
    return _log_with(_Adding(home.folder() / LOG_FILE), debug)


class LogLines(logging.Handler):
    """Calls back with each line, for somebody who looks on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell
        self.setFormatter(LogLine())

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(self.format(record))


class _Adding(logging.Handler):
    """Opens the file for each record."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with open(self._path, "a", encoding="utf-8", errors="replace", opener=open_private) as file:
                file.write(self.format(record) + "\n")
        except OSError:
            self.handleError(record)


def _log_with(handler: logging.Handler, debug: bool) -> logging.Handler:
    formatter = LogLine("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("cmdop")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    return handler


def last_lines(home: Home, count: int) -> list[str]:
    """The log's last lines, oldest first, from the older files too if need be."""
    lines: deque[str] = deque(maxlen=count)
    for number in range(LOG_FILES - 1, -1, -1):
        path = home.file(LOG_FILE if number == 0 else f"{LOG_FILE}.{number}")
        try:
            lines.extend(path.read_text("utf-8", errors="replace").splitlines())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HomeUnusable(path=path, reason=error.strerror) from error
    return list(lines)


class LogTail:
    """What is added to the log from now on, across rotations. Closing twice is quiet."""

    def __init__(self, home: Home) -> None:
        self._path = home.file(LOG_FILE)
        self._file = _open_or_none(self._path)
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> str:
        """What was added since the last call; never waits."""
        added = "" if self._file is None else self._file.read()
        if self._file is not None and _same_file(self._file, self._path):
            return added
        newer = _open_or_none(self._path)
        if newer is None:
            return added
        if self._file is not None:
            added += self._file.read()  # what came between our reading and its renaming
        self.close()
        self._file = newer
        return added + newer.read()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _open_or_none(path: Path) -> TextIOWrapper | None:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeUnusable(path=path, reason=error.strerror) from error


def _same_file(file: TextIOWrapper, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return True  # just being renamed: the new one is not there yet
