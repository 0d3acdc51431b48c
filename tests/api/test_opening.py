"""`cmdop.connect`: which machine, with which key, and nothing of it from the environment."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import cmdop
from cmdop.auth.credentials import Credential, keep_credential
from cmdop.auth.keys import Role
from cmdop.auth.known_machines import FILE as KNOWN_MACHINES
from cmdop.auth.known_machines import all_known
from cmdop.errors import (
    BadKey,
    BadServer,
    HomeUnusable,
    KeyRefused,
    KnownMachinesCorrupt,
    MachineChanged,
    MachineOffline,
    MachineUnknown,
    NoApiKey,
    NoSuchMachine,
    RelayUnreachable,
    RoleTooLow,
    UsageError,
)
from cmdop.home import Home
from cmdop.relay import admin
from cmdop.transport.memory import MemoryConnection
from tests.api.conftest import HOST
from tests.network import SERVER, Network, RunningAgent


def test_the_active_workspace_of_the_home_is_what_counts(agent: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path) as machine:
        assert (machine.name, machine.machine_id) == (HOST, agent.service.status()["machine_id"])
        assert machine.hostname
        assert HOST in repr(machine)
        assert machine.sessions() == []


def test_the_home_is_the_user_s_unless_another_one_is_named(
    agent: RunningAgent, annas: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".cmdop").symlink_to(annas.path)
    with cmdop.connect(HOST[:6]) as machine:
        assert machine.name == HOST


def test_nobody_s_home_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(HomeUnusable):
        cmdop.connect(HOST)


def test_another_workspace_is_used_where_it_is_named(agent: RunningAgent, annas: Home, network: Network) -> None:
    keep_credential(annas, Credential(network.rig.key(Role.OPERATOR, "bob"), SERVER, "other"))
    with cmdop.connect(HOST, workspace="other", home=str(annas.path)) as machine:
        assert machine.create_session().operator == "bob"


def test_a_key_and_a_relay_that_are_given_come_first(agent: RunningAgent, network: Network, home: Home) -> None:
    key = network.rig.key(Role.OPERATOR, "bob").text
    with cmdop.connect(HOST, server=SERVER, api_key=key, home=home.path) as machine:
        assert machine.create_session().operator == "bob"


def test_the_environment_is_not_looked_at(
    agent: RunningAgent, annas: Home, network: Network, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "bob").text)
    monkeypatch.setenv("CMDOP_SERVER", "wss://elsewhere.example")
    monkeypatch.setenv("CMDOP_HOME", str(tmp_path / "elsewhere"))
    with cmdop.connect(HOST, home=annas.path) as machine:
        assert machine.create_session().operator == "anna"
    with pytest.raises(NoApiKey):
        cmdop.connect(HOST, home=tmp_path / "empty")


# -- known machines ------------------------------------------------------------------------------------


def test_a_machine_is_known_from_its_first_call_on(agent: RunningAgent, annas: Home) -> None:
    with pytest.raises(MachineUnknown), cmdop.connect(HOST, home=annas.path, machine_keys="strict") as machine:
        machine.sessions()
    with cmdop.connect(HOST, home=annas.path) as machine:
        assert all_known(annas) == []
        machine.sessions()
    assert [(known.machine_id, known.workspace) for known in all_known(annas)] == [(machine.machine_id, "production")]
    with cmdop.connect(HOST, home=annas.path, machine_keys="strict") as machine:
        machine.sessions()
        machine.attach().detach()


def test_a_machine_whose_key_has_changed_is_refused(agent: RunningAgent, annas: Home) -> None:
    with cmdop.connect(HOST, home=annas.path) as machine:
        machine.sessions()
        file = annas.file(KNOWN_MACHINES)
        (known,) = all_known(annas)
        text = file.read_text()
    file.write_text(text.replace(base64.b64encode(known.key).decode(), base64.b64encode(b"x" * 32).decode()))
    with cmdop.connect(HOST, home=annas.path) as machine:
        with pytest.raises(MachineChanged):
            machine.sessions()
        with pytest.raises(MachineChanged):
            machine.attach()


def test_known_machines_that_make_no_sense_are_said_and_set_aside(agent: RunningAgent, annas: Home) -> None:
    annas.write_bytes(KNOWN_MACHINES, b"nonsense")
    with pytest.raises(KnownMachinesCorrupt):
        cmdop.connect(HOST, home=annas.path)
    cmdop.connect(HOST, home=annas.path).close()


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_what_cannot_be_is_said_before_anything_is_dialled(network: Network, home: Home) -> None:
    key = network.rig.key(Role.OPERATOR).text
    with pytest.raises(NoApiKey):
        cmdop.connect(HOST, home=home.path)
    with pytest.raises(BadKey):
        cmdop.connect(HOST, api_key="nonsense", home=home.path)
    with pytest.raises(BadServer):
        cmdop.connect(HOST, api_key=key, server="ftp://x", home=home.path)
    with pytest.raises(UsageError, match="accept-new or strict"):
        cmdop.connect(HOST, api_key=key, home=home.path, machine_keys="never")  # type: ignore[arg-type]
    assert network.dialled == []


def test_a_relay_that_is_down_and_one_that_refuses_are_said(network: Network, annas: Home) -> None:
    network.down = True
    with pytest.raises(RelayUnreachable):
        cmdop.connect(HOST, home=annas.path)
    network.down = False
    with pytest.raises(RoleTooLow):
        cmdop.connect(HOST, api_key=network.rig.key(Role.AGENT).text, home=annas.path)
    revoked = network.rig.key(Role.OPERATOR)
    admin.revoke_key(network.rig.store, revoked.key_id, 0.0)
    with pytest.raises(KeyRefused):
        cmdop.connect(HOST, api_key=revoked.text, home=annas.path)


def test_a_machine_that_there_is_not_or_that_is_offline_leaves_nothing_open(network: Network, annas: Home) -> None:
    gone = network.rig.agent("8f23a4b0-0000-4000-8000-000000000001")
    gone.leave()
    for host, kind in (("nowhere", NoSuchMachine), ("8f23a4b0-0000-4000-8000-000000000001", MachineOffline)):
        with pytest.raises(kind):
            cmdop.connect(host, home=annas.path)
        last = network.connections[-1]
        assert isinstance(last, MemoryConnection)
        assert last._ended
