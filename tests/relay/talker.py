"""A client or an agent as the relay's tests see it: says things, and hears what comes back."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TypeVar

import pytest

from cmdop.errors import ConnectionClosed
from cmdop.transport.connection import Connection
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message, Unknown
from cmdop.wire.relay_messages import RELAY_MESSAGES, AgentHello, Closed, Hello, Open, Welcome

M = TypeVar("M", bound=Message)
TIMEOUT_SECONDS = 10.0
MACHINE_ID = "8f23a4b0-0000-4000-8000-000000000001"
OTHER_ID = "8f23a4b0-0000-4000-8000-000000000002"


class Talker:
    """One end of a connection to a relay. Whatever it waits for has to come in time."""

    def __init__(self, connection: Connection, joined: Callable[[], None] = lambda: None) -> None:
        self.connection = connection
        self._joined = joined
        self.machine_token = ""

    # -- says ---------------------------------------------------------------------------

    def say(self, message: Message, stream: int = CONNECTION_STREAM) -> None:
        self.connection.send(encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message)))

    def say_sealed(self, stream: int, payload: bytes) -> None:
        self.connection.send(encode_frame(FrameKind.SEALED, stream, payload))

    def hello_client(self, version: int = 1) -> None:
        self.say(Hello(version, "cmdop/0.1.0", "client"))

    def hello_agent(self, machine_id: str = MACHINE_ID, name: str = "prod", hostname: str = "prod-api-1") -> None:
        machine = AgentHello(machine_id, hostname, name, b"k" * 32)
        self.say(Hello(1, "cmdop/0.1.0", "agent", machine))

    def open(self, stream: int, machine_id: str = MACHINE_ID, role: str = "operator") -> None:
        self.say(Open(machine_id, role), stream)

    # -- hears --------------------------------------------------------------------------

    def hear_frame(self) -> Frame:
        """The next frame but pings."""
        while True:
            if not self.connection.buffered:
                ready = select.select([self.connection.fileno()], [], [], TIMEOUT_SECONDS)[0]
                if not ready:
                    pytest.fail("nothing was heard")
            frame = decode_frame(self.connection.receive())
            if frame.kind != FrameKind.PING:
                return frame

    def hear(self, kind: type[M], stream: int = CONNECTION_STREAM) -> M:
        """The next frame, which has to be this message on this stream."""
        frame = self.hear_frame()
        assert frame.kind == FrameKind.CONTROL, frame
        message = RELAY_MESSAGES.decode(frame.payload)
        assert not isinstance(message, Unknown)
        assert isinstance(message, kind), message
        assert frame.stream == stream, message
        return message

    def hear_welcome(self) -> Welcome:
        return self.hear(Welcome)

    def hear_closed(self, code: str, stream: int = CONNECTION_STREAM) -> str:
        """Hear a Closed with this code; its reason."""
        closed = self.hear(Closed, stream)
        assert closed.code == code, closed
        return closed.reason

    def hear_sealed(self) -> tuple[int, bytes]:
        """Stream and payload of the next frame, which has to be a sealed one."""
        frame = self.hear_frame()
        assert frame.kind == FrameKind.SEALED, frame
        return frame.stream, frame.payload

    def hear_end(self) -> str:
        """The connection ends, nothing before; the reason."""
        try:
            frame = self.hear_frame()
        except ConnectionClosed as end:
            self._joined()
            return str(end.details.get("reason", ""))
        pytest.fail(f"heard {frame} and not the end")

    def all_answered(self) -> None:
        """Everything said so far was acted on, and was answered by nothing."""
        self.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b"?"))
        assert self.hear_frame() == Frame(FrameKind.PONG, CONNECTION_STREAM, b"?")

    def leave(self) -> None:
        """Hang up without a word, and wait until the relay has noticed."""
        self.connection.close()
        self._joined()
