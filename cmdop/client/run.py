"""Reading a session to its end without a terminal: what it printed, and how it ended."""

from __future__ import annotations

from cmdop.client.connect import Joined
from cmdop.client.refusal import refusal
from cmdop.errors import RemoteProtocolError
from cmdop.limits import MIB, WINDOW_MIN_BYTES
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import SESSION_MESSAGES, Detach, Ended, Refused

COLLECT_MAX_BYTES = 10 * MIB


def collect(joined: Joined) -> tuple[bytes, Ended]:
    """All output of a session until its end. Raises what ends the stream before that."""
    stream, output = joined.stream, bytearray()
    try:
        while True:
            record = stream.receive()
            if record is None:
                continue
            if record.kind == RecordKind.OUTPUT:
                output += record.payload
                if len(output) > COLLECT_MAX_BYTES:
                    raise RemoteProtocolError(reason=f"more than {COLLECT_MAX_BYTES} bytes of output")
                stream.send_record(RecordKind.CREDIT, record.offset + len(record.payload) + WINDOW_MIN_BYTES)
            elif record.kind == RecordKind.CONTROL:
                message = SESSION_MESSAGES.decode(record.payload)
                if isinstance(message, Ended):
                    stream.send_control(Detach())
                    return bytes(output), message
                if isinstance(message, Refused):
                    raise refusal(message, stream.about.host)
    finally:
        stream.connection.close()
