"""What the mock relay's machine says and hears on one connection, and the script it keeps to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from cmdop.auth.keys import Role
from cmdop.errors import SealRefused
from cmdop.limits import DATA_MAX_BYTES, GRACE_SECONDS, PROTOCOL_VERSION, WINDOW_MAX_BYTES
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.session.typed import TypedIn
from cmdop.winsize import Winsize
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    Closed,
    Hello,
    ListMachines,
    MachineRecord,
    Machines,
    Open,
    Welcome,
)
from cmdop.wire.session_messages import (
    SESSION_MESSAGES,
    AuthSuccess,
    Detach,
    Ended,
    Ready,
    Refused,
    Register,
    Resize,
)
from tests_e2e.mock_socket import MockSocket

if TYPE_CHECKING:
    from tests_e2e.mock_relay import MockRelay

MACHINE_ID = "8f23a4b0-1111-4222-8333-444455556666"
SESSION_ID = "abcd1234abcd1234"
MACHINE = MachineRecord(MACHINE_ID, "prod-api-1", "api", online=True, heartbeat_age_seconds=3.0, last_seen=1.7e9)
STATIC_KEY = bytes(range(32))


@dataclass
class Script:
    """What the relay and the machine will do. `stall_at` and `cut_at` name one of

    `upgrade`, `welcome`, `handshake`, `ready`: there they say nothing, or hang up.
    """

    refusal: tuple[int, str] | None = None
    """Status and body instead of the upgrade."""
    stall_at: str = ""
    cut_at: str = ""
    raw_at: dict[str, bytes] = field(default_factory=dict)
    """Bytes to put on the wire at that point, instead of what belongs there."""
    version: int = PROTOCOL_VERSION
    machines: tuple[MachineRecord, ...] = (MACHINE,)
    open_answer: Closed | None = None
    psk: bytes | None = None
    """The machine's, if it is not the right one."""
    spoil_handshake: bool = False
    refused: Refused | None = None
    """Instead of Ready."""
    output_offset: int = 0
    kept_seconds: float = GRACE_SECONDS
    notice: str = ""
    answers_pings: bool = True
    acknowledges: bool = True
    screen: bytes = b"\x1b[H\x1b[2Jdrawn anew"
    """What a replay draws when a client that comes back wants its screen drawn anew."""
    forgets_output: bool = False
    """The ring no longer reaches back to where clients that come back are."""


class Session:
    """What outlives a connection: all output with its offset, and what was typed."""

    def __init__(self, offset: int) -> None:
        self.first_offset = offset
        self.output = bytearray()
        self.typed = TypedIn()
        self.ended: Ended | None = None

    @property
    def end_offset(self) -> int:
        return self.first_offset + len(self.output)

    def since(self, offset: int) -> bytes:
        return bytes(self.output[offset - self.first_offset :])


