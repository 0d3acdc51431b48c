"""The agent as a whole, on a real relay but for the network: enrols, serves, comes back, stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.agent import service as service_module
from cmdop.agent.identity import ENROLMENT_FILE, Enrolment
from cmdop.agent.machine import Machine
from cmdop.agent.options import AgentOptions
from cmdop.agent.service import AgentService
from cmdop.auth.credentials import Credential
from cmdop.auth.keys import ApiKey, Role
from cmdop.cli.progress import Silent
from cmdop.client.connect import Joined, Progress, TerminalAbout, Wanted, join_session
from cmdop.client.run import collect
from cmdop.errors import BadKey, CmdopError, KeyRefused, MachineOffline, NotEnrolled, RoleTooLow, VersionMismatch
from cmdop.home import Home
from cmdop.limits import LINK_HELD_SECONDS
from cmdop.relay import admin
from cmdop.store.sqlite import SqliteStore
from cmdop.transport.backoff import Backoff
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import memory_pair
from cmdop.winsize import Winsize
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, encode_frame
from cmdop.wire.record import RecordKind
from cmdop.wire.relay_messages import RELAY_MESSAGES, Open, Welcome
from tests.client.trusting import Trusting
from tests.network import SERVER, Network, RunningAgent, wire_up
from tests.relay.talker import TIMEOUT_SECONDS

QUIET: Progress = Silent()


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    yield network
    network.close()
    store.close()


@pytest.fixture
def key(network: Network) -> ApiKey:
    return network.rig.key(Role.AGENT)


@pytest.fixture
def agent(network: Network, home: Home, key: ApiKey) -> Iterator[RunningAgent]:
    """One that is enrolled and online."""
    agent = RunningAgent(home, key)
    agent.until_online()
    yield agent
    agent.stop()


def join(network: Network, role: Role = Role.OPERATOR, **wanted: object) -> Joined:
    """A client in a session on that machine."""
    credential = Credential(network.rig.key(role), SERVER, "home")
    about = TerminalAbout(Winsize(24, 80), "dumb")
    return join_session(credential, b"d" * 32, Trusting(), Wanted("prod", about, **wanted), QUIET)  # type: ignore[arg-type]


def type_line(joined: Joined, line: bytes) -> None:
    joined.stream.send_record(RecordKind.INPUT, 0, line)


# -- coming in ------------------------------------------------------------------------------------


def test_a_machine_is_enrolled_once_and_comes_back_with_its_own_token(
    network: Network, home: Home, key: ApiKey, agent: RunningAgent
) -> None:
    enrolment = Enrolment.load(home)
    assert enrolment is not None
    assert (enrolment.server, enrolment.workspace, enrolment.key_id) == (SERVER, "home", key.key_id)
    assert key.text.encode() not in b"".join(path.read_bytes() for path in home.path.iterdir())
    agent.stop()
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    again = RunningAgent(home)
    again.until_online()
    assert network.dialled[-1].credential.startswith("machine.")
    again.stop()


def test_the_status_tells_what_it_does(network: Network, home: Home, agent: RunningAgent) -> None:
    status = agent.service.status()
    assert (status["verdict"], status["reason"], status["hint"], status["name"]) == ("ONLINE", "", "", "prod")
    assert (status["workspace"], status["relay"], status["sessions"]) == ("home", SERVER, [])
    joined = join(network, new=True)
    assert [session["clients"] for session in agent.service.status()["sessions"]] == [1]
    joined.stream.connection.close()


def test_without_a_key_or_an_enrolment_it_says_how_to_enrol(network: Network, home: Home) -> None:
    error = RunningAgent(home).end()
    assert isinstance(error, NotEnrolled)
    assert network.dialled == []


def test_a_key_that_is_refused_at_first_ends_it(network: Network, home: Home, key: ApiKey) -> None:
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    error = RunningAgent(home, key).end()
    assert isinstance(error, KeyRefused)
    assert "it was revoked" in error.sentence
    assert len(network.dialled) == 1


def test_a_key_of_another_role_ends_it(network: Network, home: Home) -> None:
    error = RunningAgent(home, network.rig.key(Role.OPERATOR)).end()
    assert isinstance(error, RoleTooLow)
    assert Enrolment.load(home) is None


def test_a_key_that_is_none_is_said_before_anything_is_started(home: Home) -> None:
    with pytest.raises(BadKey):
        AgentService(home, AgentOptions("prod", SERVER, "ck_nonsense"))


def test_another_key_enrols_the_machine_anew(network: Network, home: Home, agent: RunningAgent) -> None:
    agent.stop()
    other = network.rig.key(Role.AGENT, "another")
    again = RunningAgent(home, other)
    again.until_online()
    enrolment = Enrolment.load(home)
    assert enrolment is not None
    assert enrolment.key_id == other.key_id
    again.stop()


def test_a_machine_that_was_removed_is_enrolled_anew_with_the_key_it_is_given(
    network: Network, home: Home, key: ApiKey, agent: RunningAgent
) -> None:
    """The same key as before: the token that it gave is worth nothing any more."""
    agent.stop()
    admin.remove_machine(network.rig.store, agent.service.status()["machine_id"])
    again = RunningAgent(home, key)
    again.until_online()
    again.stop()
    third = RunningAgent(home)
    third.until_online()
    third.stop()


def test_a_machine_that_was_removed_and_gets_no_key_ends(network: Network, home: Home, agent: RunningAgent) -> None:
    agent.stop()
    admin.remove_machine(network.rig.store, agent.service.status()["machine_id"])
    assert isinstance(RunningAgent(home).end(), KeyRefused)


def test_a_machine_that_was_removed_and_gets_a_bad_key_ends(
    network: Network, home: Home, key: ApiKey, agent: RunningAgent
) -> None:
    agent.stop()
    admin.remove_machine(network.rig.store, agent.service.status()["machine_id"])
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    error = RunningAgent(home, key).end()
    assert isinstance(error, KeyRefused)
    assert "revoked" in error.sentence


# -- staying --------------------------------------------------------------------------------------


def test_a_relay_that_is_down_at_first_is_dialled_again(network: Network, home: Home, key: ApiKey) -> None:
    network.down = True
    agent = RunningAgent(home, key)
    network.until_dialled(3)
    assert agent.service.status()["verdict"] == "STARTING"
    network.down = False
    agent.until_online()
    assert agent.service.status()["verdict"] == "ONLINE"
    agent.stop()


def test_a_lost_relay_is_dialled_again_and_the_sessions_live_on(network: Network, agent: RunningAgent) -> None:
    joined = join(network)
    session = joined.ready.session_id
    network.connections[0].close("the network is gone")
    agent.until_online(2)
    network.until_seated(2)
    again = join(network)
    assert again.ready.session_id == session
    again.stream.connection.close()


def test_what_is_fatal_at_first_is_not_later(network: Network, agent: RunningAgent) -> None:
    """A relay that is restored from a backup forgets machines for a while."""
    machine_id = agent.service.status()["machine_id"]
    row = network.rig.store.machine(machine_id)
    assert row is not None
    admin.remove_machine(network.rig.store, machine_id)
    agent.service._key = None  # with a key it would enrol anew
    before = len(network.dialled)
    network.connections[0].close("the relay is restored")
    network.until_dialled(before + 3)
    assert agent.service.status()["verdict"] == "DEGRADED"
    network.rig.store.enroll_machine(row)
    agent.until_online(2)


class Restless(Backoff):
    """Tells when it was reset."""

    def __init__(self) -> None:
        super().__init__()
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


@pytest.mark.parametrize(("held_seconds", "resets"), [(0.0, 0), (LINK_HELD_SECONDS, 1)])
def test_only_a_connection_that_held_makes_the_next_try_at_once(
    home: Home, key: ApiKey, monkeypatch: pytest.MonkeyPatch, held_seconds: float, resets: int
) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock, backoff = Clock(), Restless()
    monkeypatch.setattr(service_module, "time", clock)
    service = AgentService(home, AgentOptions("prod", SERVER, key.text))
    ours, theirs = memory_pair()
    theirs.send(encode_frame(FrameKind.CONTROL, CONNECTION_STREAM, RELAY_MESSAGES.encode(WELCOME)))

    def welcomed(_: Welcome) -> None:
        clock.now = held_seconds
        theirs.close()

    monkeypatch.setattr(service, "_welcomed", welcomed)
    service._serve(ours, backoff)
    assert backoff.resets == resets
    service._shells.close()


# -- serving --------------------------------------------------------------------------------------


def test_a_command_runs_on_the_machine_and_its_status_comes_back(network: Network, agent: RunningAgent) -> None:
    output, ended = collect(join(network, new=True, command=("sh", "-c", "echo hi; exit 7")))
    assert (output, ended.exit_status) == (b"hi\r\n", 7)


def test_an_operator_types_and_an_observer_only_sees(network: Network, agent: RunningAgent) -> None:
    operator = join(network)
    observer = join(network, Role.OBSERVER)
    assert observer.ready.session_id == operator.ready.session_id
    type_line(operator, b"stty -echo; echo se''en; exit 3\n")
    output, ended = collect(observer)
    assert b"seen" in output
    assert ended.exit_status == 3
    with pytest.raises(CmdopError):
        type_line(observer, b"x")


def test_a_machine_binds_streams_to_its_own_id_whatever_the_relay_says(agent: RunningAgent) -> None:
    stream = agent.service._open_stream(1, Open("8f23a4b0-0000-4000-8000-000000000009", "operator", "anna"), None)  # type: ignore[arg-type]
    assert stream._opened.machine_id == agent.service.status()["machine_id"]


def test_a_stream_before_enrolment_is_refused(home: Home, key: ApiKey) -> None:
    service = AgentService(home, AgentOptions("prod", SERVER, key.text))
    with pytest.raises(CmdopError, match="before enrolment"):
        service._open_stream(1, Open("8f23a4b0-0000-4000-8000-000000000009", "operator"), None)  # type: ignore[arg-type]
    service._shells.close()


# -- stopping -------------------------------------------------------------------------------------


def test_a_stop_says_goodbye_and_ends_the_sessions(network: Network, agent: RunningAgent) -> None:
    joined = join(network)
    agent.stop()
    assert agent.service.status()["sessions"] == []
    _, ended = collect(joined)
    assert ended.signal == signal.SIGHUP
    with pytest.raises(MachineOffline, match='machine "prod" is offline') as caught:
        join(network)
    assert "stopped cleanly" in caught.value.next_step


def test_one_that_leaves_has_vanished_for_the_relay_and_the_next_one_has_its_sessions(
    network: Network, home: Home, key: ApiKey
) -> None:
    machine = Machine()
    first = RunningAgent(home, key, machine=machine)
    first.until_online()
    session = join(network).ready.session_id
    first.service.leave("the agent has gone")
    assert first.end() is None
    with pytest.raises(MachineOffline) as caught:
        join(network)
    assert "vanished" in caught.value.next_step
    second = RunningAgent(home, machine=machine)
    second.until_online()
    network.until_seated(2)
    joined = join(network)
    assert joined.ready.session_id == session
    second.stop()
    assert machine.statuses() == []
    joined.stream.connection.close()


def test_one_that_was_online_before_goes_on_trying_whatever_the_relay_says(
    network: Network, home: Home, key: ApiKey
) -> None:
    told: list[int] = []
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    options = AgentOptions("prod", SERVER, key.text, was_online=True)
    service = AgentService(home, options, online=lambda: told.append(1))
    thread = threading.Thread(target=service.run, name="test agent", daemon=True)
    thread.start()
    network.until_dialled(3)
    status = service.status()
    assert (status["verdict"], bool(status["reason"]), bool(status["hint"])) == ("DEGRADED", True, True)
    assert told == []
    service.stop("the test is over")
    thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()


def test_whoever_wants_to_know_hears_of_being_online(network: Network, home: Home, key: ApiKey) -> None:
    told = threading.Event()
    options = AgentOptions("prod", SERVER, key.text, environment={"PATH": "/usr/bin:/bin"})
    service = AgentService(home, options, online=told.set)
    thread = threading.Thread(target=service.run, name="test agent", daemon=True)
    thread.start()
    assert told.wait(TIMEOUT_SECONDS)
    service.stop("the test is over")
    thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()


def test_a_stop_before_the_start_and_a_second_one_are_quiet(network: Network, home: Home, key: ApiKey) -> None:
    service = AgentService(home, AgentOptions("prod", SERVER, key.text))
    service.stop("early")
    service.stop("again")
    service.run()
    assert network.dialled == []


def test_a_stop_during_the_dialling_is_heard(
    network: Network, home: Home, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialling, go_on = threading.Event(), threading.Event()

    def dial_slowly(to: Dialling) -> Connection:
        dialling.set()
        assert go_on.wait(TIMEOUT_SECONDS)
        return network.dial(to)

    monkeypatch.setattr(service_module, "dial", dial_slowly)
    agent = RunningAgent(home, key)
    assert dialling.wait(TIMEOUT_SECONDS)
    agent.service.stop("now")
    go_on.set()
    assert agent.end() is None


WELCOME = Welcome(2, "test", "home", "agent", "agent")


def test_a_relay_of_another_version_is_said_at_first(home: Home, key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def dial_newer(to: Dialling) -> Connection:
        ours, theirs = memory_pair()
        theirs.send(encode_frame(FrameKind.CONTROL, CONNECTION_STREAM, RELAY_MESSAGES.encode(WELCOME)))
        return ours

    monkeypatch.setattr(service_module, "dial", dial_newer)
    error = RunningAgent(home, key).end()
    assert isinstance(error, VersionMismatch)
    assert not home.file(ENROLMENT_FILE).exists()
