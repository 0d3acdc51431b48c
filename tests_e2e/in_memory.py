"""A real session and real clients of it in one process: no relay, no sockets, and a program that the test plays.

What is real: Shells, Shell and its model, Admission, AgentStream, the seal, `join_session`
and `resume_session`, Attach with all of its parts. In the relay's place is a link that
says Welcome, takes Open, and carries the frames.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator

from cmdop.agent.admission import Admission
from cmdop.agent.shells import Shells
from cmdop.agent.stream import AgentStream
from cmdop.auth.credentials import Credential
from cmdop.auth.keys import ApiKey, Role
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, TerminalAbout, Wanted, join_session, resume_session
from cmdop.client.keys import KeyMachine
from cmdop.client.link import RelayLink
from cmdop.client.outcome import Detached, Outcome
from cmdop.errors import ConnectionClosed
from cmdop.limits import PROTOCOL_VERSION
from cmdop.ptyhost.interface import Pty
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import memory_pair
from cmdop.wire.call_messages import CreateSession
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed, Hello, MachineRecord, Open, Welcome
from cmdop.wire.session_messages import Register
from tests.agent.fake_pty import FakePty
from tests.client.fake_terminal import FakeOutput, FakeTerminal
from tests.client.trusting import Trusting
from tests.screen.oracle import SIZE

TIMEOUT_SECONDS = 30.0
MACHINE_ID = "8f23a4b0-0000-4000-8000-000000000001"
KEY = ApiKey(Role.OPERATOR, "6b" * 6, b"r" * 20, b"s" * 32)
CREDENTIAL = Credential(KEY, "ws://127.0.0.1:7420", "production")
STATIC, CLIENT_STATIC = b"m" * 32, b"c" * 32


class Machine:
    """An agent's half, with at most one session; `pty` is its program."""

    def __init__(self) -> None:
        self.pty = FakePty()
        self.shells = Shells(self._open_pty, lambda: None)
        self.shells.relay_is(True)
        self.admission = Admission(self.shells)

    def _open_pty(self, wanted: Register | CreateSession, session_id: str) -> tuple[Pty, str]:
        return self.pty, ""

    def connect_relay(self, to: Dialling, want_machines: bool) -> RelayLink:
        """In the place of `client.link.connect_relay`."""
        ours, theirs = memory_pair()
        Link(theirs, self.admission)
        return RelayLink(ours, to.server.url)

    def close(self) -> None:
        self.shells.close()
        assert self.pty.misuse == []


class Link:
    """The relay's and the agent's end of one client's connection: the uplink of its streams.

    Its thread `client->agent` blocks in receiving, and ends with the connection.
    """

    congested = False
    turn = 0

    def __init__(self, connection: Connection, admission: Admission) -> None:
        self._connection, self._admission = connection, admission
        self._streams: dict[int, AgentStream] = {}
        threading.Thread(target=self._run, name="client->agent", daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = decode_frame(self._connection.receive())
                if frame.kind == FrameKind.PING:
                    self._connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload))
                elif frame.kind == FrameKind.SEALED and frame.stream in self._streams:
                    self._streams[frame.stream].frame(frame.payload)
                elif frame.kind == FrameKind.CONTROL:
                    self._on_control(frame.stream, RELAY_MESSAGES.decode(frame.payload))
        for stream in self._streams.values():
            stream.closed()

    def _on_control(self, stream: int, message: Message) -> None:
        if isinstance(message, Hello):
            beat = MachineRecord(MACHINE_ID, "prod-api-1", "prod", True, 1.0, time.time())
            welcome = Welcome(PROTOCOL_VERSION, "memory", "production", "ann", "operator", machines=(beat,))
            self._say(CONNECTION_STREAM, welcome)
        elif isinstance(message, Open):
            role = Role.OBSERVER if message.role == "observer" else Role.OPERATOR
            opened = Open(MACHINE_ID, message.role, "ann", "key", "192.0.2.1")
            psk = KEY.machine_psk(role, MACHINE_ID)
            self._streams[stream] = AgentStream(stream, opened, psk, STATIC, self, self._admission)
        elif isinstance(message, Closed) and stream in self._streams:
            self._streams.pop(stream).closed()

    def _say(self, stream: int, message: Message) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message)))

    # -- the uplink of its streams -------------------------------------------------------------

    def send_sealed(self, stream: int, payload: bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(encode_frame(FrameKind.SEALED, stream, payload))

    def close_stream(self, stream: int, code: str = "", reason: str = "") -> None:
        self._say(stream, Closed(code, reason))


class Watched(FakeOutput):
    """Takes everything at once. `answer` is told each piece, and says what the terminal types then."""

    def __init__(self, answer: Callable[[bytes], bytes], press: Callable[[bytes], None]) -> None:
        super().__init__(blind=True)
        self._answer, self._press = answer, press

    def try_write(self, data: bytes | memoryview) -> int:
        if answer := self._answer(bytes(data)):
            self._press(answer)  # before anybody can see that it was shown
        return super().try_write(data)

    def until(self, happened: Callable[[bytearray], bool], otherwise: Callable[[], str] = str) -> bytes:
        """All that was shown, once this holds of it; `otherwise` says why it does not."""
        with self._change:
            came = self._change.wait_for(lambda: happened(self.shown), TIMEOUT_SECONDS)
            assert came, (otherwise(), bytes(self.shown[-300:]))
            return bytes(self.shown)


class _Quiet:
    """A progress that nobody looks at."""

    detail = ""
    fields: dict[str, object]

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[_Quiet]:
        yield self


class Client:
    """Somebody attached, at a terminal of the corpus's size, and with a program's patience."""

    def __init__(self, machine: Machine, answer: Callable[[bytes], bytes] = lambda _: b"", replay: str = "all") -> None:
        self._machine = machine
        self.terminal = FakeTerminal(blind=True, winsize=SIZE)
        self.terminal.output.give_back()
        self.output = self.terminal.output = Watched(answer, self.terminal.press)
        about = TerminalAbout(SIZE, "xterm-256color")
        self._wanted = Wanted("prod", about, replay=replay, client_id=os.urandom(8).hex())
        self.joined = join_session(CREDENTIAL, CLIENT_STATIC, Trusting(), self._wanted, _Quiet())
        attach = Attach(self.joined, self.terminal, KeyMachine(), self._rejoin)
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(attach,), name="client", daemon=True)
        self._thread.start()

    def _run(self, attach: Attach) -> None:
        try:
            self._outcomes.put(attach.run(lambda: None))
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self._outcomes.put(error)

    def _rejoin(self, before: Joined, place: object) -> Joined:
        self.joined = resume_session(CREDENTIAL, CLIENT_STATIC, self._wanted, before, place)  # type: ignore[arg-type]
        return self.joined

    def cut(self) -> None:
        """Lose the connection."""
        self.joined.stream.connection.close("cut by the test")

    def leave(self) -> None:
        """Press Ctrl-D and be gone."""
        self.terminal.press(b"\x04")
        assert self._outcomes.get(timeout=TIMEOUT_SECONDS) == Detached()
        self._thread.join(TIMEOUT_SECONDS)
        self.output.give_back()
