"""Lines of a log that somebody will look at in a terminal."""

from __future__ import annotations

import logging

from cmdop.printable import printable


class LogLine(logging.Formatter):
    """One record, one line, and nothing in it that a terminal would act on: `?` in its place.

    Peers' names and reasons are logged. Only a traceback has further lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(map(printable, lines))
