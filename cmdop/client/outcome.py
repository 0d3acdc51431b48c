"""Why an attach ended."""

from __future__ import annotations

from dataclasses import dataclass

from cmdop.errors import CmdopError
from cmdop.wire.session_messages import Ended


@dataclass(frozen=True)
class Detached:
    """The user pressed the leaving key; the session lives on."""


@dataclass(frozen=True)
class SessionEnded:
    """The shell is over."""

    ended: Ended

    @property
    def status(self) -> int:
        """The exit status as a shell would report it: 128 + n for a signal."""
        return 128 + self.ended.signal if self.ended.signal else self.ended.exit_status


@dataclass(frozen=True)
class Failed:
    """Something broke: the relay, the machine, the terminal."""

    error: CmdopError


@dataclass(frozen=True)
class Killed:
    """A signal told this process to go."""

    signal: int


Outcome = Detached | SessionEnded | Failed | Killed
