"""How results and errors look: tables, JSON documents, sentences."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import IO, Any

import click

from cmdop.errors import CmdopError, OutputLost
from cmdop.printable import printable
from cmdop.terminal.cells import aligned


def print_json(document: Any) -> None:
    """One JSON document on stdout, in characters that its encoding has."""
    text = json.dumps(document, ensure_ascii=False, indent=2, default=str)
    # JSON escapes C0 by itself, and not what else a terminal acts on (DEL, C1, U+202E).
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, default=str)
    click.echo(text)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[Sequence[str]] | None = None
) -> None:
    """Columns, aligned, for people; nothing but the header when there are no rows.

    `below` has the lines to print under each row.
    """
    shown = [[_encodable(printable(cell)) for cell in row] for row in [header, *rows]]
    for row, lines in zip(aligned(shown), [[], *(below or [[]] * len(rows))], strict=True):
        click.echo(row)
        for line in lines:
            click.echo(_encodable(printable(line)))


def print_line(text: str) -> None:
    """One line of a result, as stdout can have it."""
    click.echo(_encodable(printable(text)))


def report_error(error: CmdopError, as_json: bool = False) -> None:
    """An error as the user reads it: on stderr a sentence and what to do next.

    For programs it is a document on stdout, unless that takes nothing more. Raises
    BrokenPipeError when nobody reads it.
    """
    if as_json and not isinstance(error, OutputLost):
        fields = {"code": error.code, "message": error.sentence, "hint": error.next_step, "details": error.details}
        try:
            print_json({"error": fields})
        except BrokenPipeError:
            raise
        except OSError:
            drain(sys.stdout)
        else:
            return
    click.echo(f"cmdop: {printable(error.sentence)}", err=True)
    for line in error.next_step.splitlines():
        click.echo(printable(line), err=True)


def _encodable(text: str) -> str:
    """A text as stdout can have it: stderr replaces by itself what it cannot write."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def flushes(stream: IO[str] | None) -> bool:
    """Write out what is in the buffer; whether that could be done."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        return False
    return True


def drain(stream: IO[str] | None) -> None:
    """Write out what is left. What cannot be written is dropped: the interpreter would try
    again at its end, and exit with a status of its own."""
    if stream is not None and not flushes(stream):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
