"""A machine that is called, at the other end of a client's stream; the test plays its sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cmdop.client.stream import MachineStream, StreamAbout
from cmdop.errors import ConnectionClosed
from cmdop.transport.memory import memory_pair
from cmdop.wire.call_messages import CALL_MESSAGES
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed
from cmdop.wire.session_messages import SESSION_MESSAGES
from tests.client.far_end import STREAM, channels

Answer = Callable[[Message], Message | None]


class CalledMachine:
    """Answers each call with what `answer` makes of it; None stays silent. `stream` is the client's end."""

    def __init__(self, answer: Answer) -> None:
        ours, theirs = channels()
        mine, self.connection = memory_pair()
        self.stream = MachineStream(mine, ours, StreamAbout(STREAM, "prod", b"m" * 32, 0.001))
        self.calls: list[Message] = []
        self.ended = threading.Event()
        self._answer, self._channel = answer, theirs
        threading.Thread(target=self._serve, name="test machine", daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                frame = decode_frame(self.connection.receive())
                if frame.kind != FrameKind.SEALED:
                    continue
                call = CALL_MESSAGES.decode(decode_record(self._channel.open(frame.payload)).payload)
                self.calls.append(call)
                answer = self._answer(call)
                if answer is not None:
                    self.say(answer)
        except ConnectionClosed:
            self.ended.set()

    def say(self, answer: Message) -> None:
        codec = CALL_MESSAGES if type(answer) in CALL_MESSAGES.kinds else SESSION_MESSAGES
        self.send(RecordKind.CONTROL, codec.encode(answer))

    def send(self, kind: int, payload: bytes) -> None:
        sealed = self._channel.seal(encode_record(kind, 0, payload))
        self.connection.send(encode_frame(FrameKind.SEALED, STREAM, sealed))

    def close_stream(self, code: str = "", reason: str = "") -> None:
        closed = RELAY_MESSAGES.encode(Closed(code, reason))
        self.connection.send(encode_frame(FrameKind.CONTROL, STREAM, closed))

    def ping(self) -> None:
        self.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b"relay"))
