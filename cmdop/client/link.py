"""The client's connection to its relay, over which it asks, and opens streams to machines (client/stream.py).

Everything here runs on the caller's thread and blocks; each step has a timeout, at
whose end a watchdog closes the connection under it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Protocol, TypeVar

from cmdop import __version__
from cmdop.auth.keys import ApiKey, Role
from cmdop.auth.known_machines import FirstSight, Sighting
from cmdop.client.leg import Leg, closed_error
from cmdop.client.stream import MachineStream, StreamAbout
from cmdop.client.watchdog import watchdog
from cmdop.errors import (
    CmdopError,
    VersionMismatch,
    from_peer,
)
from cmdop.limits import (
    HELLO_TIMEOUT_SECONDS,
    LINK_DEAD_SECONDS,
    OPEN_TIMEOUT_SECONDS,
    PROTOCOL_VERSION,
)
from cmdop.seal.noise import Handshake, prologue
from cmdop.transport.address import WANT_HEADER, WANT_MACHINES
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling, dial
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    Closed,
    Denied,
    Hello,
    ListMachines,
    MachineRecord,
    Machines,
    Open,
    Welcome,
)

M = TypeVar("M", bound=Message)

SOFTWARE = f"cmdop {__version__}"


class MachineCheck(Protocol):
    """Compares machines with what is known of them (auth/known_machines.py)."""

    def check(self, seen: Sighting) -> FirstSight | None:
        """A machine that was not known, or None. Raises MachineChanged, MachineUnknown."""

    def proven(self, *seen: Sighting) -> None:
        """These hold the workspace's keys as well: they may be kept. Never raises."""


class RelayLink:
    """One connection to a relay as a client. `welcome` is the relay's first message."""

    def __init__(self, connection: Connection, server: str) -> None:
        self.connection, self.server = connection, server
        self._next_stream = 1
        connection.send(_control(CONNECTION_STREAM, Hello(PROTOCOL_VERSION, SOFTWARE, "client")))
        with watchdog(connection, f"the relay {server}", HELLO_TIMEOUT_SECONDS):
            self.welcome = self._expect(Welcome)
        if self.welcome.version != PROTOCOL_VERSION:
            self.close()
            raise VersionMismatch(peer=f"the relay {server}", theirs=self.welcome.version, ours=PROTOCOL_VERSION)

    def machines(self) -> tuple[MachineRecord, ...]:
        """The machines of the workspace, as the relay told them with its welcome or tells them now."""
        if self.welcome.machines is not None:
            return self.welcome.machines
        return self.ask(ListMachines(), Machines).machines

    def ask(self, question: Message, kind: type[M]) -> M:
        """The relay's answer to a question. Raises what it denied it with, or TimedOut."""
        with watchdog(self.connection, f"the relay {self.server}", HELLO_TIMEOUT_SECONDS):
            self.connection.send(_control(CONNECTION_STREAM, question))
            return self._expect(kind)

    def round_trip_seconds(self, payload: bytes) -> float:
        """How long it takes the relay to answer a PING with this payload. Raises TimedOut."""
        with watchdog(self.connection, f"the relay {self.server}", LINK_DEAD_SECONDS):
            before = time.monotonic()
            self.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, payload))
            while decode_frame(self.connection.receive())[::2] != (FrameKind.PONG, payload):
                pass
            return time.monotonic() - before

    def next_stream_id(self) -> int:
        """An id for a new stream; each is given once."""
        stream_id, self._next_stream = self._next_stream, self._next_stream + 1
        return stream_id

    def open(
        self, machine: MachineRecord, role: Role, key: ApiKey, static_key: bytes, known: MachineCheck
    ) -> MachineStream:
        """A sealed stream to a machine, after the handshake's three messages.

        Raises what the relay or the machine answered: MachineOffline, RoleTooLow and so on;
        SealRefused when the other end is not genuine; and what `known` has against its key,
        before it is told ours, or anything that proves what we hold.
        """
        stream_id = self.next_stream_id()
        psk = key.machine_psk(role, machine.machine_id)
        bound = prologue(machine.machine_id, role.value)
        handshake = Handshake(True, static_key, psk, bound, f"the machine {machine.name}")
        began = time.monotonic()
        self.connection.send(_control(stream_id, Open(machine.machine_id, role.value)))
        self.connection.send(encode_frame(FrameKind.SEALED, stream_id, handshake.write()))
        with watchdog(self.connection, f"the machine {machine.name}", OPEN_TIMEOUT_SECONDS, Leg.RELAY_MACHINE):
            reply = self._sealed_frame(stream_id, machine.name)
        round_trip_seconds = time.monotonic() - began
        handshake.read(reply)
        seen = Sighting(machine.machine_id, machine.name, handshake.remote_static)
        try:
            first_sight = known.check(seen)
        except CmdopError:
            self.connection.send(_control(stream_id, Closed()))
            raise
        self.connection.send(encode_frame(FrameKind.SEALED, stream_id, handshake.write()))
        about = StreamAbout(stream_id, machine.name, seen.key, round_trip_seconds, first_sight)
        return MachineStream(self.connection, handshake.channel(), about, lambda: known.proven(seen))

    def close(self) -> None:
        self.connection.close()

    def _sealed_frame(self, stream_id: int, host: str) -> bytes:
        while True:
            frame = decode_frame(self.connection.receive())
            if frame.kind == FrameKind.SEALED and frame.stream == stream_id:
                return frame.payload
            if frame.kind == FrameKind.CONTROL:
                message = RELAY_MESSAGES.decode(frame.payload)
                if isinstance(message, Closed) and frame.stream in (CONNECTION_STREAM, stream_id):
                    raise closed_error(message, host, frame.stream)

    def _expect(self, kind: type[M]) -> M:
        while True:
            frame = decode_frame(self.connection.receive())
            if frame.kind != FrameKind.CONTROL or frame.stream != CONNECTION_STREAM:
                continue
            message = RELAY_MESSAGES.decode(frame.payload)
            if isinstance(message, kind):
                return message
            if isinstance(message, Denied):
                raise from_peer(message.code, message.reason, needed=Role.ADMIN.value, server=self.server)
            if isinstance(message, Closed):
                raise closed_error(message, "", CONNECTION_STREAM)


def connect_relay(to: Dialling, want_machines: bool) -> RelayLink:
    """Dial a relay as a client. Raises RelayUnreachable, KeyRefused, VersionMismatch and so on."""
    headers = {**to.headers, WANT_HEADER: WANT_MACHINES} if want_machines else to.headers
    connection = dial(Dialling(to.server, to.credential, to.key_label, headers, to.way))
    try:
        return RelayLink(connection, to.server.url)
    except CmdopError:
        connection.close()
        raise


def bury(connection: Connection) -> None:
    """Close a connection, which may take a moment if much was under way, and read it to its
    end, which gives its descriptor back. By the thread that receives, or when there is none."""
    connection.close()
    with suppress(CmdopError):
        while True:
            connection.receive()


def _control(stream: int, message: Message) -> bytes:
    return encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))
