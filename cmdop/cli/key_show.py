"""How keys look: a new one, once, and lists of them, masked."""

from __future__ import annotations

from typing import Any

import click

from cmdop.auth.keys import ApiKey, mask
from cmdop.cli.output import print_json, print_table
from cmdop.cli.times import to_the_second


def print_new_key(key: ApiKey, workspace_name: str, label: str, as_json: bool) -> None:
    """The key alone on stdout, so that it can be piped; what to do with it on stderr."""
    if as_json:
        fields = {"workspace": workspace_name, "key_id": key.key_id, "label": label, "role": key.role.value}
        print_json({**fields, "key": key.text})
        return
    click.echo(key.text)
    what = f"the {key.role.value} key {key.masked} of {workspace_name}"
    click.echo(f"This is {what}. It is shown only this once.", err=True)


def key_row(
    key_id: str,
    label: str,
    role: str,
    workspace_name: str,
    *,
    created: float,
    last_used: float | None,
    revoked: float | None,
) -> dict[str, Any]:
    """A key as lists have it. Times are Unix time in seconds, None for never."""
    return {
        "key_id": key_id,
        "label": label,
        "role": role,
        "workspace": workspace_name,
        "created": date(created),
        "last_used": date(last_used),
        "revoked": date(revoked),
    }


def print_revoked(row: dict[str, Any], closed: int, admins_left: bool, as_json: bool) -> None:
    """What came of a revocation."""
    if as_json:
        print_json({**row, "closed_connections": closed})
    else:
        closed_text = f"{count(closed, 'connection')} closed"
        click.echo(f"revoked {mask(row['key_id'])} ({row['label']}), {closed_text}", err=True)
    if not admins_left:
        click.echo(f"warning: {row['workspace']} has no admin key left, so it can get no new keys.", err=True)


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A table of which the names of the fields are the header, or one JSON list."""
    if as_json:
        print_json(rows)
        return
    header = [name.upper().replace("_", " ") for name in rows[0]] if rows else ["NONE"]
    print_table(header, [[_cell(name, value) for name, value in row.items()] for row in rows])


def date(unix_seconds: float | None) -> str | None:
    """RFC 3339, in UTC. A relay may say any time."""
    return None if unix_seconds is None else to_the_second(unix_seconds)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return mask(value) if name == "key_id" else str(value)