class Talk:
    """One client's connection, from Welcome on. The relay's condition guards all of it."""

    def __init__(self, relay: MockRelay, connection: MockSocket) -> None:
        self._relay, self.socket = relay, connection
        self._change = relay.change
        self.offset = relay.script.output_offset
        """Of the next byte to send on this connection."""
        self.backlog: list[bytes] = []
        self.reading = threading.Event()
        self.reading.set()
        self._handshake: Handshake | None = None
        self._channel: Channel | None = None
        self._stream = 0

    def run(self) -> None:
        script = self._relay.script
        wanted = "cmdop-want" in self._relay.requests[-1]
        self.relay_message(
            Welcome(
                script.version,
                "mock",
                workspace="production",
                operator="ann",
                role="operator",
                machines=script.machines if wanted else None,
            ),
            CONNECTION_STREAM,
        )
        while (message := self.socket.receive()) is not None:
            frame = decode_frame(message)
            with self._change:
                self._relay.frames.append(frame)
                try:
                    going_on = self._on_frame(frame)
                except SealRefused as error:  # as an agent would
                    going_on = True
                    self.relay_message(Closed(error.code))
                self._change.notify_all()
            self.reading.wait()
            if not going_on:
                return

    # -- what comes; the condition is held -----------------------------------------------------

    def _on_frame(self, frame: Frame) -> bool:
        if frame.kind == FrameKind.PING and self._relay.script.answers_pings:
            self.socket.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload))
        elif frame.kind == FrameKind.CONTROL:
            return self._on_control(frame)
        elif frame.kind == FrameKind.SEALED and self._channel is None:
            return self._shake(frame.payload)
        elif frame.kind == FrameKind.SEALED and self._channel is not None:
            return self._on_record(decode_record(self._channel.open(frame.payload)))
        return True

    def _on_control(self, frame: Frame) -> bool:
        message = RELAY_MESSAGES.decode(frame.payload)
        script = self._relay.script
        if isinstance(message, Hello):
            self._relay.hello = message
        elif isinstance(message, ListMachines):
            self.relay_message(Machines(script.machines), CONNECTION_STREAM)
        elif isinstance(message, Open):
            self._relay.opened, self._stream = message, frame.stream
            if script.open_answer is not None:
                self.relay_message(script.open_answer)
                return True
            psk = script.psk or self._relay.key.machine_psk(Role(message.role), message.machine_id)
            said = prologue(message.machine_id, message.role)
            self._handshake = Handshake(False, STATIC_KEY, psk, said, "client")
        return True

    def _shake(self, payload: bytes) -> bool:
        handshake = self._handshake
        if handshake is None:
            return True
        handshake.read(payload)
        if handshake.finished:
            self._channel = handshake.channel()
            return True
        if not self._relay.step("handshake", self.socket):
            return False
        answer = handshake.write()
        if self._relay.script.spoil_handshake:
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        self.socket.send(encode_frame(FrameKind.SEALED, self._stream, answer))
        return True

    def _on_record(self, record: Record) -> bool:
        relay = self._relay
        relay.records.append(record)
        if record.kind == RecordKind.INPUT:
            typed = relay.session.typed
            fresh = typed.receive(record.offset, record.payload)
            relay.typed += fresh
            ack = typed.took(len(fresh))
            if ack is not None and relay.script.acknowledges:
                self.record(RecordKind.ACK, ack, b"")
        elif record.kind == RecordKind.CREDIT:
            assert record.offset - self.offset <= WINDOW_MAX_BYTES, "a window past its limit"
            relay.granted = max(relay.granted, record.offset)
            self.pump()
        elif record.kind == RecordKind.CONTROL:
            return self._on_message(SESSION_MESSAGES.decode(record.payload))
        return True

    def _on_message(self, message: Message) -> bool:
        relay = self._relay
        if isinstance(message, Register):
            return self._register(message)
        if isinstance(message, Resize):
            relay.sizes.append(Winsize(message.rows, message.cols))
        elif isinstance(message, Detach):
            relay.detached = True
        return True

    def _register(self, message: Register) -> bool:
        relay, script = self._relay, self._relay.script
        if not relay.step("ready", self.socket):
            return False
        if script.refused is not None:
            self.control(script.refused)
            self.relay_message(Closed(script.refused.code))
            return True
        if not message.resume:
            relay.session = Session(script.output_offset)
        redraw = message.redraw or (message.resume and script.forgets_output)
        self.offset = message.output_offset if message.resume else script.output_offset
        if redraw:
            self.offset = relay.session.end_offset
        relay.sizes.append(Winsize(message.rows, message.cols))
        relay.granted = self.offset + message.window_bytes
        relay.talk = self
        self.control(AuthSuccess(f"token {len(relay.registrations)}", 60.0))
        created = not message.resume
        self.control(
            Ready(
                SESSION_ID,
                self.offset,
                relay.session.typed.taken,
                created=created,
                operator="ann",
                notice=script.notice,
                kept_seconds=script.kept_seconds,
            )
        )
        if redraw:
            self.record(RecordKind.FLUSH, self.offset, b"")
            self.record(RecordKind.REPLAY, self.offset, script.screen)
        self.backlog = [missed] if (missed := relay.session.since(self.offset)) else []
        self.pump()
        relay.registered = message
        relay.registrations.append(message)
        if relay.session.ended is not None:
            self.end(relay.session.ended)
        return True

    # -- what goes; the condition is held ------------------------------------------------------------

    def say(self, data: bytes, sizes: int) -> None:
        self._relay.session.output += data
        self.backlog += [data[at : at + sizes] for at in range(0, len(data), sizes)]
        self.pump()

    def end(self, ended: Ended) -> None:
        self._relay.session.ended = ended
        self.control(ended)
        self.relay_message(Closed())

    def pump(self) -> None:
        """Send as much of the backlog as credit allows."""
        while self.backlog and self._relay.granted > self.offset:
            room = min(self._relay.granted - self.offset, DATA_MAX_BYTES)
            piece, rest = self.backlog[0][:room], self.backlog[0][room:]
            self.backlog[:1] = [rest] if rest else []
            self.record(RecordKind.OUTPUT, self.offset, piece)
            self.offset += len(piece)

    def record(self, kind: int, offset: int, payload: bytes) -> None:
        assert self._channel is not None
        sealed = self._channel.seal(encode_record(kind, offset, payload))
        self.socket.send(encode_frame(FrameKind.SEALED, self._stream, sealed))

    def spoilt(self) -> None:
        assert self._channel is not None
        sealed = self._channel.seal(encode_record(RecordKind.OUTPUT, self.offset, b"spoilt"))
        self.socket.send(encode_frame(FrameKind.SEALED, self._stream, sealed[:-1] + bytes([sealed[-1] ^ 1])))

    def control(self, message: Message) -> None:
        self.record(RecordKind.CONTROL, 0, SESSION_MESSAGES.encode(message))

    def relay_message(self, message: Message, stream: int | None = None) -> None:
        number = self._stream if stream is None else stream
        self.socket.send(encode_frame(FrameKind.CONTROL, number, RELAY_MESSAGES.encode(message)))


def machine(number: int, hostname: str, name: str = "", **more: object) -> MachineRecord:
    """Another machine for the directory."""
    machine_id = f"{number:08x}-1111-4222-8333-444455556666"
    return replace_record(MACHINE, machine_id=machine_id, hostname=hostname, name=name or hostname, **more)


def replace_record(record: MachineRecord, **fields: object) -> MachineRecord:
    changed: MachineRecord = msgspec.structs.replace(record, **fields)
    return changed
