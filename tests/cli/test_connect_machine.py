"""`cmdop connect machine accept|list|forget` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop.auth.fingerprint import fingerprint
from cmdop.auth.keys import Role
from cmdop.auth.known_machines import FILE, KnownMachines, Sighting, all_known
from cmdop.cli import connect_machine
from cmdop.cli.root import run
from cmdop.home import Home
from cmdop.store.sqlite import SqliteStore
from tests.network import SERVER, Network, RunningAgent, wire_up

Said = pytest.CaptureFixture[str]
ID, OTHER_ID = "8f23a4b0-1111-4222-8333-0123456789ab", "9f23a4b0-1111-4222-8333-0123456789ab"


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    return home


def keep(home: Home, *seen: Sighting, relay: str = SERVER, workspace: str = "default") -> None:
    known = KnownMachines(home, relay, workspace)
    known.load()
    known.proven(*seen)


# -- what is known ----------------------------------------------------------------------------------


def test_what_is_known_is_listed(where: Home, capsys: Said) -> None:
    assert run(["connect", "machine", "list"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.count("no machine is known here")) == ("", 1)
    keep(where, Sighting(ID, "prod", b"p" * 32), workspace="work")
    keep(where, Sighting(OTHER_ID, "beta", b"b" * 32))
    assert run(["connect", "machine", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["MACHINE", "NAME", "WORKSPACE", "RELAY", "KEY", "SINCE"]
    assert lines[1].split()[:5] == [OTHER_ID, "beta", "default", SERVER, fingerprint(b"b" * 32)]
    assert lines[2].split()[:3] == [ID, "prod", "work"]
    assert run(["connect", "machine", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [set(one) for one in listed] == [{"machine_id", "name", "workspace", "relay", "fingerprint", "since"}] * 2


@pytest.mark.parametrize("named", ["prod", "PROD", ID, "8f23", ID.upper()])
def test_a_machine_is_forgotten_by_any_of_its_names(where: Home, capsys: Said, named: str) -> None:
    keep(where, Sighting(ID, "prod", b"p" * 32), Sighting(OTHER_ID, "beta", b"b" * 32))
    assert run(["connect", "machine", "forget", named]) == 0
    assert capsys.readouterr().err == f"the key of prod ({ID}) is forgotten\n"
    assert [known.name for known in all_known(where)] == ["beta"]


def test_one_that_is_not_known_or_not_the_only_one_is_not_forgotten(where: Home, capsys: Said) -> None:
    for workspace in ("home", "work"):
        keep(where, Sighting(ID, "prod", b"p" * 32), workspace=workspace)
    for named in ("nowhere", "pro", "8f2", ""):
        assert run(["connect", "machine", "forget", named]) == 3, named
    assert run(["connect", "machine", "forget", "prod"]) == 3
    assert ID in capsys.readouterr().err
    assert len(all_known(where)) == 2
    assert run(["connect", "machine", "forget", "prod", "--workspace", "work", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workspace"] == "work"
    assert [known.workspace for known in all_known(where)] == ["home"]


@pytest.mark.parametrize("words", [["list"], ["forget", "prod"]])
def test_a_corrupt_file_is_named_and_what_to_do_about_it(where: Home, capsys: Said, words: list[str]) -> None:
    where.write_bytes(FILE, b"{")
    assert run(["connect", "machine", *words]) == 1
    said = capsys.readouterr().err
    assert f"{where.file(FILE)} cannot be read" in said
    assert f"{FILE}.corrupt-1" in said
    assert "cmdop connect machine accept HOST" in said


# -- accepting --------------------------------------------------------------------------------------


@pytest.fixture
def network(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "anna").text)
    yield network
    network.close()
    store.close()


@pytest.fixture
def agent(network: Network, tmp_path: Path) -> Iterator[RunningAgent]:
    agent = RunningAgent(Home(tmp_path / "machine"), network.rig.key(Role.AGENT))
    agent.until_online()
    yield agent
    agent.stop()


def test_a_changed_key_is_known_once_it_is_accepted(agent: RunningAgent, where: Home, capsys: Said) -> None:
    status = agent.service.status()
    keep(where, Sighting(status["machine_id"], "prod", b"x" * 32))
    assert run(["connect", "machine", "accept", "prod"]) == 0
    assert capsys.readouterr().err == (
        f"prod is known with the key {status['fingerprint']} now, and no more with {fingerprint(b'x' * 32)}\n"
    )
    assert [fingerprint(known.key) for known in all_known(where)] == [status["fingerprint"]]
    assert agent.service.status()["sessions"] == []
    assert run(["connect", "machine", "accept", "prod", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fingerprint"] == told["fingerprint_before"] == status["fingerprint"]


def test_a_new_one_can_be_accepted_before_it_is_used(agent: RunningAgent, where: Home, capsys: Said) -> None:
    shown = agent.service.status()["fingerprint"]
    assert run(["connect", "machine", "accept", "prod", "--fingerprint", shown]) == 0
    assert capsys.readouterr().err == f"prod is known with the key {shown} now\n"
    assert len(all_known(where)) == 1


def test_only_the_key_that_was_named_is_accepted(agent: RunningAgent, where: Home, capsys: Said) -> None:
    other = fingerprint(b"x" * 32)
    assert run(["connect", "machine", "accept", "prod", "--fingerprint", other]) == 5
    shown = agent.service.status()["fingerprint"]
    assert f"the key of prod is {shown}, and not {other}" in capsys.readouterr().err
    assert all_known(where) == []


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("Y", 0), ("no", 130), ("", 130), ("maybe", 130)])
def test_somebody_at_a_terminal_is_asked(
    agent: RunningAgent, where: Home, capsys: Said, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    monkeypatch.setattr(connect_machine, "can_ask", lambda: True)
    monkeypatch.setattr(connect_machine, "ask_text", lambda _question, default: answer or default)
    assert run(["connect", "machine", "accept", "prod"]) == status
    assert f"the key of prod is {agent.service.status()['fingerprint']}\n" in capsys.readouterr().err
    assert len(all_known(where)) == (status == 0)


def test_nobody_is_asked_who_does_not_want_to_be(
    agent: RunningAgent, where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_machine, "can_ask", lambda: True)
    monkeypatch.setattr(connect_machine, "ask_text", lambda *_: pytest.fail("it asked"))
    assert run(["connect", "machine", "accept", "prod", "-q"]) == 0
    assert len(all_known(where)) == 1


def test_a_machine_that_is_not_there_is_not_accepted(agent: RunningAgent, where: Home) -> None:
    assert run(["connect", "machine", "accept", "nowhere"]) == 3
    assert all_known(where) == []


# -- session verbs ----------------------------------------------------------------------------------


def test_a_session_verb_tells_of_a_first_sight_and_refuses_a_change(
    agent: RunningAgent, where: Home, capsys: Said
) -> None:
    status = agent.service.status()
    assert run(["session", "create", "prod", "--machine-keys", "strict"]) == 5
    assert "only known ones are let in" in capsys.readouterr().err
    assert run(["session", "create", "prod", "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    assert said.err == f"cmdop: prod is new here: its key is {status['fingerprint']}\n"
    assert run(["session", "create", "prod", "--json", "--machine-keys", "strict"]) == 0
    assert capsys.readouterr().err == ""
    keep(where)
    (known,) = all_known(where)
    KnownMachines(where, known.relay, known.workspace).accept(Sighting(known.machine_id, "prod", b"x" * 32))
    sessions = len(agent.service.status()["sessions"])
    assert run(["session", "create", "prod"]) == 5
    assert "the key of prod has CHANGED" in capsys.readouterr().err
    assert run(["session", "list"]) == 5
    assert len(agent.service.status()["sessions"]) == sessions


def test_a_corrupt_file_is_told_and_strict_ends_there(agent: RunningAgent, where: Home, capsys: Said) -> None:
    for words, status in (["--machine-keys", "strict"], 1), ([], 0):
        where.write_bytes(FILE, b"{")
        assert run(["session", "create", "prod", *words]) == status
        assert f"{where.file(FILE)} cannot be read, so no machine is known any more" in capsys.readouterr().err
