"""A machine's sessions, used by calls and attached to, with a real relay and a real agent of this process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import cmdop
from cmdop.auth.keys import Role
from cmdop.client import reach as reach_module
from cmdop.errors import (
    AmbiguousSession,
    RoleTooLow,
    SessionGone,
    SignalLost,
    TakenOver,
    UsageError,
)
from cmdop.home import Home
from cmdop.limits import COUNT_MAX, IDLE_MAX_SECONDS, MIB, NAME_MAX_CHARS, RING_MAX_BYTES
from cmdop.wire.call_messages import Output
from tests.api.conftest import HOST
from tests.api.reading import read_to_end, read_until
from tests.client.far_machines import KEY, FarMachines
from tests.client.far_machines import machine as far_machine
from tests.network import SERVER, Network, RunningAgent

PROMPT = rb"[$#] "


def shown(machine: cmdop.Machine, session: cmdop.Session, pattern: bytes) -> None:
    """Wait until a session has put this out, without typing."""
    with machine.attach(session, read_only=True) as attached:
        read_until(attached, pattern)


# -- calls -----------------------------------------------------------------------------------------


def test_a_session_is_opened_used_and_ended_by_calls(machine: cmdop.Machine) -> None:
    made = machine.create_session(name="build", idle_seconds=60.0, rows=30, cols=100)
    assert (made.name, made.operator, made.rows, made.cols, made.clients) == ("build", "anna", 30, 100, ())
    assert abs(datetime.now(UTC) - made.created) < timedelta(minutes=1)
    assert [one.session_id for one in machine.sessions()] == [made.session_id]

    shown(machine, made, PROMPT)
    before = machine.read(made)
    machine.send_input(made, b"echo h''i; stty size\n")
    shown(machine, made, b"30 100")
    after = machine.read(made.session_id[:8], before.next_offset)
    assert after.offset == before.next_offset
    assert b"hi\r\n30 100" in after.data
    assert after.next_offset == after.offset + len(after.data)
    assert not after.truncated

    machine.resize(made.session_id[:8], 50, 132)
    assert [(one.rows, one.cols) for one in machine.sessions()] == [(50, 132)]
    machine.close_session(made)
    assert machine.sessions() == []
    with pytest.raises(SessionGone):
        machine.read(made)


def test_a_command_runs_instead_of_the_shell(machine: cmdop.Machine) -> None:
    made = machine.create_session(command=["/bin/sh", "-c", "echo one-''two; sleep 1000"], term="vt100")
    with machine.attach(made) as attached:
        read_until(attached, b"one-two")
        machine.signal(made, "INT")
        read_to_end(attached)
        assert attached.ended == cmdop.Ended(0, 2)
        assert attached.ended is not None
        assert attached.ended.status == 130


def test_who_is_attached_is_told(machine: cmdop.Machine) -> None:
    with machine.attach(rows=40, cols=120) as attached:
        (session,) = machine.sessions()
        (client,) = session.clients
        assert session.session_id == attached.session_id
        assert session.grace_seconds_left is None
        assert (client.operator, client.role, client.rows, client.cols) == ("anna", "operator", 40, 120)
        assert client.since.tzinfo is UTC
        assert session.created <= client.since


def test_what_is_not_kept_any_more_is_said(machine: cmdop.Machine) -> None:
    flood = f"head -c {RING_MAX_BYTES + MIB} /dev/zero; echo; echo do''ne; sleep 1000"
    made = machine.create_session(command=["/bin/sh", "-c", flood])
    shown(machine, made, b"done\r\n")
    read = machine.read(made, 5)
    assert read.truncated
    assert read.offset > 5
    assert read.data.endswith(b"\r\ndone\r\n")
    assert read.next_offset == read.offset + len(read.data)
    assert machine.read(made, read.next_offset) == cmdop.ReadOutput(b"", read.next_offset, read.next_offset)


def test_behind_a_hole_in_the_output_the_next_read_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may put out faster than it is read."""
    pieces = [Output(5, b"abc", 20, truncated=True), Output(8, b"de", 20), Output(13, b"fg", 20, truncated=True)]
    played = far_machine(1)
    far = FarMachines({played.machine_id: lambda _: pieces.pop(0)}, machines=[played])
    monkeypatch.setattr(reach_module, "reach_relay", lambda *_, **__: far.dial())
    with cmdop.connect("name-1", api_key=KEY.text, server=SERVER, home=home.path) as machine:
        assert machine.read("abcd", 2) == cmdop.ReadOutput(b"abcde", 5, 10, truncated=True)


