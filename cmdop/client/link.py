"""The client's connection to its relay, and a sealed stream to one machine over it.

Everything here runs on the caller's thread and blocks; each step has a timeout, at
whose end a watchdog closes the connection under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from cmdop import __version__
from cmdop.auth.keys import ApiKey, Role
from cmdop.auth.known_machines import FirstSight, Sighting
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    EnrollmentRefused,
    KeyRefused,
    MachineOffline,
    NoSuchMachine,
    NotEnrolled,
    RemoteProtocolError,
    RoleTooLow,
    SealRefused,
    SessionRefused,
    StoreUnusable,
    TimedOut,
    TooManyConnections,
    VersionMismatch,
    from_peer,
)
from cmdop.limits import (
    AUTH_TIMEOUT_SECONDS,
    HELLO_TIMEOUT_SECONDS,
    LINK_DEAD_SECONDS,
    OPEN_TIMEOUT_SECONDS,
    PROTOCOL_VERSION,
)
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.transport.address import WANT_HEADER, WANT_MACHINES
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling, dial
from cmdop.wire.frame import CONNECTION_STREAM, IGNORABLE, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
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
from cmdop.wire.session_messages import SESSION_MESSAGES

M = TypeVar("M", bound=Message)

SOFTWARE = f"cmdop {__version__}"


_UNSEALED: Final = frozenset(
    kind.code
    for kind in (
        EnrollmentRefused,
        MachineOffline,
        NoSuchMachine,
        NotEnrolled,
        RemoteProtocolError,
        RoleTooLow,
        SealRefused,
        SessionRefused,
        StoreUnusable,
        TimedOut,
        TooManyConnections,
        VersionMismatch,
    )
)
"""Errors that a `Closed` can mean. Others are a machine's to tell, or our own, with a way out that fits them."""


class MachineCheck(Protocol):
    """Compares machines with what is known of them (auth/known_machines.py)."""

    def check(self, seen: Sighting) -> FirstSight | None:
        """A machine that was not known, or None. Raises MachineChanged, MachineUnknown."""

    def proven(self, *seen: Sighting) -> None:
        """These hold the workspace's keys as well: they may be kept. Never raises."""


class Leg(StrEnum):
    """The two halves of the way to a machine, as the user reads them."""

    YOU_RELAY = "you↔relay"
    RELAY_MACHINE = "relay↔machine"


def leg_of(error: CmdopError) -> Leg:
    """Which leg is down, as far as what went wrong tells."""
    if isinstance(error, MachineOffline):
        return Leg.RELAY_MACHINE
    return Leg(error.details.get("leg", Leg.YOU_RELAY))


@contextmanager
def _watchdog(connection: Connection, what: str, seconds: float, leg: Leg = Leg.YOU_RELAY) -> Iterator[None]:
    """Close the connection when the block takes too long. Raises TimedOut then."""
    barked = threading.Event()

    def bark() -> None:
        barked.set()  # before the closing, which wakes who asks for it
        connection.close("too slow")

    timer = threading.Timer(seconds, bark)
    timer.name = "watchdog"
    timer.daemon = True
    timer.start()
    try:
        yield
    except ConnectionClosed as error:
        if barked.is_set():
            raise TimedOut(what=what, seconds=seconds, leg=leg) from error
        raise
    finally:
        timer.cancel()


class RelayLink:
    """One connection to a relay as a client. `welcome` is the relay's first message."""

    def __init__(self, connection: Connection, server: str) -> None:
        self.connection, self.server = connection, server
        self._next_stream = 1
        connection.send(_control(CONNECTION_STREAM, Hello(PROTOCOL_VERSION, SOFTWARE, "client")))
        with _watchdog(connection, f"the relay {server}", HELLO_TIMEOUT_SECONDS):
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
        with _watchdog(self.connection, f"the relay {self.server}", HELLO_TIMEOUT_SECONDS):
            self.connection.send(_control(CONNECTION_STREAM, question))
            return self._expect(kind)

    def round_trip_seconds(self, payload: bytes) -> float:
        """How long it takes the relay to answer a PING with this payload. Raises TimedOut."""
        with _watchdog(self.connection, f"the relay {self.server}", LINK_DEAD_SECONDS):
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
        with _watchdog(self.connection, f"the machine {machine.name}", OPEN_TIMEOUT_SECONDS, Leg.RELAY_MACHINE):
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
                raise from_peer(message.code, message.reason, server=self.server, needed=Role.ADMIN.value)
            if isinstance(message, Closed):
                raise closed_error(message, "", CONNECTION_STREAM)


