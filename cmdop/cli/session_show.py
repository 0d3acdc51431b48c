"""How sessions look: the table for people, the documents that scripts rely on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cmdop.api.records import Client, ReadOutput, Session
from cmdop.cli.output import print_table
from cmdop.cli.times import rfc3339
from cmdop.client.resolver import age_text, display_name
from cmdop.wire.relay_messages import MachineRecord

ID_SHOWN_CHARS: Final = 8
_HEADER: Final = ("ID", "MACHINE", "NAME", "OPERATOR", "CLIENTS", "COMMAND", "IDLE", "LEFT")
_COMMAND_SHOWN_CHARS: Final = 40
_UTF8_MAX_BYTES: Final = 4


def print_sessions(sessions: list[tuple[MachineRecord, Session]], now: datetime) -> None:
    """A row for each session, and under it a line for each client."""
    below = [[_client_line(client, now) for client in session.clients] for _, session in sessions]
    print_table(_HEADER, [_row(machine, session) for machine, session in sessions], below)


def _row(machine: MachineRecord, session: Session) -> tuple[str, ...]:
    command = session.command
    if len(command) > _COMMAND_SHOWN_CHARS:
        command = command[: _COMMAND_SHOWN_CHARS - 1] + "…"
    left = session.grace_seconds_left
    return (
        session.session_id[:ID_SHOWN_CHARS],
        display_name(machine),
        session.name or "-",
        session.operator,
        str(len(session.clients)),
        command or "-",
        age_text(session.idle_seconds),
        "-" if left is None else left_text(left),
    )


def left_text(seconds: float) -> str:
    """What is left of a time, in its largest unit that says enough: `119m`, where `1h` would be half of it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _client_line(client: Client, now: datetime) -> str:
    size = f"{client.rows} rows, {client.cols} cols"
    return f"  {client.operator} ({client.role}), {size}, for {age_text((now - client.since).total_seconds())}"


def session_document(machine_id: str, session: Session) -> dict[str, Any]:
    """A session as `session list --json` has it. Keys are only ever added."""
    return {
        "session_id": session.session_id,
        "machine_id": machine_id,
        "name": session.name,
        "operator": session.operator,
        "created": rfc3339(session.created.timestamp()),
        "clients": [_client_document(client) for client in session.clients],
        "command": session.command,
        "idle_seconds": round(session.idle_seconds, 3),
        "grace_seconds_left": None if session.grace_seconds_left is None else round(session.grace_seconds_left, 3),
    }


def _client_document(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "operator": client.operator,
        "role": client.role,
        "winsize": {"rows": client.rows, "cols": client.cols},
        "since": rfc3339(client.since.timestamp()),
    }


def output_document(output: ReadOutput) -> dict[str, Any]:
    """What was read, for programs: `data`, or `data_base64` when it is not UTF-8.

    A character that is not whole yet at the end is left for the next time: `next_offset`
    is before it. `truncated` says that something behind the wanted offset is gone.
    """
    data, next_offset = output.data, output.next_offset
    document = {"offset": output.offset, "truncated": output.truncated}
    unfinished = unfinished_bytes(data)
    try:
        text = data[: len(data) - unfinished].decode("utf-8")
    except UnicodeDecodeError:
        import base64

        return {**document, "data_base64": base64.b64encode(data).decode("ascii"), "next_offset": next_offset}
    return {**document, "data": text, "next_offset": next_offset - unfinished}


def unfinished_bytes(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that may still be finished."""
    for size in range(1, min(_UTF8_MAX_BYTES, len(data) + 1)):
        try:
            data[-size:].decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and error.start == 0:
                return size
        else:
            return 0
    return 0
