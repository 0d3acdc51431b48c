"""From a name to a session: each step told as it happens, and nothing left open when one fails."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmdop.auth.credentials import Credential
from cmdop.auth.fingerprint import fingerprint
from cmdop.auth.keys import ApiKey, Role
from cmdop.auth.known_machines import FirstSight, KnownMachines, MachineKeys, Sighting, all_known
from cmdop.client import connect as connect_module
from cmdop.client.connect import Joined, Place, TerminalAbout, Wanted, join_session, reach_relay, resume_session
from cmdop.client.run import collect
from cmdop.client.stream import MachineStream
from cmdop.errors import (
    AmbiguousMachine,
    CmdopError,
    KeyRefused,
    MachineChanged,
    MachineOffline,
    MachineUnknown,
    NoSuchMachine,
    RelayUnreachable,
    RemoteProtocolError,
    RoleTooLow,
    SealRefused,
    SessionGone,
    TakenOver,
)
from cmdop.home import Home
from cmdop.limits import WINDOW_MIN_BYTES
from cmdop.relay import admin
from cmdop.store.sqlite import SqliteStore
from cmdop.transport.memory import MemoryConnection
from cmdop.winsize import Winsize
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind
from cmdop.wire.relay_messages import MachineRecord
from cmdop.wire.session_messages import AuthSuccess, Detached, Ended, Ready, Refused, Register
from tests.client.far_end import READY, WELCOME_IN, FarEnd
from tests.client.trusting import Trusting
from tests.network import SERVER, Network, RunningAgent, wire_up

ABOUT = TerminalAbout(Winsize(24, 80), "xterm-256color", "truecolor", "C.UTF-8")


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def first_sight(self, sight: FirstSight) -> None:
        self.steps.append(f"first sight of {sight.name}: {sight.fingerprint}")

    @contextmanager
    def step(self, name: str) -> Iterator[Told.Line]:
        line = Told.Line()
        try:
            yield line
        except CmdopError as error:
            self.steps.append(f"{name} failed: {error.code}")
            raise
        self.steps.append(f"{name} ok ({line.detail})" if line.detail else f"{name} ok")

    class Line:
        def __init__(self) -> None:
            self.detail = ""
            self.fields: dict[str, object] = {}


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    # The relay's clock is the test's; the client compares with it.
    network.rig.unix_now.now = time.time()
    yield network
    network.close()
    store.close()


@pytest.fixture
def agent(network: Network, home: Home) -> Iterator[RunningAgent]:
    agent = RunningAgent(home, network.rig.key(Role.AGENT))
    agent.until_online()
    yield agent
    agent.stop()


@pytest.fixture
def told() -> Told:
    return Told()


def credential(network: Network, role: Role = Role.OPERATOR) -> Credential:
    return Credential(network.rig.key(role), SERVER, "home")


def join(network: Network, told: Told, host: str = "prod", role: Role = Role.OPERATOR, **wanted: object) -> Joined:
    return join_session(credential(network, role), b"d" * 32, Trusting(), Wanted(host, ABOUT, **wanted), told)  # type: ignore[arg-type]


def nothing_is_open(network: Network) -> None:
    last = network.connections[-1]
    assert isinstance(last, MemoryConnection)
    assert last._ended


# -- a session ------------------------------------------------------------------------------------


def test_each_step_is_told_as_it_happens(network: Network, agent: RunningAgent, told: Told) -> None:
    joined = join(network, told)
    machine_id = agent.service.status()["machine_id"]
    assert told.steps == [
        f"resolving prod ok (id {machine_id[:4]}..., online 0s)",
        "dialing relay ok",
        f"auth ok (session {joined.ready.session_id[:8]})",
    ]
    assert joined.machine.machine_id == machine_id
    assert joined.ready.created
    assert len(network.connections) == 2  # the agent's and ours: the name was resolved over the same one
    joined.stream.connection.close()


def test_the_same_session_is_joined_unless_a_new_one_is_wanted(
    network: Network, agent: RunningAgent, told: Told
) -> None:
    first, second, new = join(network, told), join(network, told), join(network, told, new=True)
    assert first.ready.session_id == second.ready.session_id != new.ready.session_id
    named = join(network, told, session=first.ready.session_id[:8])
    assert named.ready.session_id == first.ready.session_id
    for joined in (first, second, new, named):
        joined.stream.connection.close()


def test_read_only_is_enforced_by_the_machine(network: Network, agent: RunningAgent, told: Told) -> None:
    operator = join(network, told)
    joined = join(network, told, read_only=True)
    joined.stream.send_record(RecordKind.INPUT, 0, b"x")
    with pytest.raises(RoleTooLow):
        collect(joined)
    operator.stream.connection.close()


# -- what goes wrong, step by step ----------------------------------------------------------------


def test_a_relay_that_is_down_is_said_at_the_first_step(network: Network, told: Told) -> None:
    network.down = True
    with pytest.raises(RelayUnreachable):
        join(network, told)
    assert told.steps == ["resolving prod failed: relay-unreachable"]


def test_a_key_that_is_refused_is_said_at_the_first_step(network: Network, told: Told) -> None:
    key = network.rig.key(Role.OPERATOR)
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    with pytest.raises(KeyRefused):
        join_session(Credential(key, SERVER, "home"), b"d" * 32, Trusting(), Wanted("prod", ABOUT), told)
    assert told.steps == ["resolving prod failed: key-refused"]


@pytest.mark.parametrize(
    ("host", "kind"), [("nowhere", NoSuchMachine), ("8f23a4b0-0000-4000-8000-00000000ffff", NoSuchMachine)]
)
def test_a_name_that_means_nothing_is_said_and_nothing_stays_open(
    network: Network, agent: RunningAgent, told: Told, host: str, kind: type[CmdopError]
) -> None:
    with pytest.raises(kind):
        join(network, told, host)
    nothing_is_open(network)
    assert told.steps == [f"resolving {host} failed: no-such-machine"]


def test_a_name_that_means_two_is_said_and_nothing_stays_open(network: Network, told: Told) -> None:
    network.rig.agent("8f23a4b0-0000-4000-8000-000000000001")
    network.rig.agent("8f23a4b0-0000-4000-8000-000000000002")
    with pytest.raises(AmbiguousMachine):
        join(network, told, "pro")
    nothing_is_open(network)


def test_a_machine_that_is_offline_is_said_and_nothing_stays_open(
    network: Network, agent: RunningAgent, told: Told
) -> None:
    agent.stop()
    with pytest.raises(MachineOffline):
        join(network, told)
    nothing_is_open(network)


def test_an_agent_s_key_does_not_attach(network: Network, agent: RunningAgent, told: Told) -> None:
    with pytest.raises(RoleTooLow):
        join(network, told, role=Role.AGENT)
    nothing_is_open(network)


def test_a_machine_of_another_secret_is_found_out_and_nothing_stays_open(
    network: Network, agent: RunningAgent, told: Told
) -> None:
    """A key whose relay half is right and whose private half is another workspace's."""
    right = network.rig.key(Role.OPERATOR)
    key = ApiKey(right.role, right.key_id, right.relay_half, bytes(32))
    with pytest.raises(SealRefused):
        join_session(Credential(key, SERVER, "home"), b"d" * 32, Trusting(), Wanted("prod", ABOUT), told)
    nothing_is_open(network)


