"""A relay that is an enemy, between real clients and real agents, all in one process.

What is real: AgentService with its uplink, streams and sessions, the seal on both sides,
`join_session` and `resume_session`, Attach with all of its parts, and known machines where a
test wants them. Instead of sockets there are memory pairs, instead of shells programs that
the test plays. The relay is one that does what the tests tell it, and keeps all that it sees.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cmdop.agent.admission import Admission
from cmdop.agent.identity import Enrolment, Identity
from cmdop.agent.machine import Machine
from cmdop.agent.shells import Shells
from cmdop.auth.credentials import Credential
from cmdop.auth.keys import ApiKey, Role
from cmdop.auth.known_machines import Sighting
from cmdop.client.attach import Attach
from cmdop.client.connect import Joined, Place, TerminalAbout, Wanted, join_session, resume_session
from cmdop.client.keys import KeyMachine
from cmdop.client.link import MachineCheck
from cmdop.client.outcome import Detached, Failed, Outcome
from cmdop.errors import CmdopError, ConnectionClosed, RelayUnreachable
from cmdop.home import Home
from cmdop.limits import PROTOCOL_VERSION
from cmdop.ptyhost.interface import Pty
from cmdop.screen.ring import RingScreen
from cmdop.seal.noise import public_key
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import memory_pair
from cmdop.winsize import Winsize
from cmdop.wire.call_messages import CreateSession
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message, replaced
from cmdop.wire.relay_messages import RELAY_MESSAGES, AgentHello, Closed, Hello, MachineRecord, Open, Welcome
from cmdop.wire.session_messages import Register
from tests.agent.fake_pty import FakePty
from tests.client.fake_terminal import FakeTerminal
from tests.client.trusting import Trusting
from tests.network import SERVER, RunningAgent
from tests_e2e.in_memory import TIMEOUT_SECONDS, Watched

_ADMIN_KEY = ApiKey(Role.ADMIN, "6a" * 6, b"r" * 20, b"s" * 32)
KEY = _ADMIN_KEY.for_role(Role.OPERATOR, "6b" * 6, b"r" * 20)
OBSERVER_KEY = _ADMIN_KEY.for_role(Role.OBSERVER, "6c" * 6, b"r" * 20)
DEVICE_KEY = b"d" * 32
TERM = "the-terminal-of-the-victim"
"""A text that is in Register, as good a marker as any."""


class Way(Enum):
    """In which direction a frame goes."""

    TO_AGENT = "client->agent"
    TO_CLIENT = "agent->client"


@dataclass
class Joint:
    """A stream of a client, joined to one of an agent; `seen` is what each end sent, sealed."""

    client: Connection
    client_stream: int
    agent: Connection
    agent_stream: int
    asked: Open
    seen: dict[Way, list[bytes]] = field(default_factory=lambda: {Way.TO_AGENT: [], Way.TO_CLIENT: []})

    def send(self, way: Way, message: bytes) -> None:
        """Put a whole message, frame and all, on the way."""
        with contextlib.suppress(ConnectionClosed):
            (self.agent if way is Way.TO_AGENT else self.client).send(message)

    def frame(self, way: Way, payload: bytes) -> bytes:
        """A sealed frame as the end there expects it."""
        return encode_frame(FrameKind.SEALED, self.agent_stream if way is Way.TO_AGENT else self.client_stream, payload)

    def say(self, way: Way, message: Message) -> None:
        """A control message on this stream."""
        stream = self.agent_stream if way is Way.TO_AGENT else self.client_stream
        self.send(way, control(message, stream))


Tamper = Callable[[Joint, Way, int, bytes], Iterable[bytes]]
"""What is passed on in the place of a stream's frame of this number, counted each way from 0;
whole messages, frame and all."""


def control(message: Message, stream: int = CONNECTION_STREAM) -> bytes:
    return encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))


def pass_on(joint: Joint, way: Way, number: int, message: bytes) -> Iterable[bytes]:
    """An honest relay's way."""
    return [message]


