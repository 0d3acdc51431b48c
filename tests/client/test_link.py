"""The client's connection to its relay: welcome, machines, a sealed stream, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from cmdop.auth.keys import ApiKey, Role, new_workspace_key
from cmdop.auth.known_machines import Sighting
from cmdop.client import link as link_module
from cmdop.client.link import RelayLink, connect_relay
from cmdop.client.stream import MachineStream
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    KeyRefused,
    MachineChanged,
    MachineOffline,
    RemoteProtocolError,
    RoleTooLow,
    SealRefused,
    TimedOut,
    VersionMismatch,
)
from cmdop.seal.noise import Channel, Handshake, prologue, public_key
from cmdop.transport.address import WANT_HEADER, WANT_MACHINES, parse_server
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import memory_pair
from cmdop.transport.way import Way
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.record import Record, RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import (
    Closed,
    Denied,
    Hello,
    Keys,
    ListKeys,
    ListMachines,
    MachineRecord,
    Machines,
    Open,
    Welcome,
)
from cmdop.wire.session_messages import SESSION_MESSAGES, Detach
from tests.client.trusting import Trusting
from tests.relay.talker import MACHINE_ID, TIMEOUT_SECONDS, Talker

T = TypeVar("T")
SERVER = "ws://relay"
MACHINE = MachineRecord(MACHINE_ID, "prod-api-1", "prod", True, 3.0, 0.0)
KEY = new_workspace_key()
STATIC = b"c" * 32
MACHINE_STATIC = b"m" * 32


def welcome(version: int = 1, machines: tuple[MachineRecord, ...] | None = None) -> Welcome:
    return Welcome(version, "test", "home", "anna", "operator", machines=machines)


class Waiting:
    """Something that blocks, on a thread of its own, while the test plays the relay."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._result: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            self._result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def result(self) -> object:
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._result


@pytest.fixture
def ends() -> tuple[Connection, Talker]:
    """The client's end, and the relay at the other."""
    ours, theirs = memory_pair()
    return ours, Talker(theirs)


def linked(ends: tuple[Connection, Talker], machines: tuple[MachineRecord, ...] | None = (MACHINE,)) -> RelayLink:
    ours, relay = ends
    relay.say(welcome(machines=machines))
    link = RelayLink(ours, SERVER)
    hello = relay.hear(Hello)
    assert (hello.version, hello.role, hello.machine) == (1, "client", None)
    return link


# -- the relay ------------------------------------------------------------------------------------


def test_the_machines_that_came_with_the_welcome_are_not_asked_for_again(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends)
    assert link.machines() == (MACHINE,)
    assert link.welcome.workspace == "home"
    link.close()
    assert ends[1].hear_end() == "the other end closed it"


def test_machines_are_asked_for_where_the_welcome_had_none(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends, machines=None)
    asked = Waiting(link.machines)
    ends[1].hear(ListMachines)
    ends[1].say(Closed("usage", "another stream's"), 5)
    ends[1].connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, b""))
    ends[1].say(Machines((MACHINE, MACHINE)))
    assert asked.result() == (MACHINE, MACHINE)


def test_the_way_to_the_relay_and_back_is_measured_whatever_else_it_says(ends: tuple[Connection, Talker]) -> None:
    link, relay = linked(ends), ends[1]
    measured = Waiting(lambda: link.round_trip_seconds(b"1"))
    assert decode_frame(relay.connection.receive()) == Frame(FrameKind.PING, CONNECTION_STREAM, b"1")
    relay.say(Machines(()))
    relay.connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, b"another one"))
    relay.connection.send(encode_frame(FrameKind.PONG, CONNECTION_STREAM, b"1"))
    assert 0 <= measured.result() < TIMEOUT_SECONDS


