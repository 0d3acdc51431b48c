"""What a client or an agent and the relay say to each other, in CONTROL frames.

On stream 0 they concern the connection, on any other the stream of that number.
"""

from __future__ import annotations

from cmdop.wire.message import Count, Key32, MachineId, Message, MessageCodec, Name, Seconds, SessionId, Text


class SessionSummary(Message, frozen=True):
    """A session as the directory shows it: who opened it and how many watch."""

    session_id: SessionId
    operator: Name
    clients: Count = 0


class MachineRecord(Message, frozen=True):
    """A machine as the relay knows it.

    `last_seen` is Unix time in seconds. `stopped_cleanly` tells a goodbye from a
    connection that broke or fell silent; it means nothing while `online`.
    """

    machine_id: MachineId
    hostname: Name
    name: Name
    online: bool
    heartbeat_age_seconds: Seconds
    last_seen: Seconds
    stopped_cleanly: bool = False
    agent_version: Name = ""
    session: SessionSummary | None = None


class Hello(Message, frozen=True):
    """The first message of whoever dialled; `role` is client or agent."""

    version: Count
    software: Name
    role: Name
    machine: AgentHello | None = None


class AgentHello(Message, frozen=True):
    """What an agent tells of its machine, with its first message."""

    machine_id: MachineId
    hostname: Name
    name: Name
    static_key: Key32
    """The machine's public key (X25519), kept for the operator to compare."""


class Welcome(Message, frozen=True):
    """The relay's first message. `machine_token` is given once, at enrolment."""

    version: Count
    software: Name
    workspace: Name
    operator: Name
    role: Name
    key_id: Name = ""
    heartbeat_interval_seconds: Seconds = 15.0
    machine_token: Name = ""
    machines: tuple[MachineRecord, ...] | None = None


class ListMachines(Message, frozen=True):
    """Asks for `Machines`. Client to relay, on stream 0."""


class Machines(Message, frozen=True):
    """The machines of the workspace."""

    machines: tuple[MachineRecord, ...]


class Heartbeat(Message, frozen=True):
    """The machine lives, and these are its sessions. Agent to relay, every 15 s."""

    sessions: tuple[SessionSummary, ...] = ()


class Goodbye(Message, frozen=True):
    """A clean stop: the machine is offline at once. Agent to relay."""


class Open(Message, frozen=True):
    """Opens the stream that the frame names.

    From a client: the machine and the role it wants to have there, no higher than its
    key's. The relay checks both and passes it on to the machine, on a stream id of
    that connection, with `operator`, `key_id` and `address` filled in.
    """

    machine_id: MachineId
    role: Name
    operator: Name = ""
    key_id: Name = ""
    address: Name = ""


class Closed(Message, frozen=True):
    """The stream, or on stream 0 the connection, is at its end.

    `code` is that of an error in errors.py, or empty for an orderly end.
    """

    code: Name = ""
    reason: Text = ""


RELAY_MESSAGES: MessageCodec[Message] = MessageCodec(
    Hello,
    Welcome,
    ListMachines,
    Machines,
    Heartbeat,
    Goodbye,
    Open,
    Closed,
)