class HostileRelay:
    """Passes everything on and keeps it, but for what a test sets: `tamper`, `route`, `list_as`,
    `welcome_as` and `on_open`. Each connection has a thread, named by direction; it blocks in
    receiving and ends with the connection.
    """

    def __init__(self) -> None:
        self.honest()
        self.seen: list[bytes] = []
        """Every message that came."""
        self.joints: list[Joint] = []
        self.agents: dict[str, Connection] = {}
        self.directory: dict[str, AgentHello] = {}
        self._streams = itertools.count(1)
        self._over: list[Connection] = []
        # Guards the six above; told of every change.
        self._change = threading.Condition()

    def honest(self) -> None:
        """Do nothing evil from now on."""
        self.tamper: Tamper = pass_on
        self.route: Callable[[Open], tuple[str, Open]] = lambda opened: (opened.machine_id, opened)
        self.list_as: Callable[[MachineRecord], MachineRecord] = lambda record: record
        self.welcome_as: Callable[[Hello, Welcome], Message] = lambda _, welcome: welcome
        self.on_open: Callable[[Connection, int, Open], bool] = lambda *_: False
        """Whether it dealt with an Open itself."""
        self.down = False

    def dial(self, to: Dialling) -> Connection:
        """In the place of `transport.dial.dial`."""
        if self.down:
            raise RelayUnreachable(server=to.server.url, reason="it is down")
        theirs, ours = memory_pair()
        threading.Thread(target=self._serve, args=(ours,), name="test->relay", daemon=True).start()
        return theirs

    def until_joined(self, count: int) -> Joint:
        """The joint of that number, counted from 1."""
        with self._change:
            assert self._change.wait_for(lambda: len(self.joints) >= count, TIMEOUT_SECONDS), "nobody came"
            return self.joints[count - 1]

    def until_seen(self, joint: Joint, way: Way, count: int) -> None:
        """Until so many frames went that way."""
        with self._change:
            assert self._change.wait_for(lambda: len(joint.seen[way]) >= count, TIMEOUT_SECONDS), joint.seen

    def until_dealt_with(self, joint: Joint, way: Way) -> None:
        """Until the end there has taken all that was sent, or its connection is over."""
        connection = joint.agent if way is Way.TO_AGENT else joint.client
        pong = encode_frame(FrameKind.PONG, CONNECTION_STREAM, b"dealt with")
        with self._change:
            before = self.seen.count(pong)
        joint.send(way, encode_frame(FrameKind.PING, CONNECTION_STREAM, b"dealt with"))
        with self._change:
            assert self._change.wait_for(
                lambda: self.seen.count(pong) > before or connection in self._over, TIMEOUT_SECONDS
            ), "it took nothing"

    # -- a connection --------------------------------------------------------------------------

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = connection.receive()
                with self._change:
                    self.seen.append(message)
                    self._change.notify_all()
                self._on_frame(connection, decode_frame(message))
        with self._change:
            self._over.append(connection)
            self.agents = {name: agent for name, agent in self.agents.items() if agent is not connection}
            self._change.notify_all()
        for joint in self.joints:
            if connection is joint.client:
                joint.say(Way.TO_AGENT, Closed(ConnectionClosed.code, "the client went"))
            elif connection is joint.agent:
                joint.say(Way.TO_CLIENT, Closed(ConnectionClosed.code, "the agent went"))

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if frame.kind == FrameKind.SEALED:
            self._on_sealed(connection, frame)
        elif frame.kind == FrameKind.PING:
            connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, frame.payload))
        elif frame.kind == FrameKind.CONTROL:
            self._on_control(connection, frame.stream, RELAY_MESSAGES.decode(frame.payload))

    def _on_control(self, connection: Connection, stream: int, message: Message) -> None:
        if isinstance(message, Hello):
            self._on_hello(connection, message)
        elif isinstance(message, Open):
            if not self.on_open(connection, stream, message):
                self._join(connection, stream, message)
        elif isinstance(message, Closed):
            found = self._joint(connection, stream)
            if found is not None:
                joint, way = found
                joint.say(way, message)

    def _on_hello(self, connection: Connection, hello: Hello) -> None:
        machines = None
        if hello.machine is not None:
            with self._change:
                self.agents[hello.machine.machine_id] = connection
                self.directory[hello.machine.machine_id] = hello.machine
                self._change.notify_all()
        else:
            machines = tuple(self.list_as(_record(about)) for about in self.directory.values())
        role = "operator" if hello.machine is None else "agent"
        welcome = Welcome(PROTOCOL_VERSION, "hostile", "home", "ann", role, KEY.key_id, machines=machines)
        connection.send(control(self.welcome_as(hello, welcome)))

    def _join(self, connection: Connection, stream: int, asked: Open) -> None:
        to, opened = self.route(asked)
        with self._change:
            # An agent that lost its connection is coming back.
            assert self._change.wait_for(lambda: to in self.agents, TIMEOUT_SECONDS), "no such agent"
            joint = Joint(connection, stream, self.agents[to], next(self._streams), asked)
            self.joints.append(joint)
            self._change.notify_all()
        joint.say(Way.TO_AGENT, replaced(opened, operator="ann", key_id=KEY.key_id, address="192.0.2.1"))

    def _on_sealed(self, connection: Connection, frame: Frame) -> None:
        found = self._joint(connection, frame.stream)
        if found is None:
            return
        joint, way = found
        with self._change:
            number = len(joint.seen[way])
            joint.seen[way].append(frame.payload)
        for message in self.tamper(joint, way, number, joint.frame(way, frame.payload)):
            joint.send(way, message)
        with self._change:
            self._change.notify_all()

    def _joint(self, connection: Connection, stream: int) -> tuple[Joint, Way] | None:
        for joint in reversed(self.joints):
            if (connection, stream) == (joint.client, joint.client_stream):
                return joint, Way.TO_AGENT
            if (connection, stream) == (joint.agent, joint.agent_stream):
                return joint, Way.TO_CLIENT
        return None


