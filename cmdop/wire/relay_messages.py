"""What a client or an agent and the relay say to each other, in CONTROL frames.

On stream 0 they concern the connection, on any other the stream of that number.
"""

from __future__ import annotations

from cmdop.wire.message import Count, Key32, KeyId, MachineId, Message, MessageCodec, Name, Seconds, SessionId, Text


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


class AddKey(Message, frozen=True):
    """Keep a new key. An admin's client made it, and tells the hash of its relay half.

    Answered by `KeyChanged` or `Denied`, as `RevokeKey` is; client to relay, on stream 0.
    """

    key_id: KeyId
    label: Name
    role: Name
    half_hash: Key32
    """SHA-256 of the relay half: of the key itself the relay gets nothing."""


class ListKeys(Message, frozen=True):
    """Asks for `Keys`, as only an admin may: those of the workspace from the `first` on, oldest first."""

    first: Count = 0


class RevokeKey(Message, frozen=True):
    """Revoke a key and close its connections; an admin's. `key_id` may be the beginning of one.

    The last admin's key that is valid is only revoked with `last_admin`: no keys can be
    made without one.
    """

    key_id: Name
    last_admin: bool = False


class KeyAbout(Message, frozen=True):
    """A key as its workspace's admin sees it. Times are Unix time in seconds, None for never."""

    key_id: KeyId
    label: Name
    role: Name
    created: Seconds
    last_used: Seconds | None = None
    revoked: Seconds | None = None


class Keys(Message, frozen=True):
    """Keys of the workspace, revoked ones included; `more` if that is not all of them."""

    keys: tuple[KeyAbout, ...]
    more: bool = False


class KeyChanged(Message, frozen=True):
    """A key was added or revoked; how many connections that closed, and whether an admin's key is left."""

    key: KeyAbout
    closed_connections: Count = 0
    admins_left: bool = True


class Denied(Message, frozen=True):
    """What an admin asked was not done; the connection goes on. `code` is that of an error in errors.py."""

    code: Name
    reason: Text = ""


class Heartbeat(Message, frozen=True):
    """The machine lives, and these are its sessions. Agent to relay, as often as its Welcome says."""

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
    AddKey,
    ListKeys,
    RevokeKey,
    Keys,
    KeyChanged,
    Denied,
)
