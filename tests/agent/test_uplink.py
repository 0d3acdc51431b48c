"""The agent's connection to its relay: frames to streams, heartbeats, liveness, and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.agent import uplink as uplink_module
from cmdop.agent.stream import AgentStream
from cmdop.agent.uplink import AgentUplink
from cmdop.errors import CmdopError, RemoteProtocolError
from cmdop.limits import (
    HEARTBEAT_INTERVAL_SECONDS,
    STREAMS_PER_CONNECTION_MAX,
    STREAMS_PER_KEY_MAX,
    UPLINK_LOW_WATER_BYTES,
)
from cmdop.transport.memory import MemoryConnection
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message, replaced
from cmdop.wire.record import RecordKind
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    Closed,
    Goodbye,
    Heartbeat,
    ListMachines,
    Open,
    SessionSummary,
    Welcome,
)
from cmdop.wire.session_messages import Ended, Ready
from tests.agent.fake_pty import TIMEOUT_SECONDS
from tests.agent.knocking import MACHINE_ID, PSK, STATIC, Client, Machine, register
from tests.relay.talker import Talker

M = TypeVar("M", bound=Message)
OPEN = Open(MACHINE_ID, "operator", "anna")
WELCOME = Welcome(1, "test", "home", "anna", "agent")
SESSION = SessionSummary("0" * 16, "anna", 1)


class FullConnection(MemoryConnection):
    """The agent's end of a connection that can be full, and drain."""

    def __init__(self, remote: str) -> None:
        super().__init__(remote)
        self.backlog = 0

    @property
    def backlog_bytes(self) -> int:
        return self.backlog

    def drain(self) -> None:
        """On the writer's thread."""
        self.backlog = 0
        writer = threading.Thread(target=self.on_drained, name="writer", daemon=True)
        writer.start()
        writer.join(TIMEOUT_SECONDS)
        assert not writer.is_alive()