@dataclass(frozen=True)
class StreamAbout:
    """What is known of a stream: its number, the machine, its public key, the round trip.

    `first_sight` is there for a machine that was not known before.
    """

    stream_id: int
    host: str
    machine_static: bytes
    round_trip_seconds: float
    first_sight: FirstSight | None = None


class MachineStream:
    """A sealed stream to a machine. One thread receives; any may send.

    `proven` is called once, by the thread that receives, when the first record opens: only
    that shows that the machine has this workspace's keys (docs/protocol.md §5).
    """

    def __init__(
        self, connection: Connection, channel: Channel, about: StreamAbout, proven: Callable[[], None] | None = None
    ) -> None:
        self.connection, self.about = connection, about
        self._proven = proven
        self._channel = channel
        self.finished = False
        """Whether the machine closed it in good order, so that nothing more comes or is taken."""
        # Guards the order of sealing: records leave in the order they were sealed.
        self._sealing = threading.Lock()

    def send_record(self, kind: int, offset: int = 0, payload: bytes = b"") -> None:
        """Seal and send; never blocks. Raises ConnectionClosed."""
        with self._sealing:
            sealed = self._channel.seal(encode_record(kind, offset, payload))
            self.connection.send(encode_frame(FrameKind.SEALED, self.about.stream_id, sealed))

    def send_control(self, message: Message) -> None:
        self.send_record(RecordKind.CONTROL, 0, SESSION_MESSAGES.encode(message))

    def ping(self) -> None:
        """Ask the relay for a sign of life."""
        self.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b""))

    def receive(self) -> Record | None:
        """The next record, or None for a message that was none; blocks.

        Raises ConnectionClosed, SealRefused, RemoteProtocolError, or what Closed says.
        """
        return self._record(self.connection.receive())

    def receive_now(self) -> Record | None:
        """The same for who selects: None as well while only a part of a message is there."""
        message = self.connection.receive_now()
        return None if message is None else self._record(message)

    def _record(self, message_bytes: bytes) -> Record | None:
        frame = decode_frame(message_bytes)
        if frame.kind == FrameKind.SEALED and frame.stream == self.about.stream_id:
            plain = self._channel.open(frame.payload)
            if self._proven is not None:
                proven, self._proven = self._proven, None
                proven()
            return decode_record(plain)
        if frame.kind == FrameKind.PING:
            self.connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload[:64]))
        elif frame.kind == FrameKind.CONTROL:
            message = RELAY_MESSAGES.decode(frame.payload)
            if isinstance(message, Closed) and frame.stream in (CONNECTION_STREAM, self.about.stream_id):
                self.finished = frame.stream != CONNECTION_STREAM and not message.code
                raise closed_error(message, self.about.host, frame.stream)
        return None

    def receive_control(self, what: str, seconds: float = AUTH_TIMEOUT_SECONDS) -> Message:
        """The next session message, within a timeout; other records are not expected yet."""
        with _watchdog(self.connection, what, seconds, Leg.RELAY_MACHINE):
            while True:
                record = self.receive()
                if record is not None and record.kind == RecordKind.CONTROL:
                    return SESSION_MESSAGES.decode(record.payload)
                if record is not None and not record.kind & IGNORABLE:
                    raise RemoteProtocolError(reason="session data before the session")


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


def closed_error(message: Closed, host: str, stream: int) -> CmdopError:
    """What a Closed means to the user; on stream 0 it is our own connection that ends."""
    if message.code == MachineOffline.code:
        return MachineOffline(name=host, last_heard=message.reason)
    if message.code == KeyRefused.code:
        return from_peer(message.code, f"the relay refused this key: {message.reason}")
    # Nothing of it is sealed: of a session's end, of passwords and of machines' keys it proves nothing.
    code = message.code if message.code in _UNSEALED else ""
    leg = Leg.YOU_RELAY if stream == CONNECTION_STREAM else Leg.RELAY_MACHINE
    said = message.reason or ("" if code else message.code or "the other end closed it")
    return from_peer(code, said, host=host, needed="operator", leg=leg)


def _control(stream: int, message: Message) -> bytes:
    return encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))
