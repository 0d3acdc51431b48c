"""From who has knocked to a connection: TLS, the WebSocket upgrade; then whole messages.

Of websockets only the Sans-I/O half is used, on blocking sockets: every connection is
served by one thread of the caller's.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol

from cmdop.deadline import Deadline
from cmdop.errors import ConnectionClosed, RemoteProtocolError
from cmdop.limits import CLIENT_QUEUE_MAX_BYTES, HELLO_TIMEOUT_SECONDS, MESSAGE_MAX_BYTES, SUBPROTOCOL
from cmdop.transport.framing import Fragments, FrameReader, OddFrame, binary_frame
from cmdop.transport.patience import allow
from cmdop.transport.sockets import SocketConnection, tune
from cmdop.transport.tls import Tls

_END_OF_HEAD = b"\r\n\r\n"
_LOG = logging.getLogger("cmdop.transport.websockets")
_LOG.setLevel(logging.WARNING)  # it would tell of every connection that opens, at INFO


@dataclass(frozen=True)
class UpgradeRequest:
    """What was asked over HTTP; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    remote: str


@dataclass(frozen=True)
class HttpAnswer:
    """A plain HTTP answer instead of the upgrade."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


Decide = Callable[[UpgradeRequest], HttpAnswer | None]
"""Looks at a request: None lets the upgrade happen."""


class Arrival:
    """A TCP connection of which nothing is known yet."""

    def __init__(self, sock: socket.socket, remote: str, tls: ssl.SSLContext | None) -> None:
        self.remote = remote
        self._sock, self._context = sock, tls

    def upgrade(
        self,
        decide: Decide,
        queue_max_bytes: int = CLIENT_QUEUE_MAX_BYTES,
        timeout_seconds: float = HELLO_TIMEOUT_SECONDS,
    ) -> AcceptedConnection | None:
        """Shake hands, on the calling thread, all within one timeout.

        None when it did not become a connection: `decide` answered with HTTP, or the
        peer broke off, was too slow, or was no WebSocket client.
        """
        deadline = Deadline(timeout_seconds)
        connection = None
        try:
            tune(self._sock)
            tls = None
            if self._context is not None:
                tls = Tls(self._sock, self._context, None)
                tls.handshake(deadline)
            connection = _Upgrade(self._sock, tls, self.remote, deadline).run(decide, queue_max_bytes)
            if connection is not None:
                self._sock.settimeout(None)
        except (OSError, ConnectionClosed, ProtocolError):
            pass
        finally:
            if connection is None:
                self.close()
        return connection

    def close(self) -> None:
        self._sock.close()


class _Upgrade:
    """The HTTP half of one arrival."""

    def __init__(self, sock: socket.socket, tls: Tls | None, remote: str, deadline: Deadline) -> None:
        self._sock, self._tls, self._remote, self._deadline = sock, tls, remote, deadline
        self._protocol = ServerProtocol(
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            max_size=MESSAGE_MAX_BYTES,
            logger=_LOG,
        )

    def run(self, decide: Decide, queue_max_bytes: int) -> AcceptedConnection | None:
        request = self._request()
        if request is None:
            self._send_pending()
            return None
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        answer = decide(UpgradeRequest(request.path, headers, self._remote))
        if answer is None:
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(answer.status, answer.body)
            for name, value in answer.headers.items():
                response.headers.pop(name, None)
                response.headers[name] = value
        self._protocol.send_response(response)
        self._send_pending()
        if self._protocol.state is not OPEN:
            self._linger()
            return None
        return AcceptedConnection(self._sock, self._tls, self._remote, self._protocol, queue_max_bytes)

    def _request(self) -> Request | None:
        """The request; None for what is none, and for one with something behind it: who goes on
        before it is answered speaks something else (RFC 6455 §4.1)."""
        # It may have come in one piece with the end of the TLS handshake.
        data = self._tls.rest() if self._tls is not None else b""
        tail = b""
        while True:
            if data:
                # websockets gets the head and no more: it would take what is behind it for frames.
                behind = (tail + data).partition(_END_OF_HEAD)[2]
                self._protocol.receive_data(data[: len(data) - len(behind)])
                if behind:
                    return None
                tail = (tail + data)[1 - len(_END_OF_HEAD) :]
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    return event
            if self._protocol.state is CLOSED or self._protocol.handshake_exc is not None:
                return None
            allow(self._sock, self._deadline)
            received = self._sock.recv(64 * 1024)
            if not received:
                return None
            data = self._tls.open(received) if self._tls is not None else received

    def _send_pending(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            allow(self._sock, self._deadline)
            self._sock.sendall(self._tls.seal(data) if self._tls else data)

    def _linger(self) -> None:
        """Let the answer arrive: closing over unread input would reset the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(1.0)
            self._sock.recv(1024)


class AcceptedConnection(SocketConnection):
    """The accepting end of a connection. `receive` is for one thread."""

    def __init__(
        self, sock: socket.socket, tls: Tls | None, remote: str, protocol: ServerProtocol, queue_max_bytes: int
    ) -> None:
        super().__init__(sock, tls, remote, remote, queue_max_bytes)
        self._protocol = protocol
        self._frames = FrameReader(masked=True, max_bytes=MESSAGE_MAX_BYTES)
        self._fragments = Fragments(MESSAGE_MAX_BYTES)

    def send(self, message: bytes) -> None:
        self._outbox.put(binary_frame(message, masked=False))

    @property
    def buffered(self) -> bool:
        return self._frames.buffered

    def receive(self) -> bytes:
        try:
            return self._next_message()
        except (ConnectionClosed, RemoteProtocolError):
            self.release()
            raise

    def _next_message(self) -> bytes:
        while True:
            frame = self._frames.next()
            if frame is None:
                self._frames.feed(self._receive_bytes())
            elif isinstance(frame, OddFrame):
                message = self._take_odd(frame)
                if message is not None:
                    return message
            elif self._fragments.begun:
                raise RemoteProtocolError(reason="a message within another one")
            else:
                return frame

    def _take_odd(self, frame: OddFrame) -> bytes | None:
        """Let websockets judge a frame, and answer what RFC 6455 has answered; a message it completes."""
        self._protocol.receive_data(frame.raw)
        events = self._protocol.events_received()
        answer = b"".join(self._protocol.data_to_send())
        if answer:
            self._outbox.put(answer)
        error = self._protocol.parser_exc
        if error is not None:
            raise RemoteProtocolError(reason=str(error)) from error
        for event in events:
            if isinstance(event, Frame):
                return self._take(event)
        return None

    def _take(self, frame: Frame) -> bytes | None:
        """The message that a fragment completes. Raises for what ends the connection."""
        if frame.opcode is Opcode.TEXT:
            raise RemoteProtocolError(reason="a text message")
        if frame.opcode is Opcode.CLOSE:
            raise ConnectionClosed(reason=Close.parse(frame.data).reason or "the other end closed it")
        if frame.opcode is not Opcode.BINARY and frame.opcode is not Opcode.CONT:
            return None
        return self._fragments.add(bytes(frame.data), frame.opcode is Opcode.CONT, frame.fin)

    def _closing_frame(self, reason: str) -> bytes:
        return Frame(Opcode.CLOSE, Close(1000, reason).serialize()).serialize(mask=False)
