"""A relay and a machine in one, which do what a test tells them and remember what they heard.

Independent of cmdop/relay and cmdop/agent: it shares only the formats (cmdop.wire), the
seal and the keys with them. A test sets up `script` before a client comes, waits for
named things with the `wait_...` methods, and speaks with `say`, `end`, `close_stream` and
the like. Every connection is served by a thread of its own; `heard` and what else a test
reads is guarded by one condition, which is told of every change.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cmdop.auth.keys import ApiKey, Role, new_key_id, new_relay_half, new_workspace_key
from cmdop.errors import SealRefused
from cmdop.limits import DATA_MAX_BYTES, PROTOCOL_VERSION, WINDOW_MAX_BYTES
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
from tests_e2e.timing import STEP_SECONDS

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
    notice: str = ""
    answers_pings: bool = True
    acknowledges: bool = True


class MockRelay:
    """Listens on loopback, as `url`, for clients with `key`."""

    def __init__(self) -> None:
        self.script = Script()
        self.admin_key = new_workspace_key()
        self.key: ApiKey = self.admin_key.for_role(Role.OPERATOR, new_key_id(), new_relay_half())
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._server.getsockname()[1]}"
        # Guards everything below; told of every change.
        self._change = threading.Condition()
        self.connections = 0
        self.frames: list[Frame] = []
        self.records: list[Record] = []
        self.requests: list[dict[str, str]] = []
        self.hello: Hello | None = None
        self.opened: Open | None = None
        self.registered: Register | None = None
        self.typed = b""
        self.sizes: list[Winsize] = []
        self.granted = 0
        self.detached = False
        self.gone = False
        self._talk: _Talk | None = None
        self._threads: list[threading.Thread] = []
        self._sockets: list[MockSocket] = []
        self._acceptor = threading.Thread(target=self._accept, name="mock accept", daemon=True)
        self._acceptor.start()

    # -- waiting for something named ------------------------------------------------------

    def wait_for(self, what: str, happened: Callable[[], bool], timeout_seconds: float = STEP_SECONDS) -> None:
        """Wait until `happened`; fail with `what` and what was heard instead."""
        with self._change:
            if not self._change.wait_for(happened, timeout_seconds):
                heard = f"typed {self.typed[-200:]!r}, sizes {self.sizes}, {self.connections} connections"
                raise AssertionError(f"no {what} within {timeout_seconds:g} s; heard: {heard}")

    def wait_connected(self, number: int = 1) -> None:
        self.wait_for(f"connection {number}", lambda: self.connections >= number)

    def wait_opened(self) -> Open:
        self.wait_for("Open", lambda: self.opened is not None)
        assert self.opened is not None
        return self.opened

    def wait_attached(self, timeout_seconds: float = STEP_SECONDS) -> Register:
        self.wait_for("Register", lambda: self.registered is not None, timeout_seconds)
        assert self.registered is not None
        return self.registered

    def wait_typed(self, data: bytes, timeout_seconds: float = STEP_SECONDS) -> None:
        """Until exactly these bytes were typed since the beginning."""
        self.wait_for(f"typed {data[-60:]!r}", lambda: len(self.typed) >= len(data), timeout_seconds)
        assert self.typed == data

    def wait_resize(self, rows: int, cols: int) -> None:
        self.wait_for(f"size {rows}x{cols}", lambda: bool(self.sizes) and self.sizes[-1] == Winsize(rows, cols))

    def wait_detached(self) -> None:
        self.wait_for("Detach", lambda: self.detached)

    def wait_gone(self, timeout_seconds: float = STEP_SECONDS) -> None:
        self.wait_for("end of the connection", lambda: self.gone, timeout_seconds)

    def wait_said(self, timeout_seconds: float = STEP_SECONDS) -> None:
        """Until the client's credit let everything out that was to be said."""
        talk = self._talking
        self.wait_for("credit for all output", lambda: not talk.backlog, timeout_seconds)

    # -- speaking ---------------------------------------------------------------------------

    def say(self, data: bytes, *, sizes: int = DATA_MAX_BYTES) -> None:
        """Output of the shell, in records of so many bytes, as far as credit goes."""
        with self._change:
            self._talking.say(data, sizes)

    @property
    def said_bytes(self) -> int:
        """How much output has left, the offset of the next byte."""
        return self._talking.offset

    def replay(self, data: bytes) -> None:
        with self._change:
            self._talking.record(RecordKind.REPLAY, self._talking.offset, data)

    def end(self, exit_status: int = 0, signal: int = 0) -> None:
        """The shell ended."""
        with self._change:
            talk = self._talking
            talk.control(Ended(exit_status, signal, talk.offset))
            talk.relay_message(Closed())

    def send_message(self, message: Message) -> None:
        """Any session message."""
        with self._change:
            self._talking.control(message)

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        with self._change:
            self._talking.record(kind, offset, payload)

    def close_stream(self, code: str = "", reason: str = "", whole_connection: bool = False) -> None:
        with self._change:
            self._talking.relay_message(Closed(code, reason), CONNECTION_STREAM if whole_connection else None)

    def send_raw(self, data: bytes) -> None:
        """Anything, below the WebSocket."""
        self._talking.socket.send_raw(data)

    def send_frame(self, data: bytes) -> None:
        """Any bytes as one WebSocket message."""
        self._talking.socket.send(data)

    def send_spoilt(self) -> None:
        """A sealed record with one bit turned."""
        with self._change:
            self._talking.spoilt()

    def fall_silent(self) -> None:
        """From now on nothing is answered; the connection stays."""
        self.script.answers_pings = self.script.acknowledges = False

    def stop_reading(self) -> None:
        """From now on nothing is taken from the socket, until it is full; the connection stays."""
        self._talking.reading.clear()

    def cut(self) -> None:
        """Reset the connection."""
        self._talking.socket.cut()

    def close(self) -> None:
        """Stop listening and hang up on everybody. Twice is quiet."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._sockets:
            connection.close()
        if self._talk is not None:
            self._talk.reading.set()
        for thread in [self._acceptor, *self._threads]:
            thread.join(STEP_SECONDS)
            assert not thread.is_alive(), thread.name

    # -- serving ---------------------------------------------------------------------------------

    @property
    def _talking(self) -> _Talk:
        assert self._talk is not None, "no client is attached"
        return self._talk

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            connection = MockSocket(sock)
            thread = threading.Thread(target=self._serve, args=(connection,), name="mock client", daemon=True)
            self._sockets.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: MockSocket) -> None:
        with self._change:
            self.connections += 1
            self._change.notify_all()
        try:
            if self._upgrade(connection) and self._step("welcome", connection):
                _Talk(self, connection).run()
        finally:
            with self._change:
                self.gone = True
                self._change.notify_all()
            if not self.script.stall_at:
                connection.close()

    def _upgrade(self, connection: MockSocket) -> bool:
        request = connection.read_request()
        if request is None:
            return False
        with self._change:
            self.requests.append({name.lower(): value for name, value in request.headers.raw_items()})
            self._change.notify_all()
        if not self._step("upgrade", connection):
            return False
        if self.script.refusal is not None:
            connection.refuse(*self.script.refusal)
            return False
        connection.accept()
        return True

    def _step(self, name: str, connection: MockSocket) -> bool:
        """Whether to go on at a point that the script may have something to say about."""
        if name in self.script.raw_at:
            connection.send_raw(self.script.raw_at[name])
            connection.receive()
            return False
        if self.script.cut_at == name:
            connection.cut()
            return False
        if self.script.stall_at == name:
            with contextlib.suppress(OSError):
                while connection.receive() is not None:
                    pass
            return False
        return True


class _Talk:
    """One client's connection, from Welcome on."""

    def __init__(self, relay: MockRelay, connection: MockSocket) -> None:
        self._relay, self.socket = relay, connection
        self._change = relay._change
        self.offset = relay.script.output_offset
        self.backlog: list[bytes] = []
        self.reading = threading.Event()
        self.reading.set()
        self._handshake: Handshake | None = None
        self._channel: Channel | None = None
        self._stream = 0
        self._typed = TypedIn()

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
        if not self._relay._step("handshake", self.socket):
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
            fresh = self._typed.receive(record.offset, record.payload)
            relay.typed += fresh
            ack = self._typed.took(len(fresh))
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
        if not relay._step("ready", self.socket):
            return False
        if script.refused is not None:
            self.control(script.refused)
            self.relay_message(Closed(script.refused.code))
            return True
        relay.registered = message
        relay.sizes.append(Winsize(message.rows, message.cols))
        relay.granted = self.offset + message.window_bytes
        relay._talk = self
        self.control(AuthSuccess("token", 60.0))
        self.control(Ready(SESSION_ID, self.offset, 0, created=True, operator="ann", notice=script.notice))
        return True

    # -- what goes; the condition is held ------------------------------------------------------------

    def say(self, data: bytes, sizes: int) -> None:
        self.backlog += [data[at : at + sizes] for at in range(0, len(data), sizes)]
        self.pump()

    def pump(self) -> None:
        """Send as much of the backlog as credit allows."""
        while self.backlog and self._relay.granted > self.offset:
            room = self._relay.granted - self.offset
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
    import msgspec

    changed: MachineRecord = msgspec.structs.replace(record, **fields)
    return changed
