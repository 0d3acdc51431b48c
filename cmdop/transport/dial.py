"""Dialling a relay: TCP, TLS, the WebSocket upgrade; then whole messages.

websocket-client speaks HTTP and RFC 6455 for us over a stream of ours, which reads ahead
(one system call a message) and sends through the outbox, so that no sender ever blocks.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cmdop.deadline import Deadline
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    KeyRefused,
    PlainTextRefused,
    RemoteProtocolError,
)
from cmdop.limits import CLIENT_QUEUE_MAX_BYTES, DIAL_TIMEOUT_SECONDS, DIRECTORY_MAX_BYTES, KIB, SUBPROTOCOL
from cmdop.transport.address import REFUSED_STATUSES, ServerAddress
from cmdop.transport.framing import Fragments, FrameReader, OddFrame, binary_frame
from cmdop.transport.patience import allow
from cmdop.transport.reaching import connect, reason_of, unreachable
from cmdop.transport.sockets import SocketConnection, tune
from cmdop.transport.tls import Tls
from cmdop.transport.trust import trusting
from cmdop.transport.way import PLAIN_WAY, Way
from cmdop.transport.websocket_client import ABNF, websocket

_ANSWER_MAX_BYTES = 64 * KIB
"""Head and body of what a relay may answer over HTTP."""


@dataclass(frozen=True)
class Dialling:
    """How to reach a relay. `credential` goes into the Authorization header."""

    server: ServerAddress
    credential: str = field(repr=False)
    key_label: str = ""
    """The credential as an error may show it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    way: Way = PLAIN_WAY


def dial(to: Dialling, timeout_seconds: float = DIAL_TIMEOUT_SECONDS) -> DialledConnection:
    """A connection to the relay, all steps within one timeout.

    Raises RelayUnreachable, KeyRefused, PlainTextRefused for ws:// off loopback, and BadProxy or
    BadCaFile for a way that is none.
    """
    server, way = to.server, to.way
    if not (server.secure or server.loopback or way.insecure):
        raise PlainTextRefused(server=server.url)
    deadline = Deadline(timeout_seconds)
    context = trusting(way.trusted) if server.secure else None
    sock: socket.socket | None = None
    try:
        sock = connect(server, way, deadline)
        tune(sock)
        tls = None
        if context is not None:
            tls = Tls(sock, context, server.host)
            tls.handshake(deadline)
        return _upgrade(to, sock, tls, deadline)
    # ValueError: a host name that cannot be one, or numbers in HTTP that are none.
    except (OSError, websocket.WebSocketException, ValueError, CmdopError) as error:
        if sock is not None:
            sock.close()
        if isinstance(error, CmdopError) and not isinstance(error, ConnectionClosed | RemoteProtocolError):
            raise
        if isinstance(error, ssl.SSLCertVerificationError):
            from cmdop.transport.presented import untrusted  # for who needs it

            raise untrusted(server, way, error, deadline) from error
        raise unreachable(server, way, _reason(error, timeout_seconds, server.secure)) from error


def _upgrade(to: Dialling, sock: socket.socket, tls: Tls | None, deadline: Deadline) -> DialledConnection:
    connection = DialledConnection(sock, tls, to.server.url)
    headers = {"Authorization": f"Bearer {to.credential}", **to.headers}
    try:
        connection.upgrade(to.server.endpoint, headers, deadline)
    except websocket.WebSocketBadStatusException as error:
        if error.status_code not in REFUSED_STATUSES:
            raise
        raise KeyRefused(server=to.server.url, key=to.key_label, reason=_refusal(error)) from error
    return connection


def _refusal(error: websocket.WebSocketBadStatusException) -> str:
    """What the relay said: the body is one line, `code: reason`."""
    body = (error.resp_body or b"")[:500]
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    line = text.strip().splitlines()[0] if text.strip() else f"HTTP {error.status_code}"
    return line.partition(": ")[2] or line


def _reason(error: Exception, timeout_seconds: float, secure: bool) -> str:
    if isinstance(error, websocket.WebSocketTimeoutException):
        return reason_of(TimeoutError(), timeout_seconds)
    if isinstance(error, ConnectionClosed) and not secure:  # TLS takes the upgrade for nonsense
        return f"{error.details['reason']}; a relay with TLS wants wss://"
    if isinstance(error, ConnectionClosed | RemoteProtocolError):
        return str(error.details["reason"])
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"it answered HTTP {error.status_code}, which no cmdop relay does"
    return reason_of(error, timeout_seconds)