def test_a_session_that_is_gone_is_said_at_the_last_step(network: Network, agent: RunningAgent, told: Told) -> None:
    with pytest.raises(SessionGone, match="session 0123 is gone"):
        join(network, told, session="0123")
    assert told.steps[-1] == "auth failed: session-gone"
    nothing_is_open(network)


# -- which machine it is --------------------------------------------------------------------------


def known(home: Home, policy: MachineKeys = MachineKeys.ACCEPT_NEW) -> KnownMachines:
    machines = KnownMachines(home, SERVER, "home", policy)
    machines.load()
    return machines


def test_the_first_sight_is_told_before_anything_is_asked_and_only_once(
    network: Network, agent: RunningAgent, told: Told, home: Home
) -> None:
    for _ in range(2):
        asked = Wanted("prod", ABOUT)
        joined = join_session(credential(network), b"d" * 32, known(home), asked, told)
        joined.stream.connection.close()
    shown = fingerprint(joined.stream.about.machine_static)
    assert [step.partition(" ok")[0] for step in told.steps] == [
        "resolving prod",
        "dialing relay",
        f"first sight of prod: {shown}",
        "auth",
        "resolving prod",
        "dialing relay",
        "auth",
    ]
    (kept,) = all_known(home)
    assert kept.key == joined.stream.about.machine_static