class Served:
    """An uplink that is being served, and the relay at its other end."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.connection = FullConnection("relay")
        theirs = MemoryConnection("agent")
        self.connection.peer, theirs.peer = theirs, self.connection
        self.relay = Talker(theirs)
        self.sessions: tuple[SessionSummary, ...] = (SESSION,)
        self.welcomes: list[Welcome] = []
        self.open_stream: Callable[[int, Open, AgentUplink], AgentStream] = self._open_stream
        self.uplink = AgentUplink(self.connection, self._opened, lambda: self.sessions)
        self.ends: list[CmdopError] = []
        self.thread = threading.Thread(target=self._serve, name="test->agent", daemon=True)

    def _serve(self) -> None:
        self.ends.append(self.uplink.serve(self.welcomes.append))

    def _opened(self, number: int, opened: Open, uplink: AgentUplink) -> AgentStream:
        return self.open_stream(number, opened, uplink)

    def _open_stream(self, number: int, opened: Open, uplink: AgentUplink) -> AgentStream:
        return AgentStream(number, opened, PSK, STATIC, uplink, self.machine.admission)

    def end(self) -> CmdopError:
        """Why it ended, once it has."""
        self.thread.join(TIMEOUT_SECONDS)
        assert not self.thread.is_alive()
        assert len(self.ends) == 1
        return self.ends[0]

    def client(self, number: int) -> RemoteClient:
        """A client that is in its session, over stream `number`."""
        self.relay.say(OPEN, number)
        client = RemoteClient(self, number)
        client.shake()
        client.say(register())
        client.ready = client.hear(Ready)
        return client


class RemoteClient(Client):
    """A client whose frames go through the relay."""

    def __init__(self, served: Served, number: int) -> None:
        super().__init__(number, "operator", PSK)
        self._served = served
        self.stream = self  # type: ignore[assignment]

    def frame(self, payload: bytes) -> None:
        """Towards the agent."""
        self._served.relay.say_sealed(self._number, payload)
        if not self._channel:
            self._read(lambda: bool(self._frames))

    def until(self, condition: Callable[[Client], bool]) -> None:
        self._read(lambda: condition(self))

    def hear(self, kind: type[M]) -> M:
        self._read(lambda: any(isinstance(message, kind) for message in self._told))
        return super().hear(kind)

    def _read(self, condition: Callable[[], bool]) -> None:
        while not condition():
            frame = self._served.relay.hear_frame()
            message = RELAY_MESSAGES.decode(frame.payload) if frame.kind == FrameKind.CONTROL else None
            if isinstance(message, Heartbeat) or frame.stream != self._number:
                continue  # a stream that was closed may have had something on its way
            if isinstance(message, Closed):
                self.close_stream(frame.stream, message.code, message.reason)
            else:
                self.send_sealed(frame.stream, frame.payload)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.thread.start()
    yield served
    served.uplink.close("the test is over")
    served.end()
    served.machine.shells.close()


def test_a_welcome_is_passed_on_and_pings_are_answered(served: Served) -> None:
    served.relay.say(WELCOME)
    assert served.relay.hear(Heartbeat).sessions == (SESSION,)  # a relay that was restarted knows of none
    served.relay.all_answered()
    assert served.welcomes == [WELCOME]


def test_a_long_ping_is_answered_with_no_more_than_the_largest(served: Served) -> None:
    served.relay.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, bytes(1000)))
    assert served.relay.hear_frame() == Frame(FrameKind.PONG, CONNECTION_STREAM, bytes(64))


def test_streams_are_served_beside_each_other(served: Served) -> None:
    served.client(1)
    two = served.client(2)
    two.send(RecordKind.INPUT, 0, b"ls")
    assert served.machine.ptys[0].until_typed(2) == b"ls"
    served.relay.say(Closed(), 1)
    two.send(RecordKind.INPUT, 2, b"\n")
    assert served.machine.ptys[0].until_typed(3) == b"ls\n"  # so the other one is closed by now
    served.machine.ptys[0].print(b"README")
    assert two.until_shown(6) == b"README"


def test_frames_for_streams_that_are_not_there_are_nothing(served: Served) -> None:
    served.relay.say_sealed(7, b"late")
    served.relay.say(Closed(), 7)
    served.relay.connection.send(encode_frame(0x80, 7, b"from the future"))
    served.relay.connection.send(encode_frame(FrameKind.CONTROL, 7, b"\x81\xa2is\xa6Future"))
    served.relay.all_answered()


def test_a_bad_client_is_closed_and_the_connection_stays(served: Served) -> None:
    served.relay.say(OPEN, 1)
    served.relay.say_sealed(1, b"garbage")
    assert "could not prove" in served.relay.hear_closed("seal-refused", 1)
    served.relay.say_sealed(1, b"more of it")
    client = served.client(2)
    client.send(RecordKind.INPUT, 0, b"ls")
    assert served.machine.ptys[0].until_typed(2) == b"ls"


def test_too_many_streams_are_refused_one_by_one(served: Served) -> None:
    for number in range(1, STREAMS_PER_CONNECTION_MAX + 1):
        served.relay.say(OPEN, number)
    served.relay.say(OPEN, STREAMS_PER_CONNECTION_MAX + 1)
    served.relay.hear_closed("session-refused", STREAMS_PER_CONNECTION_MAX + 1)
    served.relay.say(Closed(), 1)
    served.relay.say(OPEN, STREAMS_PER_CONNECTION_MAX + 2)
    served.relay.all_answered()


def test_a_key_that_leaked_does_not_have_all_streams_of_a_machine(served: Served) -> None:
    of_one, of_another = replaced(OPEN, key_id="6a" * 6), replaced(OPEN, key_id="6b" * 6)
    for number in range(1, STREAMS_PER_KEY_MAX + 1):
        served.relay.say(of_one, number)
    served.relay.say(of_one, STREAMS_PER_KEY_MAX + 1)
    served.relay.hear_closed("session-refused", STREAMS_PER_KEY_MAX + 1)
    served.relay.say(of_another, STREAMS_PER_KEY_MAX + 2)
    served.relay.say(Closed(), 1)
    served.relay.say(of_one, STREAMS_PER_KEY_MAX + 3)
    served.relay.all_answered()


@pytest.mark.parametrize("number", [0, 1])
def test_a_stream_that_cannot_be_opened_ends_the_connection(served: Served, number: int) -> None:
    served.relay.say(OPEN, 1)
    served.relay.say(OPEN, number)
    assert isinstance(served.end(), RemoteProtocolError)


@pytest.mark.parametrize(
    "message",
    [b"", b"\x01", b"\x7f" + bytes(4), b"\x02" + bytes(70_000), encode_frame(FrameKind.CONTROL, 0, b"\xc1")],
    ids=["nothing", "a byte", "an unknown kind", "too long", "no message"],
)
def test_what_is_no_frame_ends_the_connection(served: Served, message: bytes) -> None:
    client = served.client(1)
    served.relay.connection.send(message)
    assert isinstance(served.end(), RemoteProtocolError)
    assert served.machine.shells.summaries()[0].clients == 0
    assert client.closings == []


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5), st.integers(0, 4))
def test_no_bytes_of_a_relay_end_the_agent(messages: list[bytes], kind: int) -> None:
    """Whatever comes, `serve` says why it ended, or goes on."""
    served = Served()
    served.thread.start()
    try:
        for message in messages:
            served.relay.connection.send(message)
            served.relay.connection.send(bytes([kind]) + bytes(4) + message)
    except CmdopError:
        pass
    served.relay.connection.close()
    assert isinstance(served.end(), CmdopError)
    served.machine.shells.close()


@pytest.mark.parametrize("code", ["", "key-refused", "not-enrolled", "relay-stopping", "timed-out", "usage", "?"])
def test_the_relay_s_last_word_is_the_reason_for_the_end(served: Served, code: str) -> None:
    served.relay.say(Closed(code, ""))
    end = served.end()
    assert end.sentence
    assert end.code in (code, "connection-closed")


def test_a_message_that_agents_have_no_use_for_is_nothing(served: Served) -> None:
    served.relay.say(ListMachines())
    served.relay.all_answered()


# -- output that the connection does not take -------------------------------------------------------


def test_bulk_output_waits_for_the_connection_and_goes_on_when_it_has_drained(served: Served) -> None:
    client = served.client(1)
    served.connection.backlog = UPLINK_LOW_WATER_BYTES + 1
    served.machine.ptys[0].print(b"later")
    served.machine.ptys[0].until_idle(reading=True)
    client.send(RecordKind.INPUT, 0, b"x")  # what is typed does not wait
    served.machine.ptys[0].until_typed(1)
    served.connection.drain()
    assert client.until_shown(5) == b"later"


def test_the_last_words_of_a_session_go_on_when_the_connection_has_drained(served: Served) -> None:
    """The session is no longer in the table by then."""
    client = served.client(1)
    served.connection.backlog = UPLINK_LOW_WATER_BYTES + 1
    served.machine.ptys[0].print(b"last words")
    served.machine.ptys[0].exit(3)
    served.machine.ptys[0].until(lambda pty: pty.closed)
    served.connection.drain()
    assert client.until_shown(10) == b"last words"
    assert client.hear(Ended) == Ended(3, 0, 10)


# -- liveness -------------------------------------------------------------------------------------


def test_a_change_is_told_at_once(served: Served) -> None:
    served.uplink.changed()
    assert served.relay.hear(Heartbeat).sessions == (SESSION,)


def test_a_heartbeat_names_no_more_sessions_than_there_is_room_for(served: Served) -> None:
    served.sessions = (SESSION,) * 64
    served.uplink.changed()
    assert len(served.relay.hear(Heartbeat).sessions) == 16


def test_every_change_is_told_after_it_was_made(served: Served) -> None:
    """However changes and heartbeats fall: the last heartbeat shows the last change."""
    for number in range(300):
        served.sessions = (SessionSummary("0" * 16, "anna", number),)
        served.uplink.changed()
        while served.relay.hear(Heartbeat).sessions[0].clients < number:
            pass


def test_heartbeats_come_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "HEARTBEAT_INTERVAL_SECONDS", 0.01)
    served = Served()
    served.thread.start()
    for _ in range(3):
        served.relay.hear(Heartbeat)
    served.uplink.close("")
    served.end()
    served.machine.shells.close()


def test_heartbeats_come_as_often_as_the_relay_wants_them(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "HEARTBEAT_INTERVAL_MIN_SECONDS", 0.02)
    began = time.monotonic()
    served.relay.say(replaced(WELCOME, heartbeat_interval_seconds=0.0))
    for _ in range(4):  # the first because of the Welcome
        served.relay.hear(Heartbeat)
    assert 3 * 0.02 <= time.monotonic() - began < HEARTBEAT_INTERVAL_SECONDS


def test_a_relay_that_says_nothing_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "PING_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(uplink_module, "LINK_DEAD_SECONDS", 0.2)
    served = Served()
    served.thread.start()
    frame = decode_frame(served.relay.connection.receive())
    assert frame.kind == FrameKind.PING
    assert served.end().code == "connection-closed"
    served.machine.shells.close()


def test_a_flood_does_not_keep_the_agent_from_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "PING_INTERVAL_SECONDS", 0.02)
    served, over = Served(), threading.Event()

    def flood() -> None:
        while not over.is_set():
            served.relay.say_sealed(1, b"for a stream that is not there")

    flooding = threading.Thread(target=flood, name="test flood", daemon=True)
    flooding.start()
    served.thread.start()
    frame = decode_frame(served.relay.connection.receive())
    over.set()
    flooding.join(TIMEOUT_SECONDS)
    assert frame.kind == FrameKind.PING
    served.uplink.close("the test is over")
    served.end()
    served.machine.shells.close()


# -- the end --------------------------------------------------------------------------------------


def test_the_end_of_the_connection_detaches_everybody_and_ends_no_session(served: Served) -> None:
    served.client(1)
    served.client(2)
    served.relay.connection.close("the network is gone")
    assert served.end().details["reason"] == "the network is gone"
    assert [session.clients for session in served.machine.shells.summaries()] == [0]
    assert not served.machine.ptys[0].closed


def test_a_clean_stop_says_goodbye(served: Served) -> None:
    served.uplink.close("stopping", goodbye=True)
    served.uplink.close("again", goodbye=True)
    assert isinstance(served.relay.hear(Goodbye), Goodbye)
    assert served.relay.hear_end() == "stopping"
    served.end()


def test_after_the_end_everything_is_quiet(served: Served) -> None:
    served.uplink.close("")
    served.end()
    served.uplink.changed()
    served.uplink.send_sealed(1, b"x")
    served.uplink.close_stream(1)
    served.uplink.close("")
