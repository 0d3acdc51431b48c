"""What client and agent say to each other, in sealed CONTROL records.

In order: `Register`, then `AuthChallenge` and `AuthResponse` as often as it takes,
`AuthSuccess`, `Ready`, then data with `Resize`, `Answers` and the like in between, and
at last `Ended` from the agent or `Detach` from the client; `Refused` instead of any
of them ends the stream. A stream that only makes calls speaks call_messages.py.
"""

from __future__ import annotations

from cmdop.errors import CmdopError
from cmdop.limits import GRACE_SECONDS, REASON_MAX_CHARS
from cmdop.wire.message import Cells, Command, Count, Data, Message, MessageCodec, Name, Seconds, SessionId, Text


class Register(Message, frozen=True):
    """What the client wants: to attach, to which session, as what terminal.

    `session` empty joins the machine's live session, or opens one where there is none;
    `new` always opens one. `client_id` names this client for as long as it lives, so
    that input is counted per client; `output_offset` and `input_offset` are what it
    has received and what of its typing was acknowledged, both 0 on a first attach.
    `redraw` asks for a fresh screen on a resume, because ours was written over.
    """

    version: Count
    software: Name
    client_id: SessionId
    rows: Cells
    cols: Cells
    term: Name = ""
    colorterm: Name = ""
    locale: Name = ""
    session: Name = ""
    new: bool = False
    read_only: bool = False
    takeover: bool = False
    replay: Name = "all"
    resume: bool = False
    output_offset: Count = 0
    input_offset: Count = 0
    session_token: Name = ""
    window_bytes: Count = 0
    command: Command = ()
    redraw: bool = False


class AuthChallenge(Message, frozen=True):
    """The machine asks for a password; `tries_left` before it hangs up."""

    methods: tuple[Name, ...]
    tries_left: Count = 3
    wait_seconds: Seconds = 0.0


class AuthResponse(Message, frozen=True):
    """The answer to a challenge. `padding` means nothing (`wire.message.padded`)."""

    method: Name
    password: Text = ""
    padding: Data | None = None


class AuthSuccess(Message, frozen=True):
    """The client is let in; the token spares later calls the question."""

    session_token: Name
    ttl_seconds: Seconds


class Ready(Message, frozen=True):
    """The session is there. Output goes on at `output_offset`, input at `input_offset`.

    `kept_seconds` is how long it lives without a client.
    """

    session_id: SessionId
    output_offset: Count
    input_offset: Count
    created: bool = False
    operator: Name = ""
    notice: Text = ""
    kept_seconds: Seconds = GRACE_SECONDS


class Notice(Message, frozen=True):
    """A sentence for the user, beside the bytes of the program and never among them."""

    text: Text


class Answers(Message, frozen=True):
    """Who answers the program's questions in the output from `offset` on: this client, or
    (`mine` false) somebody else, and then what its terminal says to them is not typed.
    """

    offset: Count
    mine: bool


class PeerJoined(Message, frozen=True):
    """Another client is attached; also told of those that were there before."""

    client_id: SessionId
    operator: Name
    role: Name


class PeerLeft(Message, frozen=True):
    """Another client is not attached any more."""

    client_id: SessionId
    operator: Name


class Resize(Message, frozen=True):
    """The client's terminal has this size now."""

    rows: Cells
    cols: Cells


class Detach(Message, frozen=True):
    """The client leaves; the session lives on."""


class Ended(Message, frozen=True):
    """The session is over: the shell exited, or a signal killed it (`signal` not 0).

    It comes after the last byte of output; `output_offset` is where that ended.
    """

    exit_status: Count
    signal: Count = 0
    output_offset: Count = 0


class Detached(Message, frozen=True):
    """The agent lets this client go; the session lives on. `code` as in errors.py."""

    code: Name
    operator: Name = ""


class Refused(Message, frozen=True):
    """No session for this client. `code` is that of an error in errors.py."""

    code: Name
    reason: Text = ""

    @classmethod
    def of(cls, error: CmdopError) -> Refused:
        """The refusal that tells of an error."""
        return cls(error.code, error.sentence[:REASON_MAX_CHARS])


SESSION_MESSAGES: MessageCodec[Message] = MessageCodec(
    Register,
    AuthChallenge,
    AuthResponse,
    AuthSuccess,
    Ready,
    Notice,
    Answers,
    PeerJoined,
    PeerLeft,
    Resize,
    Detach,
    Ended,
    Detached,
    Refused,
)