def test_a_machine_whose_key_has_changed_ends_the_dialling(
    network: Network, agent: RunningAgent, told: Told, home: Home
) -> None:
    machine_id = agent.service.status()["machine_id"]
    known(home).proven(Sighting(machine_id, "prod", b"x" * 32))
    with pytest.raises(MachineChanged):
        join_session(credential(network), b"d" * 32, known(home), Wanted("prod", ABOUT), told)
    assert told.steps[-1] == "dialing relay failed: machine-changed"
    nothing_is_open(network)
    assert agent.service.status()["sessions"] == []
    assert [kept.key for kept in all_known(home)] == [b"x" * 32]


def test_strict_lets_in_no_machine_that_is_new(network: Network, agent: RunningAgent, told: Told, home: Home) -> None:
    strict = known(home, MachineKeys.STRICT)
    with pytest.raises(MachineUnknown):
        join_session(credential(network), b"d" * 32, strict, Wanted("prod", ABOUT), told)
    assert all_known(home) == []


def test_who_comes_back_wants_the_machine_of_before_whatever_is_known_by_now(
    network: Network, agent: RunningAgent, told: Told
) -> None:
    before = join(network, told)
    about = dataclasses.replace(before.stream.about, machine_static=b"x" * 32)
    before.stream.about = about
    with pytest.raises(MachineChanged) as caught:
        resume_session(credential(network), b"d" * 32, Wanted("prod", ABOUT), before, PLACE)
    assert "since this attach began" in caught.value.sentence
    nothing_is_open(network)
    before.stream.connection.close()


# -- what the machine may answer ------------------------------------------------------------------


class ShortLink:
    """A link whose stream goes straight to a machine that the test plays."""

    server = SERVER

    def __init__(self, far: FarEnd) -> None:
        self.far = far
        self.closed = False

    def open(self, *_: object) -> MachineStream:
        return self.far.stream

    def machines(self) -> tuple[object, ...]:
        return (MACHINE,)

    def close(self) -> None:
        self.closed = True


MACHINE = MachineRecord("8f23a4b0-0000-4000-8000-000000000001", "prod-api-1", "prod", True, 3.0, 0.0)


@pytest.fixture
def short(network: Network, monkeypatch: pytest.MonkeyPatch) -> ShortLink:
    link = ShortLink(FarEnd())
    monkeypatch.setattr(connect_module, "reach_relay", lambda *_, **__: link)
    return link


def test_what_is_asked_for_is_in_the_first_message(network: Network, short: ShortLink, told: Told) -> None:
    short.far.say(WELCOME_IN)
    short.far.say(READY)
    joined = join(network, told, new=True, read_only=True, command=("ls", "-l"), client_id="a" * 16)
    assert joined.ready == READY
    (asked,) = short.far.until_said(Register)
    assert (asked.client_id, asked.rows, asked.cols) == ("a" * 16, 24, 80)
    assert (asked.term, asked.colorterm, asked.locale) == ("xterm-256color", "truecolor", "C.UTF-8")
    assert (asked.new, asked.read_only, asked.command) == (True, True, ("ls", "-l"))
    assert asked.window_bytes == WINDOW_MIN_BYTES
    assert not short.closed


def test_the_token_is_kept_and_never_shown(network: Network, short: ShortLink, told: Told) -> None:
    short.far.say(AuthSuccess("a secret", 60.0))
    short.far.say(READY)
    joined = join(network, told)
    assert joined.token == "a secret"
    assert "a secret" not in repr(joined)


PLACE = Place(5000, 300, 1000, True, False, Winsize(50, 100))


def come_back(network: Network, before: Joined, place: Place = PLACE, **wanted: object) -> Joined:
    asked = Wanted("prod", ABOUT, client_id="a" * 16, **wanted)  # type: ignore[arg-type]
    return resume_session(credential(network), b"d" * 32, asked, before, place)


def test_who_comes_back_says_where_it_was_and_joins_nothing_else(network: Network, short: ShortLink) -> None:
    short.far.say(AuthSuccess("token 2", 60.0))
    short.far.say(READY)
    before = Joined(short.far.stream, READY, MACHINE, "token 1")
    joined = come_back(network, before, new=True, takeover=True, command=("ls",), session="abcd", read_only=True)
    assert (joined.ready, joined.token, joined.machine) == (READY, "token 2", MACHINE)
    (asked,) = short.far.until_said(Register)
    assert (asked.resume, asked.redraw, asked.session, asked.session_token) == (True, True, READY.session_id, "token 1")
    assert (asked.output_offset, asked.input_offset, asked.window_bytes) == (5000, 300, 1000)
    assert (asked.client_id, asked.rows, asked.cols, asked.read_only) == ("a" * 16, 50, 100, True)
    assert (asked.new, asked.takeover, asked.command) == (False, False, ())


