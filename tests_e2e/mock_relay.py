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

from cmdop.auth.keys import ApiKey, Role, new_key_id, new_relay_half, new_workspace_key
from cmdop.limits import DATA_MAX_BYTES
from cmdop.winsize import Winsize
from cmdop.wire.frame import CONNECTION_STREAM, Frame
from cmdop.wire.message import Message
from cmdop.wire.record import Record, RecordKind
from cmdop.wire.relay_messages import (
    Closed,
    Hello,
    Open,
)
from cmdop.wire.session_messages import (
    Ended,
    Register,
)
from tests_e2e.mock_machine import Script, Session, Talk
from tests_e2e.mock_socket import MockSocket
from tests_e2e.timing import STEP_SECONDS


class MockRelay:
    """Listens on loopback, as `url`, for clients with `key`."""

    def __init__(self) -> None:
        self.script = Script()
        self.admin_key = new_workspace_key()
        self.key: ApiKey = self.admin_key.for_role(Role.OPERATOR, new_key_id(), new_relay_half())
        self._server = socket.create_server(("127.0.0.1", 0))
        self._address: tuple[str, int] = self._server.getsockname()
        self.url = f"ws://127.0.0.1:{self._address[1]}"
        # Guards everything below; told of every change.
        self.change = threading.Condition()
        self.connections = 0
        self.frames: list[Frame] = []
        self.records: list[Record] = []
        self.requests: list[dict[str, str]] = []
        self.hello: Hello | None = None
        self.opened: Open | None = None
        self.registered: Register | None = None
        self.registrations: list[Register] = []
        """All of them, of every connection."""
        self.session = Session(0)
        self.typed = b""
        self.sizes: list[Winsize] = []
        self.granted = 0
        self.detached = False
        self.gone = False
        self.talk: Talk | None = None
        self._threads: list[threading.Thread] = []
        self._sockets: list[MockSocket] = []
        self._listen()

    # -- waiting for something named ------------------------------------------------------

    def wait_for(self, what: str, happened: Callable[[], bool], timeout_seconds: float = STEP_SECONDS) -> None:
        """Wait until `happened`; fail with `what` and what was heard instead."""
        with self.change:
            if not self.change.wait_for(happened, timeout_seconds):
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

    def wait_resumed(self, times: int = 1, timeout_seconds: float = STEP_SECONDS) -> Register:
        """Until a client came back so often; how it did."""
        self.wait_for(f"resume {times}", lambda: len(self.registrations) > times, timeout_seconds)
        assert self.registrations[times].resume
        return self.registrations[times]

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
        with self.change:
            self._talking.say(data, sizes)

    @property
    def said_bytes(self) -> int:
        """How much output has left, the offset of the next byte."""
        return self._talking.offset

    def replay(self, data: bytes) -> None:
        with self.change:
            self._talking.record(RecordKind.REPLAY, self._talking.offset, data)

    def end(self, exit_status: int = 0, signal: int = 0) -> None:
        """The shell ended."""
        with self.change:
            self._talking.end(Ended(exit_status, signal, self.session.end_offset))

    def send_message(self, message: Message) -> None:
        """Any session message."""
        with self.change:
            self._talking.control(message)

    def send_record(self, kind: int, offset: int, payload: bytes) -> None:
        with self.change:
            self._talking.record(kind, offset, payload)

    def close_stream(self, code: str = "", reason: str = "", whole_connection: bool = False) -> None:
        with self.change:
            self._talking.relay_message(Closed(code, reason), CONNECTION_STREAM if whole_connection else None)

    def send_raw(self, data: bytes) -> None:
        """Anything, below the WebSocket."""
        self._talking.socket.send_raw(data)

    def send_frame(self, data: bytes) -> None:
        """Any bytes as one WebSocket message."""
        self._talking.socket.send(data)

    def send_spoilt(self) -> None:
        """A sealed record with one bit turned."""
        with self.change:
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

    def go_down(self) -> None:
        """As a relay whose machine lost its power: every connection is reset, and new ones refused."""
        self._deafen()
        for connection in self._sockets:
            connection.cut()

    def come_up(self) -> None:
        """At the same address as before."""
        self._server = socket.create_server(self._address)
        self._listen()

    def _listen(self) -> None:
        self._acceptor = threading.Thread(target=self._accept, args=(self._server,), name="mock accept", daemon=True)
        self._acceptor.start()

    def _deafen(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def close(self) -> None:
        """Stop listening and hang up on everybody. Twice is quiet."""
        self._deafen()
        for connection in self._sockets:
            connection.close()
        if self.talk is not None:
            self.talk.reading.set()
        for thread in [self._acceptor, *self._threads]:
            thread.join(STEP_SECONDS)
            assert not thread.is_alive(), thread.name

    # -- serving ---------------------------------------------------------------------------------

    @property
    def _talking(self) -> Talk:
        assert self.talk is not None, "no client is attached"
        return self.talk

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            connection = MockSocket(sock)
            thread = threading.Thread(target=self._serve, args=(connection,), name="mock client", daemon=True)
            self._sockets.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: MockSocket) -> None:
        with self.change:
            self.connections += 1
            self.change.notify_all()
        try:
            if self._upgrade(connection) and self.step("welcome", connection):
                Talk(self, connection).run()
        finally:
            with self.change:
                self.gone = True
                self.change.notify_all()
            if not self.script.stall_at:
                connection.close()

    def _upgrade(self, connection: MockSocket) -> bool:
        request = connection.read_request()
        if request is None:
            return False
        with self.change:
            self.requests.append({name.lower(): value for name, value in request.headers.raw_items()})
            self.change.notify_all()
        if not self.step("upgrade", connection):
            return False
        if self.script.refusal is not None:
            connection.refuse(*self.script.refusal)
            return False
        connection.accept()
        return True

    def step(self, name: str, connection: MockSocket) -> bool:
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
