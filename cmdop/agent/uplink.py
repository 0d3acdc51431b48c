"""The agent's connection to its relay: frames to streams, heartbeats, liveness.

Threads. The caller of `serve` is the reader: it blocks in `receive` and is woken by
messages and by `close`. `heartbeat` blocks on a condition until the next heartbeat or
ping is due, and is woken by `changed` and by `close`; it ends streams that do not get in
in time, too. Bulk output that the socket did not take is written by the connection's own
writer, which then pumps the streams on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from cmdop.agent.stream import AgentStream
from cmdop.errors import CmdopError, ConnectionClosed, RemoteProtocolError, from_peer
from cmdop.limits import (
    HEARTBEAT_INTERVAL_MIN_SECONDS,
    HEARTBEAT_INTERVAL_SECONDS,
    HEARTBEAT_SESSIONS_MAX,
    LINK_DEAD_SECONDS,
    PING_INTERVAL_SECONDS,
    PING_MAX_BYTES,
    STREAMS_PER_CONNECTION_MAX,
    STREAMS_PER_KEY_MAX,
    UPLINK_LOW_WATER_BYTES,
)
from cmdop.transport.connection import Connection
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed, Goodbye, Heartbeat, Open, SessionSummary, Welcome

_LOG = logging.getLogger("cmdop.agent")

OpenStream = Callable[[int, Open, "AgentUplink"], AgentStream]
"""Makes the stream for an Open; raises CmdopError when it may not be."""


class AgentUplink:
    """One connection, from Welcome to its end."""

    def __init__(
        self,
        connection: Connection,
        open_stream: OpenStream,
        summaries: Callable[[], tuple[SessionSummary, ...]],
    ) -> None:
        self._connection, self._open_stream, self._summaries = connection, open_stream, summaries
        connection.on_drained = self._pump_streams
        self._streams: dict[int, AgentStream] = {}
        """Only the reader's thread adds to it; others make single look-ups, pops and copies."""
        self._heard_at = self._said_at = time.monotonic()
        self.used = False
        """Whether a client was served."""
        self.turn = 0
        """Only the connection's writer counts it up."""
        # Guards the three below; told of every change.
        self._change = threading.Condition()
        self._interval_seconds = HEARTBEAT_INTERVAL_SECONDS
        """Between two heartbeats; what the relay says with its Welcome."""
        self._dirty = False
        self._closed = False

    # -- the reader ----------------------------------------------------------------------

    def serve(self, welcomed: Callable[[Welcome], None]) -> CmdopError:
        """Serve until the connection ends; why it did. `welcomed` hears of the relay's Welcome."""
        beat = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beat.start()
        try:
            while True:
                message = self._connection.receive()
                self._heard_at = time.monotonic()
                self._on_frame(decode_frame(message), welcomed)
        except CmdopError as error:
            return error
        except Exception as error:  # noqa: BLE001 - no relay may end the agent, and its sessions with it
            _LOG.exception("the connection to the relay")
            return CmdopError(reason=repr(error))
        finally:
            self.close("")
            beat.join()
            for stream in self._streams.copy().values():
                stream.closed()

    def _on_frame(self, frame: Frame, welcomed: Callable[[Welcome], None]) -> None:
        if frame.kind == FrameKind.SEALED:
            stream = self._streams.get(frame.stream)
            if stream is not None:
                stream.frame(frame.payload)
        elif frame.kind == FrameKind.CONTROL:
            self._on_control(frame.stream, RELAY_MESSAGES.decode(frame.payload), welcomed)
        elif frame.kind == FrameKind.PING:
            self._send(FrameKind.PONG, CONNECTION_STREAM, frame.payload[:PING_MAX_BYTES])

    def _on_control(self, stream_id: int, message: Message, welcomed: Callable[[Welcome], None]) -> None:
        if isinstance(message, Open):
            self._on_open(stream_id, message)
        elif isinstance(message, Closed) and stream_id != CONNECTION_STREAM:
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                stream.closed()
        elif isinstance(message, Closed):
            raise from_peer(message.code or ConnectionClosed.code, message.reason)
        elif isinstance(message, Welcome):
            welcomed(message)
            with self._change:
                self._interval_seconds = max(HEARTBEAT_INTERVAL_MIN_SECONDS, message.heartbeat_interval_seconds)
            self.changed()  # a relay that was restarted knows of no sessions

    def _on_open(self, stream_id: int, message: Open) -> None:
        if stream_id == CONNECTION_STREAM or stream_id in self._streams:
            raise RemoteProtocolError(reason=f"stream {stream_id} opened twice")
        if len(self._streams) >= STREAMS_PER_CONNECTION_MAX:
            self.close_stream(stream_id, "session-refused", "too many clients are connected to this machine")
            return
        if self._streams_of(message.key_id) >= STREAMS_PER_KEY_MAX:
            self.close_stream(stream_id, "session-refused", f"{STREAMS_PER_KEY_MAX} streams of this key are open here")
            return
        self.used = True
        self._streams[stream_id] = self._open_stream(stream_id, message, self)

    def _streams_of(self, key_id: str) -> int:
        """How many a key has; none, where the relay does not tell which it is."""
        return sum(stream.key_id == key_id for stream in self._streams.copy().values()) if key_id else 0

    # -- what streams need ------------------------------------------------------------------

    def _pump_streams(self) -> None:
        """The connection takes more. On its writer's thread; the last words of a session
        that has ended wait here too, so it is the streams that are asked."""
        self.turn += 1
        for stream in self._streams.copy().values():
            stream.pump()

    @property
    def congested(self) -> bool:
        return self._connection.backlog_bytes > UPLINK_LOW_WATER_BYTES

    def send_sealed(self, stream: int, payload: bytes) -> None:
        self._send(FrameKind.SEALED, stream, payload)

    def close_stream(self, stream: int, code: str = "", reason: str = "") -> None:
        """Forget a stream and tell its client. Twice is quiet."""
        self._streams.pop(stream, None)
        self.send_control(Closed(code, reason), stream)

    def send_control(self, message: Message, stream: int = CONNECTION_STREAM) -> None:
        self._send(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))

    def _send(self, kind: int, stream: int, payload: bytes) -> None:
        # The reader sees the end of the connection; whoever sends need not.
        with contextlib.suppress(ConnectionClosed):
            self._said_at = time.monotonic()
            self._connection.send(encode_frame(kind, stream, payload))

    # -- liveness ------------------------------------------------------------------------------

    def changed(self) -> None:
        """The sessions changed: the directory should hear of it now."""
        with self._change:
            self._dirty = True
            self._change.notify_all()

    def close(self, reason: str, goodbye: bool = False) -> None:
        """End the connection, with a goodbye on a clean stop. Twice is quiet."""
        with self._change:
            if self._closed:
                return
            self._closed = True
            self._change.notify_all()
        if goodbye:
            self.send_control(Goodbye())
        self._connection.close(reason)

    def _beat(self) -> None:
        beat_at = time.monotonic()
        next_ping = beat_at + PING_INTERVAL_SECONDS
        while True:
            with self._change:
                next_beat = beat_at + self._interval_seconds
                due = min(next_beat, next_ping)
                self._change.wait_for(lambda: self._dirty or self._closed, max(0.0, due - time.monotonic()))
                if self._closed:
                    return
                dirty, self._dirty = self._dirty, False
            now = time.monotonic()
            for stream in self._streams.copy().values():
                stream.end_if_idle(now)
            if dirty or now >= next_beat:
                self.send_control(Heartbeat(self._summaries()[:HEARTBEAT_SESSIONS_MAX]))
                beat_at = now
            if now >= next_ping:
                if now - self._heard_at >= LINK_DEAD_SECONDS:
                    self._connection.close("nothing was heard")
                elif now - min(self._heard_at, self._said_at) >= PING_INTERVAL_SECONDS:
                    # A PING of the relay's may be far behind in a flood, and its answer late.
                    self._send(FrameKind.PING, CONNECTION_STREAM, b"")
                next_ping = now + PING_INTERVAL_SECONDS / 2
