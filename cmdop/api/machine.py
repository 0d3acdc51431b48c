"""A machine: its sessions, called and attached to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Literal, Self

from cmdop.api.attached import AttachedSession, winsize
from cmdop.api.executed import Executed, Reader, Word, Writer, reading, wanted_command, writing
from cmdop.api.records import ReadOutput, Session, session_from
from cmdop.auth.known_machines import FirstSight
from cmdop.client.connect import Joined, Place, TerminalAbout, Wanted, join_session, resume_session
from cmdop.client.delivery import Kept
from cmdop.client.executing import Executing
from cmdop.client.reach import Reach
from cmdop.errors import UsageError
from cmdop.limits import (
    COMMAND_WORDS_MAX,
    COUNT_MAX,
    IDLE_MAX_SECONDS,
    IDLE_SECONDS,
    JSON_OUTPUT_MAX_BYTES,
    NAME_MAX_CHARS,
)
from cmdop.terminal.in_process import InProcessTerminal
from cmdop.wire.call_messages import CreateSession
from cmdop.wire.relay_messages import MachineRecord

DEFAULT_TERM: Final = "xterm-256color"


class Machine:
    """A machine of the workspace, made by `cmdop.connect`. A `with` block that ends with `close`.

    Its calls are for one thread at a time. They block until the machine has answered, and
    raise TimedOut where it says nothing for 10 s. A session is named by its id, by a
    beginning of the id that no other session of the machine has, or by a `Session`.
    Sessions that are attached to have connections of their own, and outlive `close`.
    """

    def __init__(self, reach: Reach, record: MachineRecord) -> None:
        """`reach` is this machine's from now on."""
        self.machine_id = record.machine_id
        self.hostname = record.hostname
        self.name = record.name
        """The friendly name."""
        self._reach = reach
        self._calls = reach.calls(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cmdop.Machine {self.name!r} {self.machine_id}>"

    def close(self) -> None:
        """Give the connection back. Twice is quiet, and a call behind it makes another one."""
        self._calls.close()
        self._reach.close()

    # -- calls --------------------------------------------------------------------------------

    def sessions(self) -> list[Session]:
        """The machine's sessions, in the order that they were opened."""
        return [session_from(record) for record in self._calls.sessions()]

    def create_session(
        self,
        *,
        name: str = "",
        idle_seconds: float = IDLE_SECONDS,
        command: Sequence[str] = (),
        rows: int = 24,
        cols: int = 80,
        term: str = DEFAULT_TERM,
        colorterm: str = "",
        locale: str = "",
    ) -> Session:
        """Open a session that nobody is attached to; it lives for as long as somebody uses it, and
        `idle_seconds` longer. `command` is what runs instead of the login shell.

        Raises UsageError, SessionRefused where there are too many, ShellUnusable, and CommandUnusable.
        """
        check_name(name)
        size = winsize(rows, cols)
        if not 1 <= idle_seconds <= IDLE_MAX_SECONDS:
            raise UsageError(reason=f"a session is kept for 1 to {IDLE_MAX_SECONDS:.0f} idle seconds")
        if len(command) > COMMAND_WORDS_MAX:
            raise UsageError(reason=f"a command has at most {COMMAND_WORDS_MAX} words")
        wanted = CreateSession(name, idle_seconds, size.rows, size.cols, term, colorterm, locale, tuple(command))
        return session_from(self._calls.create(wanted))

    def send_input(self, session: Session | str, data: bytes) -> None:
        """Type exactly these bytes; returns once the session's terminal took them.

        Raises TimedOut when the program does not read: what was taken is not known then.
        """
        self._calls.send_input(_id_of(session), data)

    def read(self, session: Session | str, since: int = 0) -> ReadOutput:
        """The output from that offset on, as far as there is any now and the machine keeps it: at least 1 MiB.

        Where a program puts out faster than it is read, what is in one piece is given.
        """
        if not 0 <= since <= COUNT_MAX:
            raise UsageError(reason=f"an offset is from 0 to {COUNT_MAX}, not {since}")
        pieces = self._calls.read(_id_of(session), since)
        first = next(pieces)
        data = bytearray(first.data)
        for piece in pieces:
            if piece.offset != first.offset + len(data):
                break  # what is behind the gap is for the next time
            data += piece.data
        return ReadOutput(bytes(data), first.offset, first.offset + len(data), first.truncated)

    def resize(self, session: Session | str, rows: int, cols: int) -> None:
        """Give the session's terminal a size, until an attached client claims its own."""
        self._calls.resize(_id_of(session), winsize(rows, cols))

    def signal(self, session: Session | str, name: str) -> None:
        """Send a signal ("INT", "SIGINT" or "2") to what runs in the foreground.

        Raises UsageError for what is no signal, and SignalLost when nobody was there to get it.
        """
        check_signal(name)
        self._calls.signal(_id_of(session), name)

    def close_session(self, session: Session | str) -> None:
        """End a session and everything in it; returns once it is over."""
        self._calls.end(_id_of(session))

    # -- commands -------------------------------------------------------------------------------

    def execute(
        self,
        command: Word | Sequence[Word],
        *,
        stdin: bytes | Reader = b"",
        stdout: Writer | None = None,
        stderr: Writer | None = None,
        timeout_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        output_max_bytes: int = JSON_OUTPUT_MAX_BYTES,
    ) -> Executed:
        """Run a command, without a terminal and without a session; returns when it is over.

        One word is run by the shell of the machine's account, several are run as they are. `stdin`
        is what it reads, or a file that it is read from as it comes. Its outputs are
        kept up to `output_max_bytes` each, or written as they come to the files `stdout` and
        `stderr`, on threads of their own. One that takes longer than `timeout_seconds` is
        killed, and so is one whose caller is interrupted.

        Raises UsageError, CommandRefused, CommandUnusable for what cannot be started,
        CommandLost when the machine is lost meanwhile, and OutputLost.
        """
        read = reading(stdin)
        wanted = wanted_command(command, read is not None, env, cwd)
        output, error = Kept(output_max_bytes), Kept(output_max_bytes)
        stream, started = self._calls.execute(wanted)
        executing = Executing(stream, started, writing(stdout or output), writing(stderr or error), read)
        end = executing.run(timeout_seconds)
        cut = output.cut or error.cut
        return Executed(end.status, end.signal, end.timed_out, bytes(output.data), bytes(error.data), cut)

    # -- streams --------------------------------------------------------------------------------

    def attach(
        self,
        session: Session | str = "",
        *,
        new: bool = False,
        rows: int = 24,
        cols: int = 80,
        read_only: bool = False,
        takeover: bool = False,
        replay: Literal["all", "screen", "none"] = "all",
        term: str = DEFAULT_TERM,
        colorterm: str = "",
        locale: str = "",
    ) -> AttachedSession:
        """Attach to a session: to that one; else to the machine's live one, or to a new one if it has none.

        `new` opens one in any case. `read_only` only watches. `takeover` detaches all others.
        `replay` is what comes before live output of a session that was there before: its
        scrollback and screen (`all`), its screen, or nothing. Raises SessionGone,
        AmbiguousSession, SessionRefused, and what reaching the machine raises.
        """
        access, size = self._reach.access, winsize(rows, cols)
        wanted = Wanted(
            self.machine_id,
            TerminalAbout(size, term, colorterm, locale),
            session=_id_of(session) if session else "",
            new=new,
            read_only=read_only,
            takeover=takeover,
            replay=replay,
            way=access.way,
        )
        joined = join_session(access.credential, access.device_key, access.known, wanted, _Untold(), access.passwords)

        def rejoin(before: Joined, place: Place) -> Joined:
            return resume_session(access.credential, access.device_key, wanted, before, place, access.passwords)

        return AttachedSession(joined, InProcessTerminal(size), rejoin, read_only)


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be a session's name."""
    if len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise UsageError(reason=f"{name!r} cannot be a session's name: at most {NAME_MAX_CHARS} printable characters")


def check_signal(name: str) -> None:
    """Raises UsageError for what cannot be a signal's name; the machine knows which there are."""
    if not 0 < len(name) <= NAME_MAX_CHARS:
        raise UsageError(reason=f"there is no signal {name!r}")


def _id_of(session: Session | str) -> str:
    """Raises UsageError for what can be the beginning of no id."""
    wanted = session.session_id if isinstance(session, Session) else session.strip().lower()
    if not 0 < len(wanted) <= NAME_MAX_CHARS:
        raise UsageError(reason=f"{session!r} names no session")
    return wanted


class _Step:
    """What a step came to, which nobody is told."""

    def __init__(self) -> None:
        self.detail = ""
        self.fields: dict[str, object] = {}


class _Untold:
    """The progress of a program's attach."""

    @contextmanager
    def step(self, name: str) -> Iterator[_Step]:
        yield _Step()

    def first_sight(self, sight: FirstSight) -> None:
        """That was said to be right when the machine was asked for."""
