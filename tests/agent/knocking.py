"""A client at the other end of an agent's stream, without a relay in between."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

from cmdop.agent.admission import Admission
from cmdop.agent.password_gate import PasswordGate
from cmdop.agent.shells import Shells
from cmdop.agent.stream import AgentStream
from cmdop.home import Home
from cmdop.limits import PROTOCOL_VERSION, WINDOW_MIN_BYTES
from cmdop.ptyhost.interface import Pty
from cmdop.screen.ring import RingScreen
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.wire.call_messages import CALL_MESSAGES, CreateSession
from cmdop.wire.message import Message, Unknown
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import Open
from cmdop.wire.session_messages import SESSION_MESSAGES, Ready, Refused, Register
from tests.agent.fake_pty import TIMEOUT_SECONDS, FakePty

M = TypeVar("M", bound=Message)

MACHINE_ID = "8f23a4b0-0000-4000-8000-000000000001"
PSK = b"p" * 32
STATIC = b"s" * 32
CLIENT_STATIC = b"c" * 32


def register(**fields: object) -> Register:
    """What a usual client asks for."""
    usual = {
        "version": PROTOCOL_VERSION,
        "software": "test",
        "client_id": os.urandom(8).hex(),
        "rows": 24,
        "cols": 80,
        "window_bytes": WINDOW_MIN_BYTES,
    }
    return Register(**{**usual, **fields})  # type: ignore[arg-type]


class Machine:
    """An agent's sessions over programs that the test plays, and who may come in."""

    def __init__(self, home: Home | None = None) -> None:
        """`home` has the machine's password, if there is one."""
        self.ptys: list[FakePty] = []
        self.before_open: Callable[[], None] = lambda: None
        # Told whenever there is a session more, or one less.
        self._change = threading.Condition()
        self.shells = Shells(self._open_pty, self._has_changed, lambda _: RingScreen())
        self.gate = PasswordGate(home)
        self.admission = Admission(self.shells, gate=self.gate)
        self._numbers = 0

    def _open_pty(self, wanted: Register | CreateSession, session_id: str) -> tuple[Pty, str]:
        self.before_open()
        self.ptys.append(FakePty(session_id=session_id))
        return self.ptys[-1], ""

    def _has_changed(self) -> None:
        with self._change:
            self._change.notify_all()

    def until_empty(self) -> None:
        """Wait until no session is left in the table."""
        with self._change:
            assert self._change.wait_for(lambda: not self.shells.summaries(), TIMEOUT_SECONDS)

    def knock(self, role: str = "operator", psk: bytes = PSK, static: bytes = CLIENT_STATIC) -> Client:
        """A client whose stream was just opened."""
        self._numbers += 1
        client = Client(self._numbers, role, psk, static)
        opened = Open(MACHINE_ID, role, "anna", "key", "192.0.2.1")
        client.stream = AgentStream(self._numbers, opened, PSK, STATIC, client, self.admission)
        return client

    def enter(self, role: str = "operator", **fields: object) -> Client:
        """A client that is in its session."""
        client = self.knock(role)
        client.shake()
        client.say(register(**fields))
        client.ready = client.hear(Ready)
        return client


class Client:
    """A client, and the uplink of the agent as its stream sees it."""

    ready: Ready

    def __init__(self, number: int, role: str, psk: bytes, static: bytes = CLIENT_STATIC) -> None:
        self.stream: AgentStream
        self.congested = False
        self.turn = 0
        self.closings: list[tuple[str, str]] = []
        self.misuse: list[str] = []
        self.output = bytearray()
        self.acks: list[int] = []
        self._number, self._first = number, 0
        self._handshake = Handshake(True, static, psk, prologue(MACHINE_ID, role), "the machine")
        self._channel: Channel | None = None
        self._frames: list[bytes] = []
        self._told: list[Message] = []
        # Guards everything; told of every change.
        self._change = threading.Condition()

    # -- the uplink ---------------------------------------------------------------------------

    def send_sealed(self, stream: int, payload: bytes) -> None:
        with self._change:
            if stream != self._number:
                self.misuse.append(f"stream {stream}")
            if self._channel is None:
                self._frames.append(payload)
            else:
                self._take(decode_record(self._channel.open(payload)))
            self._change.notify_all()

    def close_stream(self, stream: int, code: str = "", reason: str = "") -> None:
        with self._change:
            self.closings.append((code, reason))
            self._change.notify_all()

    def _take(self, record: Record) -> None:
        if record.kind == RecordKind.CONTROL:
            told = SESSION_MESSAGES.decode(record.payload)
            self._told.append(CALL_MESSAGES.decode(record.payload) if isinstance(told, Unknown) else told)
        elif record.kind == RecordKind.OUTPUT:
            if not self.output:
                self._first = record.offset
            if record.offset != self._first + len(self.output):
                self.misuse.append(f"output at {record.offset} and not at {self._first + len(self.output)}")
            self.output += record.payload
        elif record.kind == RecordKind.ACK:
            self.acks.append(record.offset)

    # -- the client ---------------------------------------------------------------------------

    def shake(self) -> None:
        """Both messages of the client's half."""
        self.stream.frame(self._handshake.write())
        with self._change:
            self._handshake.read(self._frames.pop(0))
            third = self._handshake.write()
            self._channel = self._handshake.channel()
        self.stream.frame(third)

    def send(self, kind: int, offset: int = 0, payload: bytes = b"") -> None:
        self.send_plain(encode_record(kind, offset, payload))

    def send_plain(self, plain: bytes) -> None:
        assert self._channel is not None
        self.stream.frame(self._channel.seal(plain))

    def say(self, message: Message) -> None:
        self.send(RecordKind.CONTROL, 0, SESSION_MESSAGES.encode(message))

    def call(self, message: Message) -> None:
        self.send(RecordKind.CONTROL, 0, CALL_MESSAGES.encode(message))

    def hear(self, kind: type[M]) -> M:
        """The next message of this kind."""
        found: list[M] = []

        def has_come() -> bool:
            found[:] = [message for message in self._told if isinstance(message, kind)]
            return bool(found) or bool(self.closings)

        with self._change:
            assert self._change.wait_for(has_come, TIMEOUT_SECONDS), self._told
            assert found, (self._told, self.closings)
            self._told.remove(found[0])
            return found[0]

    def until(self, condition: Callable[[Client], bool]) -> None:
        with self._change:
            assert self._change.wait_for(lambda: condition(self), TIMEOUT_SECONDS), (self._told, self.closings)

    def until_shown(self, size: int) -> bytes:
        self.until(lambda client: len(client.output) >= size)
        return bytes(self.output)

    def until_closed(self) -> tuple[str, str]:
        """Code and words of how the stream was closed: sealed ones, if there were."""
        self.until(lambda client: bool(client.closings))
        code, reason = self.closings[0]
        refused = [message for message in self._told if isinstance(message, Refused)]
        if refused:
            assert reason == ""  # the relay does not learn it
            assert code == ""  # nor what kind of refusal it was
            return refused[0].code, refused[0].reason
        return code, reason


def until_forgotten(client: Client, leave: Callable[[Client], object]) -> None:
    """Let a client leave, and wait until nothing holds its stream, without the garbage collector."""
    forgotten = threading.Event()
    weakref.finalize(client.stream, forgotten.set)
    gc.disable()
    try:
        leave(client)
        client.until_closed()
        del client.stream
        assert forgotten.wait(TIMEOUT_SECONDS)
    finally:
        gc.enable()
