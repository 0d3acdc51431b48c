"""What the API gives: plain values, which nothing changes any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cmdop.wire.call_messages import ClientRecord, SessionRecord

_LAST_SECOND: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Client:
    """A client that is attached to a session, and since when.

    `role` is `operator`, or `observer` for one that only watches; `operator` is the label
    of its key.
    """

    client_id: str
    operator: str
    role: str
    rows: int
    cols: int
    since: datetime


@dataclass(frozen=True)
class Session:
    """A session as it was when its machine told of it.

    `operator` opened it; `command` runs in its foreground; `idle_seconds` is how long
    nothing was typed or put out; `grace_seconds_left` how long it lives on if nobody
    comes, None while somebody is there; `output_offset` where its output was, in bytes
    from its beginning. Times are in UTC.
    """

    session_id: str
    operator: str
    created: datetime
    rows: int
    cols: int
    name: str = ""
    clients: tuple[Client, ...] = ()
    command: str = ""
    idle_seconds: float = 0.0
    grace_seconds_left: float | None = None
    output_offset: int = 0


@dataclass(frozen=True)
class ReadOutput:
    """Output of a session: `data`, from `offset` up to `next_offset`, where to read on.

    `truncated` says that what was between the wanted offset and `offset` is not kept any more.
    """

    data: bytes
    offset: int
    next_offset: int
    truncated: bool = False


@dataclass(frozen=True)
class Ended:
    """How a session's shell ended. `signal` is the number of the one that killed it, or 0."""

    exit_status: int
    signal: int = 0

    @property
    def status(self) -> int:
        """As a shell would report it: 128 + n for a signal."""
        return 128 + self.signal if self.signal else self.exit_status


def session_from(record: SessionRecord) -> Session:
    """What a machine told, as a plain value."""
    return Session(
        record.session_id,
        record.operator,
        _moment(record.created),
        record.rows,
        record.cols,
        record.name,
        tuple(_client_from(client) for client in record.clients),
        record.command,
        record.idle_seconds,
        record.grace_seconds_left,
        record.output_offset,
    )


def _client_from(record: ClientRecord) -> Client:
    return Client(record.client_id, record.operator, record.role, record.rows, record.cols, _moment(record.since))


def _moment(unix_seconds: float) -> datetime:
    """A peer may say any."""
    return datetime.fromtimestamp(min(unix_seconds, _LAST_SECOND), UTC)
