"""Calls on a machine's sessions without attaching: one request, one answer.

They go in sealed CONTROL records of a stream on which nobody registered, as many as the
client likes, one after the other. Each request carries the token that an `AuthSuccess`
brought, where the machine has a password. `Refused` instead
of an answer says why not, and the stream stays open for the next.

`session` is a session's id or a prefix that only one of them has.
"""

from __future__ import annotations

from typing import Annotated

from cmdop.limits import IDLE_SECONDS
from cmdop.winsize import DEFAULT_WINSIZE
from cmdop.wire.message import (
    AT_MOST_CLIENTS,
    Cells,
    Command,
    Count,
    Data,
    IdleSeconds,
    Message,
    MessageCodec,
    Name,
    Seconds,
    SessionId,
    Text,
    replaced,
)


class ClientRecord(Message, frozen=True):
    """One attached client; `since` is Unix time in seconds."""

    client_id: SessionId
    operator: Name
    role: Name
    rows: Cells
    cols: Cells
    since: Seconds


class SessionRecord(Message, frozen=True):
    """A session as its machine knows it.

    `created` is Unix time; `command` what runs in the foreground; `idle_seconds` how long
    nothing was typed or put out; `grace_seconds_left` how long it lives on unless somebody
    comes, nil while that is not counted; `output_offset` where its output is now.
    """

    session_id: SessionId
    operator: Name
    created: Seconds
    rows: Cells
    cols: Cells
    name: Name = ""
    clients: Annotated[tuple[ClientRecord, ...], AT_MOST_CLIENTS] = ()
    command: Text = ""
    idle_seconds: Seconds = 0.0
    grace_seconds_left: Seconds | None = None
    output_offset: Count = 0


class Authenticate(Message, frozen=True):
    """Proves that the caller knows the machine's password; answered with `AuthSuccess`, whose
    token goes with the calls that follow. `padding` means nothing (`wire.message.padded`)."""

    method: Name
    password: Text = ""
    padding: Data | None = None


class ListSessions(Message, frozen=True):
    """Asks for `Sessions`, the first of which is number `first`; answered with what fits."""

    first: Count = 0
    session_token: Name = ""


class Sessions(Message, frozen=True):
    """Sessions in the order that they were opened; `more` follow behind the last one here."""

    sessions: tuple[SessionRecord, ...] = ()
    more: bool = False


class CreateSession(Message, frozen=True):
    """Opens a session that nobody is attached to; answered with `Sessions` of that one."""

    name: Name = ""
    idle_seconds: IdleSeconds = IDLE_SECONDS
    rows: Cells = DEFAULT_WINSIZE.rows
    cols: Cells = DEFAULT_WINSIZE.cols
    term: Name = ""
    colorterm: Name = ""
    locale: Name = ""
    command: Command = ()
    session_token: Name = ""


class SendInput(Message, frozen=True):
    """Types exactly these bytes; `Done` once the PTY took them all."""

    session: Name
    data: Data
    session_token: Name = ""


class SendResize(Message, frozen=True):
    """Gives the PTY a size, until an attached client claims it for its own."""

    session: Name
    rows: Cells
    cols: Cells
    session_token: Name = ""


class SendSignal(Message, frozen=True):
    """Sends a signal ("INT", "SIGINT" or "2") to the foreground process group."""

    session: Name
    signal: Name
    session_token: Name = ""


class GetOutput(Message, frozen=True):
    """Asks for `Output` from `offset` on, at most `max_bytes`."""

    session: Name
    offset: Count = 0
    max_bytes: Count = 0
    session_token: Name = ""


class Output(Message, frozen=True):
    """A part of the output; empty at its present end, which is `end_offset`.

    `truncated` says that the bytes between the wanted offset and this one are gone.
    """

    offset: Count
    data: Data
    end_offset: Count
    truncated: bool = False


class CloseSession(Message, frozen=True):
    """Ends a session: SIGHUP, then SIGKILL; `Done` once it is over."""

    session: Name
    session_token: Name = ""


class Done(Message, frozen=True):
    """The call did what it should."""


CALL_MESSAGES: MessageCodec[Message] = MessageCodec(
    Authenticate,
    ListSessions,
    Sessions,
    CreateSession,
    SendInput,
    SendResize,
    SendSignal,
    GetOutput,
    Output,
    CloseSession,
    Done,
)


def with_token(call: Message, session_token: str) -> Message:
    """The same call with this token; one that carries none as it is."""
    return replaced(call, session_token=session_token) if "session_token" in call.__struct_fields__ else call
