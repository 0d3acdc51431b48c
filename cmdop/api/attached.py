"""A session that this program is attached to.

The attach is the user's one (client/attach.py), on a terminal at which this program sits.
Its main is the thread `attach ID`, which blocks where `Attach.run` says and ends with the
attach; `detach` waits for it, and nothing else needs to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, overload

from cmdop.api.records import Ended
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, Place
from cmdop.client.keys import KeyMachine
from cmdop.client.outcome import Failed, Outcome, SessionEnded
from cmdop.errors import CmdopError, ConnectionClosed, RoleTooLow, SessionGone, UsageError
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, WINSIZE_MAX
from cmdop.terminal.in_process import InProcessTerminal
from cmdop.winsize import Winsize

_LOG = logging.getLogger("cmdop.client")
_NO_KEYS = b""


class AttachedSession:
    """A session and its output, byte for byte, as a terminal would get it.

    A `with` block that ends with `detach`, and an iterator over the output. One thread
    reads; any may do the rest. A connection that is lost is dialled again, and both
    directions go on where they were; only if that takes longer than the session is kept
    without a client, reading and writing raise RelayLost.

    Read it: a program whose output nobody reads is held up, as under ssh.
    """

    def __init__(
        self,
        joined: Joined,
        terminal: InProcessTerminal,
        rejoin: Callable[[Joined, Place], Joined],
        read_only: bool = False,
    ) -> None:
        """Made by `Machine.attach`."""
        ready = joined.ready
        self.session_id = ready.session_id
        self.operator = ready.operator
        """Who opened it."""
        self.created = ready.created
        """Whether it was opened for this program."""
        self._terminal, self._read_only = terminal, read_only
        self._outcome: Outcome | None = None
        """Written once, by the thread `attach ID`, before the output ends."""
        self._attach = Attach(
            joined,
            terminal,
            KeyMachine(_NO_KEYS),
            rejoin,
            read_only=read_only,
            told_size=terminal.size(),
            input_ends_shell=False,
        )
        self._thread = threading.Thread(target=self._run, name=f"attach {self.session_id[:8]}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def __iter__(self) -> Iterator[bytes]:
        """Output as it comes, to the end of the session. Raises as `read` does."""
        while data := self.read():
            yield data

    @property
    def ended(self) -> Ended | None:
        """How the session ended; None while it goes on, or when this program left before."""
        outcome = self._outcome
        if not isinstance(outcome, SessionEnded):
            return None
        return Ended(outcome.ended.exit_status, outcome.ended.signal)

    @overload
    def read(self) -> bytes: ...

    @overload
    def read(self, timeout_seconds: float | None) -> bytes | None: ...

    def read(self, timeout_seconds: float | None = None) -> bytes | None:
        """The next output, as much as there is; None when none came in time.

        b"" when all was read of a session that ended, or that was detached from. Raises what
        ended the attach otherwise: RelayLost, TakenOver and so on, behind the last output.
        """
        data = self._terminal.shown(timeout_seconds)
        if data == b"":
            self._terminal.leave()
            if isinstance(self._outcome, Failed):
                raise self._outcome.error
        return data

    def write(self, data: bytes) -> None:
        """Type exactly these bytes: once and in order, over any number of connections.

        Returns when they are on their way. It blocks while the program leaves megabytes
        unread. Raises RoleTooLow for who only watches, SessionGone when the session is
        over, ConnectionClosed behind `detach`, and what else ended the attach.
        """
        if self._read_only:
            raise RoleTooLow(what="typing into a session", needed="operator", role="observer")
        self._check()
        self._terminal.type(data)

    def resize(self, rows: int, cols: int) -> None:
        """Give the session's terminal another size, soon, unless another client's counts. Raises UsageError."""
        self._terminal.resize(winsize(rows, cols))

    def detach(self) -> None:
        """Leave; the session lives on. What was written goes before, as far as the machine takes it
        at once; output that was not read is dropped. Twice is quiet."""
        self._terminal.end_input()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        self._attach.leave()
        self._thread.join()
        self._terminal.leave()

    def _check(self) -> None:
        """Raises why nothing can be typed any more, if that is so."""
        outcome = self._outcome
        if isinstance(outcome, Failed):
            raise outcome.error
        if isinstance(outcome, SessionEnded):
            raise SessionGone(session=self.session_id[:8], what="", host="HOST")
        if outcome is not None:
            raise ConnectionClosed(reason="this program has detached from the session")

    def _run(self) -> None:
        outcome: Outcome = Failed(ConnectionClosed(reason="the attach was abandoned"))
        try:
            outcome = self._attach.run(lambda: None)
        except CmdopError as error:
            outcome = Failed(error)
        except Exception as error:  # noqa: BLE001 - who reads must not wait for ever
            _LOG.exception("%s died", threading.current_thread().name)
            outcome = Failed(CmdopError(reason=repr(error)))
        finally:
            self._outcome = outcome
            self._terminal.close()


def winsize(rows: int, cols: int) -> Winsize:
    """A terminal's size. Raises UsageError for one that no terminal has."""
    if not (1 <= rows <= WINSIZE_MAX and 1 <= cols <= WINSIZE_MAX):
        raise UsageError(reason=f"a terminal has 1 to {WINSIZE_MAX} rows and columns, not {rows} and {cols}")
    return Winsize(rows, cols)