@pytest.mark.parametrize(
    ("wanted", "history", "replay"),
    [("all", True, "all"), ("all", False, "screen"), ("screen", True, "screen"), ("none", True, "screen")],
)
def test_the_scrollback_is_asked_for_again_only_by_who_wanted_it_and_never_had_it(
    network: Network, short: ShortLink, wanted: str, history: bool, replay: str
) -> None:
    short.far.say(READY)
    place = dataclasses.replace(PLACE, history=history)
    come_back(network, Joined(short.far.stream, READY, MACHINE), place, replay=wanted)
    (asked,) = short.far.until_said(Register)
    assert asked.replay == replay


def test_a_machine_that_gives_no_new_token_is_shown_the_old_one_again(network: Network, short: ShortLink) -> None:
    short.far.say(READY)
    assert come_back(network, Joined(short.far.stream, READY, MACHINE, "token 1")).token == "token 1"


def test_another_session_than_the_one_that_was_left_breaks_the_protocol(network: Network, short: ShortLink) -> None:
    short.far.say(Ready("0" * 16, 0, 0))
    with pytest.raises(RemoteProtocolError, match="another session"):
        come_back(network, Joined(short.far.stream, READY, MACHINE))
    assert short.closed


def test_who_comes_back_too_late_is_told_what_was_running(network: Network, short: ShortLink) -> None:
    short.far.say(Refused("session-gone", "session abcd1234 is gone; it was running make"))
    with pytest.raises(SessionGone, match="it was running make"):
        come_back(network, Joined(short.far.stream, READY, MACHINE))
    assert short.closed


def test_who_is_sent_away_at_the_door_is_told_by_whom(network: Network, short: ShortLink) -> None:
    short.far.say(Detached("taken-over", "bert"))
    with pytest.raises(TakenOver, match="bert took the session over"):
        come_back(network, Joined(short.far.stream, READY, MACHINE))
    assert short.closed


def test_every_client_has_an_id_of_its_own() -> None:
    assert Wanted("a", ABOUT).client_id != Wanted("a", ABOUT).client_id


def test_what_a_newer_machine_says_before_ready_is_ignored(network: Network, short: ShortLink, told: Told) -> None:
    short.far.say(WELCOME_IN)
    short.far.send(RecordKind.CONTROL, 0, b"\x81\xa2is\xa6Future")
    short.far.send(0x80, 0, b"")
    short.far.say(READY)
    assert join(network, told).ready == READY


@pytest.mark.parametrize("message", [Ended(0), Register(1, "x", "0" * 16, 1, 1)])
def test_what_no_machine_says_before_ready_breaks_the_protocol(
    network: Network, short: ShortLink, told: Told, message: Message
) -> None:
    short.far.say(message)
    with pytest.raises(RemoteProtocolError, match="instead of Ready"):
        join(network, told)
    assert short.closed


def test_a_refusal_is_raised_in_the_machine_s_words(network: Network, short: ShortLink, told: Told) -> None:
    short.far.say(Refused("session-refused", "it has 64 sessions already\x07"))
    with pytest.raises(CmdopError) as caught:
        join(network, told)
    assert (caught.value.code, caught.value.sentence) == ("session-refused", "it has 64 sessions already ")
    assert short.closed


def test_a_machine_that_hangs_up_during_the_auth_is_said_so(network: Network, short: ShortLink, told: Told) -> None:
    short.far.close_stream("machine-offline", "its connection broke off")
    with pytest.raises(MachineOffline):
        join(network, told)
    assert told.steps[-1] == "auth failed: machine-offline"


def test_the_relay_is_reached_with_the_key_s_relay_half_only(network: Network) -> None:
    where = credential(network)
    link = reach_relay(where)
    assert link.welcome.workspace == "home"
    assert link.machines() == ()
    dialled = network.dialled[-1]
    assert where.key.secret.hex() not in dialled.credential
    assert dialled.key_label == where.key.masked
    link.close()
