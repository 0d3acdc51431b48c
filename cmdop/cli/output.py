"""How results and errors look: tables, JSON documents, sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from cmdop.errors import CmdopError


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, aligned, for people; nothing but the header when there are no rows."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def report_error(error: CmdopError, as_json: bool = False) -> None:
    """An error as the user reads it: on stderr a sentence and what to do next."""
    if as_json:
        details = {key: _plain(value) for key, value in error.details.items()}
        fields = {"code": error.code, "message": error.sentence, "hint": error.next_step, "details": details}
        print_json({"error": fields})
        return
    click.echo(f"cmdop: {error.sentence}", err=True)
    if error.next_step:
        click.echo(error.next_step, err=True)
    sys.stderr.flush()


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None), list, dict)) else str(value)