def test_a_relay_that_answers_no_ping_is_not_waited_for_for_ever(
    ends: tuple[Connection, Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "LINK_DEAD_SECONDS", 0.05)
    with pytest.raises(TimedOut, match="the relay ws://relay did not answer"):
        linked(ends).round_trip_seconds(b"1")


def test_another_version_is_said_and_the_connection_closed(ends: tuple[Connection, Talker]) -> None:
    ends[1].say(welcome(version=2))
    with pytest.raises(VersionMismatch, match="the relay ws://relay speaks cmdop protocol 2"):
        RelayLink(ends[0], SERVER)
    ends[1].hear(Hello)
    ends[1].hear_end()


@pytest.mark.parametrize("code", ["key-refused", "version-mismatch", "relay-stopping", "", "timed-out"])
def test_what_the_relay_says_instead_of_a_welcome_is_raised(ends: tuple[Connection, Talker], code: str) -> None:
    ends[1].say(Closed(code, "said \x1b[31mso"))
    with pytest.raises(CmdopError) as caught:
        RelayLink(ends[0], SERVER)
    assert "said  [31mso" in caught.value.sentence


@pytest.mark.parametrize("message", [b"", b"\x7f" + bytes(4), encode_frame(FrameKind.CONTROL, 0, b"\xc1")])
def test_a_relay_that_talks_nonsense_is_said_so(ends: tuple[Connection, Talker], message: bytes) -> None:
    ends[1].connection.send(message)
    with pytest.raises(RemoteProtocolError):
        RelayLink(ends[0], SERVER)


@pytest.mark.parametrize("round_number", range(20))
def test_a_relay_that_says_nothing_is_given_up(
    ends: tuple[Connection, Talker], monkeypatch: pytest.MonkeyPatch, round_number: int
) -> None:
    """And it is always the time that is named, though the closing is what wakes us."""
    monkeypatch.setattr(link_module, "HELLO_TIMEOUT_SECONDS", 0.005)
    with pytest.raises(TimedOut, match=r"the relay ws://relay did not answer within 0\.005 s"):
        RelayLink(ends[0], SERVER)


def test_a_relay_that_hangs_up_is_not_taken_for_a_slow_one(ends: tuple[Connection, Talker]) -> None:
    ends[1].connection.close("too busy")
    with pytest.raises(ConnectionClosed, match=r"closed: (too busy|it is closed)"):
        RelayLink(ends[0], SERVER)


# -- dialling -------------------------------------------------------------------------------------


def test_the_machines_are_wanted_with_the_upgrade_only_where_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialled: list[Dialling] = []

    def dial(to: Dialling) -> Connection:
        dialled.append(to)
        ours, theirs = memory_pair()
        Talker(theirs).say(welcome())
        return ours

    monkeypatch.setattr(link_module, "dial", dial)
    to = Dialling(parse_server("ws://127.0.0.1:1"), "credential", "ck_label", {"X": "y"}, Way(insecure=True))
    connect_relay(to, want_machines=False)
    connect_relay(to, want_machines=True)
    assert dialled[0] == to
    assert dialled[1].headers == {"X": "y", WANT_HEADER: WANT_MACHINES}
    assert (dialled[1].credential, dialled[1].key_label, dialled[1].way) == ("credential", "ck_label", to.way)


def test_a_connection_that_comes_to_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = memory_pair()
    Talker(theirs).say(Closed("key-refused", "revoked"))
    monkeypatch.setattr(link_module, "dial", lambda _: ours)
    with pytest.raises(KeyRefused):
        connect_relay(Dialling(parse_server("ws://127.0.0.1:1"), "x"), want_machines=False)
    assert decode_frame(theirs.receive()).kind == FrameKind.CONTROL
    with pytest.raises(ConnectionClosed):
        theirs.receive()


# -- a stream -------------------------------------------------------------------------------------


class Machine:
    """The machine's half of a stream, behind the relay that the test plays."""

    def __init__(self, relay: Talker, role: Role = Role.OPERATOR, key: ApiKey = KEY) -> None:
        self.relay = relay
        psk = key.machine_psk(role, MACHINE_ID)
        self._handshake = Handshake(False, MACHINE_STATIC, psk, prologue(MACHINE_ID, role.value), "the client")
        self.channel: Channel

    def answer(self) -> int:
        """The first two messages of the handshake; the stream's number."""
        stream, first = self.relay.hear_sealed()
        self._handshake.read(first)
        self.relay.say_sealed(stream, self._handshake.write())
        return stream

    def finish(self) -> bytes:
        self._handshake.read(self.relay.hear_sealed()[1])
        self.channel = self._handshake.channel()
        return self._handshake.remote_static

    def hear(self) -> Record:
        return decode_record(self.channel.open(self.relay.hear_sealed()[1]))


def opened(
    ends: tuple[Connection, Talker], key: ApiKey = KEY, role: Role = Role.OPERATOR
) -> tuple[MachineStream, Machine]:
    link = linked(ends)
    waiting = Waiting(lambda: link.open(MACHINE, role, key, STATIC, Trusting()))
    assert ends[1].hear(Open, stream=1) == Open(MACHINE_ID, role.value)
    machine = Machine(ends[1], role)
    assert machine.answer() == 1
    stream = waiting.result()
    assert isinstance(stream, MachineStream)
    assert machine.finish() == public_key(STATIC)
    return stream, machine


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
def test_a_stream_is_sealed_for_the_role_and_knows_the_machine(ends: tuple[Connection, Talker], role: Role) -> None:
    stream, machine = opened(ends, role=role)
    assert stream.about.machine_static == public_key(MACHINE_STATIC)
    assert (stream.about.stream_id, stream.about.host) == (1, "prod")
    assert stream.about.round_trip_seconds >= 0
    stream.send_record(RecordKind.INPUT, 5, b"ls")
    stream.send_control(Detach())
    assert machine.hear() == Record(RecordKind.INPUT, 5, b"ls")
    assert SESSION_MESSAGES.decode(machine.hear().payload) == Detach()


def test_each_stream_has_a_number_of_its_own(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends)
    for number in (1, 2):
        waiting = Waiting(lambda: link.open(MACHINE, Role.OPERATOR, KEY, STATIC, Trusting()))
        ends[1].hear(Open, stream=number)
        ends[1].hear_sealed()
        ends[1].say(Closed("machine-offline", "last heard 3 s ago"), number)
        with pytest.raises(MachineOffline) as caught:
            waiting.result()
        assert caught.value.sentence == 'machine "prod" is offline'
        assert caught.value.next_step.startswith("last heard 3 s ago;")


class Wary(Trusting):
    """Lets nobody in."""

    def check(self, seen: Sighting) -> None:
        raise MachineChanged(name=seen.name)


def test_a_machine_that_is_not_let_in_is_told_nothing_of_ours(ends: tuple[Connection, Talker]) -> None:
    """Not the third message of the handshake, which has our static key and proves what we hold."""
    link = linked(ends)
    wary = Wary()
    waiting = Waiting(lambda: link.open(MACHINE, Role.OPERATOR, KEY, STATIC, wary))
    ends[1].hear(Open, stream=1)
    Machine(ends[1]).answer()
    with pytest.raises(MachineChanged):
        waiting.result()
    assert ends[1].hear(Closed, stream=1) == Closed()
    assert wary.proven_machines == []


def test_a_machine_is_kept_once_it_has_proved_that_it_holds_the_keys(ends: tuple[Connection, Talker]) -> None:
    """Its second message only proves that the key is its own: anybody may have sent that."""
    link = linked(ends)
    trusting = Trusting()
    waiting = Waiting(lambda: link.open(MACHINE, Role.OPERATOR, KEY, STATIC, trusting))
    ends[1].hear(Open, stream=1)
    machine = Machine(ends[1])
    machine.answer()
    stream = waiting.result()
    assert isinstance(stream, MachineStream)
    machine.finish()
    assert trusting.proven_machines == []
    for _ in range(2):
        ends[1].say_sealed(1, machine.channel.seal(encode_record(RecordKind.ACK, 0, b"")))
        stream.receive()
    assert trusting.proven_machines == [Sighting(MACHINE_ID, "prod", public_key(MACHINE_STATIC))]


def test_somebody_without_the_keys_is_never_kept(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends)
    trusting = Trusting()
    waiting = Waiting(lambda: link.open(MACHINE, Role.OPERATOR, KEY, STATIC, trusting))
    ends[1].hear(Open, stream=1)
    stranger = Machine(ends[1], key=new_workspace_key())
    stranger.answer()  # it comes as far as that
    stream = waiting.result()
    assert isinstance(stream, MachineStream)
    with pytest.raises(SealRefused):
        stranger.finish()
    ends[1].say_sealed(1, bytes(64))
    with pytest.raises(SealRefused):
        stream.receive()
    assert trusting.proven_machines == []


def test_what_the_relay_denies_is_raised_and_the_link_goes_on(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends)
    waiting = Waiting(lambda: link.ask(ListKeys(), Keys))
    ends[1].hear(ListKeys)
    ends[1].say(Denied("role-too-low", "listing keys needs the role admin"))
    with pytest.raises(RoleTooLow, match="listing keys needs the role admin") as caught:
        waiting.result()
    assert "--role admin" in caught.value.next_step
    waiting = Waiting(lambda: link.ask(ListKeys(), Keys))
    ends[1].hear(ListKeys)
    ends[1].say(Keys(()))
    assert waiting.result() == Keys(())


def test_who_does_not_hold_the_workspace_s_keys_is_found_out(ends: tuple[Connection, Talker]) -> None:
    """By the machine at the third message; by the client if somebody else answers."""
    link = linked(ends)
    waiting = Waiting(lambda: link.open(MACHINE, Role.OPERATOR, KEY, STATIC, Trusting()))
    ends[1].hear(Open, stream=1)
    stream, _ = ends[1].hear_sealed()
    ends[1].say_sealed(stream, bytes(96))
    with pytest.raises(SealRefused, match="the machine prod"):
        waiting.result()


def test_a_key_without_the_role_opens_nothing(ends: tuple[Connection, Talker]) -> None:
    link = linked(ends)
    observer = ApiKey(Role.OBSERVER, KEY.key_id, KEY.relay_half, bytes(32))
    with pytest.raises(RoleTooLow):
        link.open(MACHINE, Role.OPERATOR, observer, STATIC, Trusting())


def test_a_machine_that_says_nothing_is_given_up(
    ends: tuple[Connection, Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "OPEN_TIMEOUT_SECONDS", 0.01)
    link = linked(ends)
    with pytest.raises(TimedOut, match="the machine prod"):
        link.open(MACHINE, Role.OPERATOR, KEY, STATIC, Trusting())


def test_records_are_received_and_pings_answered(ends: tuple[Connection, Talker]) -> None:
    stream, machine = opened(ends)
    relay = ends[1]
    relay.connection.send(encode_frame(FrameKind.PING, CONNECTION_STREAM, bytes(100)))
    relay.say_sealed(2, b"another stream's")
    relay.say(Closed("", "another stream's"), 2)
    relay.say_sealed(1, machine.channel.seal(encode_record(RecordKind.OUTPUT, 3, b"x")))
    assert [stream.receive() for _ in range(4)] == [None, None, None, Record(RecordKind.OUTPUT, 3, b"x")]
    assert relay.hear_frame() == Frame(FrameKind.PONG, CONNECTION_STREAM, bytes(64))
    stream.ping()
    assert decode_frame(relay.connection.receive()) == Frame(FrameKind.PING, CONNECTION_STREAM, b"")


def test_records_of_several_threads_leave_in_the_order_they_were_sealed(ends: tuple[Connection, Talker]) -> None:
    """Or else nothing behind the first one that is out of order would open."""
    stream, machine = opened(ends)
    threads = [
        threading.Thread(
            target=lambda number=number: [stream.send_record(RecordKind.INPUT, number, b"x") for _ in range(200)],
            daemon=True,
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    found = [machine.hear().offset for _ in range(800)]
    assert sorted(found) == sorted([*range(4)] * 200)
