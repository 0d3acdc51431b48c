"""The other end of a client's stream: a machine that does what the test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from cmdop.client.stream import MachineStream, StreamAbout
from cmdop.errors import ConnectionClosed
from cmdop.limits import SESSION_TOKEN_SECONDS
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.transport.memory import memory_pair
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthSuccess, Ready

M = TypeVar("M", bound=Message)
TIMEOUT_SECONDS = 10.0
STREAM = 1
READY = Ready("abcd1234abcd1234", 0, 0, created=True, operator="anna")
WELCOME_IN = AuthSuccess("token", SESSION_TOKEN_SECONDS)


def channels() -> tuple[Channel, Channel]:
    """Both ends of a seal: the client's and the machine's."""
    bound = prologue("machine", "operator")
    client = Handshake(True, b"c" * 32, b"p" * 32, bound, "the machine prod")
    machine = Handshake(False, b"m" * 32, b"p" * 32, bound, "the client")
    machine.read(client.write())
    client.read(machine.write())
    machine.read(client.write())
    return client.channel(), machine.channel()


class FarEnd:
    """A machine behind a relay, and `stream`, the client's end of the stream to it.

    What the client sends is taken on a thread of its own, unless `deaf`. `typed` is what
    came over this stream, from `typed_from` on.
    """

    def __init__(self, deaf: bool = False, typed_from: int = 0) -> None:
        ours, theirs = channels()
        self.client_connection, self.connection = memory_pair()
        self.stream = MachineStream(self.client_connection, ours, StreamAbout(STREAM, "prod", b"m" * 32, 0.001))
        self.typed = bytearray()
        self.typed_from = typed_from
        self.gap = ""
        self.credits: list[int] = []
        self.messages: list[Message] = []
        self.pings = self.pongs = 0
        self.end = ""
        self._channel = theirs
        # Guards everything above; told of every change.
        self._change = threading.Condition()
        # Guards the order of sealing.
        self._sealing = threading.Lock()
        if not deaf:
            self.listen()

    def listen(self) -> None:
        threading.Thread(target=self._listen, name="test machine", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                frame = decode_frame(self.connection.receive())
            except ConnectionClosed as end:
                with self._change:
                    self.end = str(end.details["reason"])
                    self._change.notify_all()
                return
            with self._change:
                if frame.kind == FrameKind.SEALED:
                    self._take(decode_record(self._channel.open(frame.payload)))
                elif frame.kind == FrameKind.PING:
                    self.pings += 1
                elif frame.kind == FrameKind.PONG:
                    self.pongs += 1
                self._change.notify_all()

    def _take(self, record: Record) -> None:
        if record.kind == RecordKind.INPUT:
            expected = self.typed_from + len(self.typed)
            if record.offset != expected:
                self.gap = f"input at {record.offset} and not at {expected}"
            self.typed += record.payload
        elif record.kind == RecordKind.CREDIT:
            self.credits.append(record.offset)
        elif record.kind == RecordKind.CONTROL:
            self.messages.append(SESSION_MESSAGES.decode(record.payload))

    # -- says -------------------------------------------------------------------------------

    def send(self, kind: int, offset: int = 0, payload: bytes = b"") -> None:
        with self._sealing:
            sealed = self._channel.seal(encode_record(kind, offset, payload))
            self.connection.send(encode_frame(FrameKind.SEALED, STREAM, sealed))

    def say(self, message: Message) -> None:
        self.send(RecordKind.CONTROL, 0, SESSION_MESSAGES.encode(message))

    def close_stream(self, code: str = "", reason: str = "", stream: int = STREAM) -> None:
        """As the relay passes it on."""
        message = RELAY_MESSAGES.encode(Closed(code, reason))
        self.connection.send(encode_frame(FrameKind.CONTROL, stream, message))

    def ping(self) -> None:
        self.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b"relay"))

    # -- hears ------------------------------------------------------------------------------

    def until(self, condition: Callable[[FarEnd], bool]) -> None:
        with self._change:
            assert self._change.wait_for(lambda: condition(self), TIMEOUT_SECONDS), vars(self)

    def until_typed(self, size: int) -> bytes:
        self.until(lambda far: len(far.typed) >= size)
        assert self.gap == ""
        return bytes(self.typed)

    def until_said(self, kind: type[M], times: int = 1) -> list[M]:
        found: list[M] = []

        def come() -> bool:
            found[:] = [message for message in self.messages if isinstance(message, kind)]
            return len(found) >= times

        self.until(lambda _: come())
        return found
