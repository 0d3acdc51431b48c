"""A command without a session: what client and agent say to each other beside its bytes.

`Execute` comes on a stream on which nobody registered. `Started` answers it, or `Refused`,
and then the stream is as if nothing had been asked. Behind `Started` go records: INPUT,
OUTPUT and ERROR_OUTPUT, each counted from 0, and CREDIT from whoever takes them; and these
messages. `Ended` (session_messages.py) comes behind the last byte of both outputs.
"""

from __future__ import annotations

from cmdop.winsize import DEFAULT_WINSIZE
from cmdop.wire.message import Cells, Count, Data, Message, MessageCodec, Name, Seconds, Words


class Execute(Message, frozen=True):
    """Runs a command: one word by the account's shell, several as they are.

    `stdin` says that INPUT will come; without it the command has an empty standard input.
    `env` has variables as in execve(2), `NAME=value`; `cwd` empty is the home. With `tty`
    the command gets a terminal of that size, and all of its output is OUTPUT. The client
    gives `window_bytes` of credit for each output, from 0 on.
    """

    command: Words
    stdin: bool = False
    env: Words = ()
    cwd: Data = b""
    tty: bool = False
    rows: Cells = DEFAULT_WINSIZE.rows
    cols: Cells = DEFAULT_WINSIZE.cols
    term: Name = ""
    colorterm: Name = ""
    locale: Name = ""
    window_bytes: Count = 0
    round_trip_seconds: Seconds = 0.0
    session_token: Name = ""


class Started(Message, frozen=True):
    """The command runs. The agent gives `window_bytes` of credit for its input, from 0 on."""

    window_bytes: Count = 0


class InputEnded(Message, frozen=True):
    """No more input comes, from the client; or the command takes no more, from the agent."""


class OutputEnded(Message, frozen=True):
    """The command wrote the last byte of its output, or (`error`) its standard error; from
    the client: nobody takes any more of it."""

    error: bool = False


class Signal(Message, frozen=True):
    """A signal ("INT", "SIGINT" or "2") for the command's process group."""

    signal: Name


EXEC_MESSAGES: MessageCodec[Message] = MessageCodec(Execute, Started, InputEnded, OutputEnded, Signal)
