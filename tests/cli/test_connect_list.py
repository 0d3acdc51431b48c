"""`cmdop connect --list` as it is typed, with a real relay but for the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.auth.keys import Role
from cmdop.cli import connect_list
from cmdop.cli.connect_list import _document
from cmdop.cli.root import run
from cmdop.home import Home
from cmdop.relay import admin
from cmdop.store.sqlite import SqliteStore
from cmdop.wire.relay_messages import Goodbye, Heartbeat, MachineRecord, SessionSummary
from tests.network import Network, wire_up
from tests.relay.talker import Talker

Said = pytest.CaptureFixture[str]
IDS = [f"8f23a4b{number}-0000-4000-8000-000000000000" for number in range(4)]
SESSION = SessionSummary("abcd1234abcd1234", "anna", 2)


@pytest.fixture
def network(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "anna").text)
    yield network
    network.close()
    store.close()


def machine(network: Network, number: int, name: str, hostname: str = "") -> Talker:
    """A machine that is online."""
    talker = network.rig.connect(network.rig.key(Role.AGENT, name).bearer)
    talker.hello_agent(IDS[number], name, hostname or f"{name}.example.org")
    talker.hear_welcome()
    return talker


@pytest.fixture
def machines(network: Network) -> Network:
    """Three machines: one with a session, one without, one that is offline."""
    zebra = machine(network, 0, "zebra")
    zebra.say(Heartbeat((SESSION,)))
    zebra.all_answered()
    machine(network, 1, "Ant").all_answered()
    gone = machine(network, 2, "bee")
    gone.say(Goodbye())
    gone.leave()
    network.rig.now.now += 3
    network.rig.unix_now.now += 3
    return network


def test_online_machines_come_first_and_then_by_name(machines: Network, capsys: Said) -> None:
    assert run(["connect", "--list"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "NAME   HOSTNAME           ID        ONLINE  HEARTBEAT  SESSION",
        "Ant    Ant.example.org    8f23a4b1  yes     3s ago     -",
        "zebra  zebra.example.org  8f23a4b0  yes     3s ago     anna (abcd1234)",
        "bee    bee.example.org    8f23a4b2  no      3s ago     -",
    ]
    assert said.err == ""


def test_only_those_that_are_online_on_request(machines: Network, capsys: Said) -> None:
    assert run(["connect", "--list", "--online"]) == 0
    shown = capsys.readouterr().out
    assert "zebra" in shown
    assert "bee" not in shown


def test_the_document_has_the_fields_that_scripts_rely_on(machines: Network, capsys: Said) -> None:
    assert run(["connect", "--list", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    ant, zebra, bee = json.loads(said.out)
    assert zebra == {
        "machine_id": IDS[0],
        "hostname": "zebra.example.org",
        "name": "zebra",
        "online": True,
        "heartbeat_age_seconds": 3.0,
        "last_seen": zebra["last_seen"],
        "workspace": "home",
        "agent_version": "0.1.0",
        "session": {"session_id": "abcd1234abcd1234", "operator": "anna", "clients": 2},
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", zebra["last_seen"])
    assert (ant["session"], ant["online"], bee["online"]) == (None, True, False)


def test_an_empty_workspace_says_how_to_add_a_machine(network: Network, capsys: Said) -> None:
    assert run(["connect", "--list"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == 'no machines in workspace "home"\nadd one: cmdop agent start --server URL --api-key KEY\n'
    assert run(["connect", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_an_observer_sees_the_list(machines: Network, capsys: Said) -> None:
    assert run(["connect", "--list", "-k", machines.rig.key(Role.OBSERVER).text]) == 0
    assert "zebra" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [True, False])
def test_what_goes_wrong_has_its_status(network: Network, capsys: Said, as_json: bool) -> None:
    words = ["connect", "--list", *(["--json"] if as_json else [])]
    key = network.rig.key(Role.OPERATOR)
    admin.revoke_key(network.rig.store, key.key_id, 0.0)
    for more, status, code in (
        (["-k", key.text], 5, "key-refused"),
        (["-k", "nonsense"], 5, "bad-key"),
        (["-s", "ftp://x"], 2, "bad-server"),
        (["prod"], 2, "usage"),
    ):
        assert run([*words, *more]) == status
        said = capsys.readouterr()
        assert json.loads(said.out)["error"]["code"] == code if as_json else said.err.startswith("cmdop: ")
    network.down = True
    assert run(words) == 4


def test_the_connection_is_closed_also_when_the_machines_do_not_come(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay's thread would not end otherwise."""
    monkeypatch.setattr(connect_list, "reach_relay", lambda *_: link)

    class Link:
        closed = False

        def machines(self) -> tuple[MachineRecord, ...]:
            raise OSError("a mistake")

        def close(self) -> None:
            self.closed = True

    link = Link()
    assert run(["connect", "--list"]) == 1
    assert link.closed


def test_no_time_that_a_relay_tells_is_a_crash() -> None:
    for last_seen in (0.0, 1e12, 253402300799.5):
        record = MachineRecord(IDS[0], "h", "n", False, 1e12, last_seen)
        assert _document(record, "home")["last_seen"].endswith("Z")


def test_names_cannot_act_on_the_terminal(capsys: Said) -> None:
    record = MachineRecord(IDS[0], "\x1b[31m", "\x1b]0;owned\x07", True, 0.0, 0.0, session=SESSION)
    connect_list.print_table(("A", "B", "C", "D", "E", "F"), [connect_list._row(record)])
    assert "\x1b" not in capsys.readouterr().out
