"""Lines of a log that somebody will look at in a terminal."""

from __future__ import annotations

import logging


class LogLine(logging.Formatter):
    """One record, one line, and nothing in it that a terminal would act on: `?` in its place.

    Peers' names and reasons are logged. Only a traceback has further lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = for_a_terminal(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(map(for_a_terminal, lines))


def for_a_terminal(text: str) -> str:
    """A line with `?` for whatever a terminal would act on."""
    return "".join(character if character.isprintable() else "?" for character in text)