class _Stream:
    """The socket as websocket-client sees it: reads ahead, TLS below, outbox beside.

    Until `upgraded` each step has to be done by the deadline, and the relay's answer may
    be no longer than `_ANSWER_MAX_BYTES`.
    """

    def __init__(self, connection: DialledConnection, sock: socket.socket, tls: Tls | None) -> None:
        self._connection, self._sock, self._tls = connection, sock, tls
        self._ahead = memoryview(b"")
        self._deadline: Deadline | None = None
        self._answer_left_bytes = _ANSWER_MAX_BYTES

    def begin(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def upgraded(self) -> bytes:
        """From now on reading takes as long as it takes; what came behind the answer."""
        self._deadline = None
        self._sock.settimeout(None)
        return bytes(self._ahead)

    def recv(self, size: int) -> bytes:
        while not self._ahead:
            if self._deadline is not None:
                allow(self._sock, self._deadline)
            self._ahead = memoryview(self._connection.receive_some())
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        if self._deadline is not None:
            self._answer_left_bytes -= len(piece)
            if self._answer_left_bytes < 0:
                raise RemoteProtocolError(reason="an answer to the upgrade without end")
        return bytes(piece)

    def send(self, data: bytes) -> int:
        """Only for the upgrade request; frames go through the outbox."""
        if self._deadline is not None:
            allow(self._sock, self._deadline)
        self._sock.sendall(data if self._tls is None else self._tls.seal(data))
        return len(data)

    def fileno(self) -> int:
        return self._sock.fileno()

    def gettimeout(self) -> float | None:
        return self._sock.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        """Asked for by websocket-client, which knows nothing of our deadline."""

    def close(self) -> None:
        self._sock.close()


class _WebSocket(websocket.WebSocket):
    """A WebSocket whose frames leave through our outbox, pongs included."""

    def __init__(self, connection: DialledConnection) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=True)
        self._connection = connection

    def send_frame(self, frame: ABNF) -> int:
        data: bytes = frame.format()
        self._connection.send_bytes(data)
        return len(data)


class DialledConnection(SocketConnection):
    """The dialling end of a connection. `receive` is for one thread."""

    def __init__(self, sock: socket.socket, tls: Tls | None, remote: str) -> None:
        super().__init__(sock, tls, remote, "relay", CLIENT_QUEUE_MAX_BYTES)
        self._stream = _Stream(self, sock, tls)
        self._websocket = _WebSocket(self)
        self._frames = FrameReader(masked=False, max_bytes=DIRECTORY_MAX_BYTES)
        self._fragments = Fragments(DIRECTORY_MAX_BYTES)

    def upgrade(self, endpoint: str, headers: Mapping[str, str], deadline: Deadline) -> None:
        """Ask for the WebSocket. Raises what websocket-client raises, and ConnectionClosed."""
        self._stream.begin(deadline)
        self._websocket.connect(  # type: ignore[no-untyped-call]
            endpoint,
            socket=self._stream,
            # Its own option would log a mismatch and call it an invalid header.
            header={**headers, "Sec-WebSocket-Protocol": SUBPROTOCOL},
            suppress_origin=True,
            redirect_limit=0,
        )
        if (self._websocket.getheaders() or {}).get("sec-websocket-protocol") != SUBPROTOCOL:
            raise websocket.WebSocketException(f"it does not speak {SUBPROTOCOL}")
        self._frames.feed(self._stream.upgraded())

    def send(self, message: bytes) -> None:
        self._outbox.put(binary_frame(message, masked=True))

    def send_bytes(self, data: bytes) -> None:
        """Queue bytes that are a frame already."""
        self._outbox.put(data)

    def receive_some(self) -> bytes:
        return self._receive_some()

    @property
    def buffered(self) -> bool:
        return self._frames.buffered

    def receive(self) -> bytes:
        while (message := self.receive_now()) is None:
            pass
        return message

    def receive_now(self) -> bytes | None:
        try:
            return self._next_message()
        except (websocket.WebSocketException, ValueError) as error:
            self.release()
            raise RemoteProtocolError(reason=str(error)) from error
        except CmdopError:
            self.release()
            raise

    def _next_message(self) -> bytes | None:
        """A message; None after one look at the socket that brought no whole one."""
        frame = self._frames.next()
        if frame is None:
            self._frames.feed(self._receive_some())
            frame = self._frames.next()
        if frame is None:
            return None
        if isinstance(frame, OddFrame):
            return self._take(_parsed(frame))
        if self._fragments.begun:
            raise RemoteProtocolError(reason="a message within another one")
        return frame

    def _take(self, frame: ABNF) -> bytes | None:
        """What a frame completes: a message, or nothing yet."""
        data = frame.data if isinstance(frame.data, bytes) else bytes(frame.data, "latin-1")
        if frame.opcode in (ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT):
            return self._fragments.add(data, frame.opcode == ABNF.OPCODE_CONT, bool(frame.fin))
        if frame.opcode == ABNF.OPCODE_PING:
            self._websocket.pong(data)
        elif frame.opcode == ABNF.OPCODE_CLOSE:
            raise ConnectionClosed(reason=_closing_reason(data))
        elif frame.opcode == ABNF.OPCODE_TEXT:
            raise RemoteProtocolError(reason="a text message")
        return None

    def _closing_frame(self, reason: str) -> bytes:
        formatted: bytes = ABNF.create_frame(struct.pack("!H", 1000) + reason.encode(), ABNF.OPCODE_CLOSE).format()
        return formatted


def _parsed(frame: OddFrame) -> ABNF:
    """A frame as websocket-client understands it. Raises what it raises."""
    rest = memoryview(frame.raw)

    def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = rest[:size], rest[size:]
        return bytes(piece)

    return websocket.frame_buffer(read, True).recv_frame()


def _closing_reason(data: bytes) -> str:
    said = ""
    with contextlib.suppress(UnicodeDecodeError):
        said = data[2:].decode()
    return said or "the relay closed it"