def _record(about: AgentHello) -> MachineRecord:
    return MachineRecord(about.machine_id, about.hostname, about.name, True, 1.0, time.time())


# -- a machine ------------------------------------------------------------------------------------


class PlayedMachine(Machine):
    """The sessions of an agent; `ptys` are its programs."""

    def __init__(self) -> None:
        super().__init__()
        self.ptys: list[FakePty] = []
        self.shells.close()
        self.shells = Shells(self._open_pty, self._changed, lambda _: RingScreen())
        self.admission = Admission(self.shells, gate=self._gate)

    def _open_pty(self, wanted: Register | CreateSession, session_id: str) -> tuple[Pty, str]:
        self.ptys.append(FakePty(session_id=session_id))
        return self.ptys[-1], ""

    @property
    def typed(self) -> bytes:
        """All that was typed, whatever session it was in."""
        return b"".join(bytes(pty.typed) for pty in self.ptys)


class Target:
    """A machine of the workspace, with its agent online at the relay."""

    def __init__(self, folder: Path, name: str) -> None:
        home = Home(folder)
        self.machine_id = Identity.load_or_create(home, name).machine_id
        self.static_public = public_key((folder / "machine.key").read_bytes())
        psks = [KEY.machine_psk(role, self.machine_id) for role in (Role.OPERATOR, Role.OBSERVER)]
        Enrolment(SERVER, "home", "ab" * 32, KEY.key_id, *psks).save(home)
        self.machine = PlayedMachine()
        self.agent = RunningAgent(home, machine=self.machine, name=name)
        self.agent.until_online()

    @property
    def sighting(self) -> Sighting:
        """It, as a client sees it under its own name."""
        return Sighting(self.machine_id, self.agent.service.status()["name"], self.static_public)

    def close(self) -> None:
        self.agent.stop()
        assert [pty.misuse for pty in self.machine.ptys if pty.misuse] == []


# -- a client -------------------------------------------------------------------------------------


class _Quiet:
    """A progress that nobody looks at."""

    detail = ""
    fields: dict[str, object]

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[_Quiet]:
        yield self

    def first_sight(self, sight: object) -> None:
        """Not looked at either."""


class Victim:
    """Somebody who attaches through this relay; `outcome` is how it ended, wherever it did."""

    def __init__(self, host: str = "alpha", key: ApiKey = KEY, known: MachineCheck | None = None) -> None:
        self._credential, self._known = Credential(key, SERVER, "home"), known or Trusting()
        self._wanted = Wanted(host, TerminalAbout(Winsize(24, 80), TERM), read_only=key is OBSERVER_KEY)
        self.terminal = FakeTerminal(blind=True)
        self.terminal.output.give_back()
        self.output = self.terminal.output = Watched(lambda _: b"", self.terminal.press)
        self._joined: queue.SimpleQueue[Joined | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="victim", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            joined = join_session(self._credential, DEVICE_KEY, self._known, self._wanted, _Quiet())
            attach = Attach(joined, self.terminal, KeyMachine(), self._rejoin)
            self._joined.put(joined)
            self._outcomes.put(attach.run(lambda: None))
        except CmdopError as error:
            self._outcomes.put(Failed(error))
        except BaseException as error:  # noqa: BLE001 - a crash, which the test is to see
            self._outcomes.put(error)
        finally:
            self._joined.put(None)

    def _rejoin(self, before: Joined, place: Place) -> Joined:
        return resume_session(self._credential, DEVICE_KEY, self._wanted, before, place)

    def attached(self) -> bool:
        """Whether it came as far as a session."""
        return self._joined.get(timeout=TIMEOUT_SECONDS) is not None

    def outcome(self) -> Outcome:
        """How it ended; once."""
        outcome = self._outcomes.get(timeout=TIMEOUT_SECONDS)
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        self.output.give_back()
        assert isinstance(outcome, Outcome), outcome
        return outcome

    def error(self) -> CmdopError:
        """The one error that it ended in."""
        outcome = self.outcome()
        assert isinstance(outcome, Failed), outcome
        assert outcome.error.sentence.isprintable()
        return outcome.error

    def leave(self) -> None:
        """Press Ctrl-D and be gone."""
        self.terminal.press(b"\x04")
        assert self.outcome() == Detached()
