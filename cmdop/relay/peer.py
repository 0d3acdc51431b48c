"""One connection to the relay, and who is at its other end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cmdop.auth.keys import Role
from cmdop.relay.router import Far
from cmdop.transport.connection import Connection


@dataclass(frozen=True)
class Caller:
    """Whom a credential stands for.

    Of a key: its workspace, its label as `operator`, its role, its id. Of a machine's
    token: the workspace, the machine's name as `operator`, the role agent, its id.
    """

    workspace: str
    operator: str
    role: Role
    key_id: str = ""
    machine_id: str = ""

    @property
    def credential(self) -> str:
        """Which one it is, without its secret."""
        return self.key_id or self.machine_id


class Stage(Enum):
    """How far a connection has come."""

    GREETING = "greeting"
    CLIENT = "client"
    AGENT = "agent"
    LEAVING = "leaving"
    """An agent that has said goodbye."""


class Peer:
    """A connection in the relay's hands.

    The thread that reads it sets everything but `ending` and `why`; `heard` and `greeted`
    are read by the thread that looks for silence. `far` is the router's table of joins,
    read without a lock for every frame that is passed on. `ending`, and `why`, are set
    once, under the board's lock, by whoever ends the connection.
    """

    __slots__ = ("caller", "connection", "ending", "far", "heard", "machine_id", "recorded", "stage", "why")

    def __init__(self, connection: Connection, caller: Caller, now: float) -> None:
        self.connection = connection
        self.caller = caller
        self.stage = Stage.GREETING
        self.heard = now
        self.recorded = now
        self.far: Mapping[int, Far[Peer]] = {}
        self.machine_id = ""
        self.ending = False
        self.why = ""

    def end(self, why: str) -> bool:
        """The relay ends it; whether it is the first to do so. The board's lock is held."""
        first, self.ending = not self.ending, True
        if first:
            self.why = why
        return first

    @property
    def greeted(self) -> bool:
        return self.stage is not Stage.GREETING

    def __str__(self) -> str:
        kind = "peer" if self.stage is Stage.GREETING else "client" if self.stage is Stage.CLIENT else "agent"
        caller = self.caller
        return f"{kind} {self.connection.remote} ({caller.operator}, {caller.role.value} in {caller.workspace})"
