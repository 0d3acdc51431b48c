"""A sealed stream to one machine, over the client's connection to its relay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cmdop.auth.known_machines import FirstSight
from cmdop.client.leg import Leg, closed_error
from cmdop.client.watchdog import watchdog
from cmdop.errors import RemoteProtocolError
from cmdop.limits import AUTH_TIMEOUT_SECONDS, PING_MAX_BYTES
from cmdop.seal.noise import Channel
from cmdop.transport.connection import Connection
from cmdop.wire.frame import CONNECTION_STREAM, IGNORABLE, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed
from cmdop.wire.session_messages import SESSION_MESSAGES


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
            self.connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload[:PING_MAX_BYTES]))
        elif frame.kind == FrameKind.CONTROL:
            message = RELAY_MESSAGES.decode(frame.payload)
            if isinstance(message, Closed) and frame.stream in (CONNECTION_STREAM, self.about.stream_id):
                self.finished = frame.stream != CONNECTION_STREAM and not message.code
                raise closed_error(message, self.about.host, frame.stream)
        return None

    def receive_control(self, what: str, seconds: float = AUTH_TIMEOUT_SECONDS) -> Message:
        """The next session message, within a timeout; other records are not expected yet."""
        with watchdog(self.connection, what, seconds, Leg.RELAY_MACHINE):
            while True:
                record = self.receive()
                if record is not None and record.kind == RecordKind.CONTROL:
                    return SESSION_MESSAGES.decode(record.payload)
                if record is not None and not record.kind & IGNORABLE:
                    raise RemoteProtocolError(reason="session data before the session")