def test_calls_go_on_over_another_connection(
    machine: cmdop.Machine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.sessions() == []
    assert len(network.connections) == 2  # the agent's, and the one that the machine was found over
    network.connections[-1].close("the network is gone")
    assert machine.sessions() == []
    machine.close()
    machine.close()
    assert machine.sessions() == []
    assert len(network.connections) == 4


def test_a_connection_that_was_left_alone_for_long_is_not_used(
    agent: RunningAgent, annas: Home, network: Network, monkeypatch: pytest.MonkeyPatch, machine: cmdop.Machine
) -> None:
    """Nobody answered the relay's pings meanwhile."""
    monkeypatch.setattr(reach_module, "STALE_SECONDS", -1.0)
    with cmdop.connect(HOST, home=annas.path) as stale:
        dialled = len(network.connections)
        assert stale.sessions() == []
        assert len(network.connections) == dialled + 1


# -- what cannot be ------------------------------------------------------------------------------------


def test_several_sessions_and_none_are_told_apart(machine: cmdop.Machine) -> None:
    ids = [machine.create_session().session_id for _ in range(17)]  # two of them begin alike
    first = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
    with pytest.raises(AmbiguousSession):
        machine.send_input(first, b"x")
    with pytest.raises(SessionGone):
        machine.send_input("nothing like it", b"x")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda machine: machine.create_session(name="x" * (NAME_MAX_CHARS + 1)),
        lambda machine: machine.create_session(name="a\nb"),
        lambda machine: machine.create_session(rows=0),
        lambda machine: machine.create_session(idle_seconds=IDLE_MAX_SECONDS + 1),
        lambda machine: machine.create_session(idle_seconds=0.0),
        lambda machine: machine.create_session(command=["x"] * 2000),
        lambda machine: machine.resize("abcd", 24, 100_000),
        lambda machine: machine.signal("abcd", ""),
        lambda machine: machine.read("abcd", -1),
        lambda machine: machine.read("abcd", COUNT_MAX + 1),
        lambda machine: machine.close_session(" "),
        lambda machine: machine.attach(rows=0),
    ],
)
def test_what_cannot_be_said_is_not_sent(machine: cmdop.Machine, network: Network, wrong: object) -> None:
    dialled = len(network.connections)
    with pytest.raises(UsageError):
        wrong(machine)  # type: ignore[operator]
    assert len(network.connections) == dialled
    assert machine.sessions() == []


def test_a_signal_that_there_is_not_and_one_that_reaches_nobody(machine: cmdop.Machine) -> None:
    made = machine.create_session()
    with pytest.raises(UsageError, match="no signal"):
        machine.signal(made, "NONSENSE")
    machine.close_session(made)
    with pytest.raises((SessionGone, SignalLost)):
        machine.signal(made, "INT")


def test_an_observer_lists_and_reads_and_the_machine_refuses_the_rest(
    machine: cmdop.Machine, network: Network, home: Home
) -> None:
    made = machine.create_session()
    shown(machine, made, PROMPT)
    key = network.rig.key(Role.OBSERVER, "bob").text
    with cmdop.connect(HOST, api_key=key, server=SERVER, home=home.path) as watched:
        assert [one.session_id for one in watched.sessions()] == [made.session_id]
        assert watched.read(made).data
        for refused in (
            watched.create_session,
            lambda: watched.send_input(made, b"x"),
            lambda: watched.resize(made, 1, 1),
            lambda: watched.signal(made, "KILL"),
            lambda: watched.close_session(made),
        ):
            with pytest.raises(RoleTooLow):
                refused()
    assert [one.session_id for one in machine.sessions()] == [made.session_id]


# -- attaching -------------------------------------------------------------------------------------------


def test_an_attached_shell_is_typed_into_and_ends(machine: cmdop.Machine) -> None:
    with machine.attach(new=True, rows=50, cols=132) as shell:
        assert shell.created
        assert shell.operator == "anna"
        shell.write(b"stty size; exit 3\n")
        assert b"50 132\r\n" in b"".join(shell)
        assert shell.ended == cmdop.Ended(3)
        with pytest.raises(SessionGone):
            shell.write(b"anybody?")
    assert machine.sessions() == []


def test_the_same_session_is_joined_and_what_was_shown_comes_first(machine: cmdop.Machine) -> None:
    made = machine.create_session()
    machine.send_input(made, b"echo bef''ore\n")
    with machine.attach() as joined:
        assert joined.session_id == made.session_id
        assert not joined.created
        read_until(joined, b"before")
    with machine.attach(made.session_id[:8], replay="none") as joined:
        joined.write(b"echo aft''er\n")
        assert b"before" not in read_until(joined, b"after")


def test_a_terminal_that_is_resized_is_resized_on_the_machine(machine: cmdop.Machine) -> None:
    told = "trap 'stty size' WINCH; echo wait''ing; while :; do sleep 0.05; done"
    made = machine.create_session(command=["/bin/sh", "-c", told])
    with machine.attach(made) as shell:
        read_until(shell, b"waiting")
        shell.resize(33, 111)
        read_until(shell, b"33 111")
        with pytest.raises(UsageError):
            shell.resize(0, 0)


def test_leaving_keeps_the_session_and_what_was_typed_before(machine: cmdop.Machine) -> None:
    shell = machine.attach()
    shell.write(b"echo ty''ped\n")
    shell.detach()
    shell.detach()
    assert shell.ended is None
    assert shell.read() == b""
    assert list(shell) == []
    with machine.attach(shell.session_id) as again:
        read_until(again, b"typed")


def test_a_control_d_is_a_byte_like_any_other(machine: cmdop.Machine) -> None:
    with machine.attach() as shell:
        read_until(shell, PROMPT)
        shell.write(b"\x04")
        read_to_end(shell)
        assert shell.ended == cmdop.Ended(0)


def test_who_only_watches_does_not_type(machine: cmdop.Machine) -> None:
    made = machine.create_session()
    with machine.attach(made, read_only=True) as watching:
        with pytest.raises(RoleTooLow):
            watching.write(b"x")
        machine.send_input(made, b"echo se''en\n")
        read_until(watching, b"seen")


def test_a_takeover_is_an_error_of_the_one_who_is_detached(machine: cmdop.Machine) -> None:
    with machine.attach() as first:
        read_until(first, PROMPT)
        with machine.attach(takeover=True):
            with pytest.raises(TakenOver, match="anna"):
                read_to_end(first)
            with pytest.raises(TakenOver):
                first.write(b"x")


def test_a_session_that_there_is_not_is_said(machine: cmdop.Machine) -> None:
    with pytest.raises(SessionGone):
        machine.attach("ffffffffffffffff")
