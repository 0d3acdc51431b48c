"""`cmdop agent install|uninstall`, and how a supervised agent ends."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cmdop.agent import daemon
from cmdop.agent.install import installing
from cmdop.agent.install.interface import Wanted
from cmdop.agent.install.programs import Ran
from cmdop.agent.install.systemd import Systemd, unit_text
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import AgentProcess
from cmdop.cli.root import run
from cmdop.home import Home
from tests.agent.fake_system import FakeSystem
from tests.agent.test_install import ENROLMENT

Said = pytest.CaptureFixture[str]
ANN = Wanted(("/usr/bin/python3", "-m", "cmdop"), (), "/home/ann/.cmdop", "ann", "/home/ann")


@pytest.fixture(autouse=True)
def unit(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ann's systemd, which only says yes, and an agent that is said to run; where the unit will be."""
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    ENROLMENT.save(home)
    system = FakeSystem({"loginctl": Ran(0, "no\n")})
    made = Systemd(ANN, system, tmp_path, booted=tmp_path)
    mine = Systemd(replace(ANN, is_root=True, system=True), system, tmp_path, booted=tmp_path)
    monkeypatch.setattr(installing, "manager_for", lambda home, env, system: mine if system else made)
    monkeypatch.setattr(daemon, "started_by_another", lambda home: {"verdict": "ONLINE"})
    return made.path


def test_it_says_what_it_did_and_whether_the_agent_will_be_back(unit: Path, capsys: Said) -> None:
    assert run(["agent", "install"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {unit} (systemd, for this user)",
        "the agent runs",
        "after a logout: it ends, and its sessions",
        "after a reboot: it comes back once you log in",
        "to have it stay without a login: loginctl enable-linger ann",
    ]
    assert unit.read_text() == unit_text(ANN)
    assert run(["agent", "install"]) == 0
    assert capsys.readouterr().out.startswith(f"{unit} was there already (systemd, for this user)\n")


def test_the_machines_is_back_in_any_case(unit: Path, capsys: Said) -> None:
    assert run(["agent", "install", "--system", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "manager": "systemd",
        "scope": "system",
        "path": str(unit),
        "changed": True,
        "runs": True,
        "after_logout": True,
        "after_reboot": True,
        "advice": [],
    }


def test_an_agent_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setattr(daemon, "started_by_another", lambda home: None)
    assert run(["agent", "install"]) == 0
    assert "the agent does not answer yet; look at: cmdop agent logs\n" in capsys.readouterr().out


def test_a_dry_run_prints_the_file_and_writes_none(unit: Path, capsys: Said) -> None:
    assert run(["agent", "install", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (unit_text(ANN), f"# {unit}\n")
    assert run(["agent", "install", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"manager": "systemd", "scope": "user", "path": str(unit), "text": unit_text(ANN)}
    assert not unit.exists()


def test_a_machine_that_is_not_enrolled_gets_none(unit: Path, home: Home, capsys: Said) -> None:
    ENROLMENT.forget(home)
    assert run(["agent", "install"]) == 5
    assert "cmdop agent start --server URL --api-key KEY" in capsys.readouterr().err
    assert not unit.exists()


def test_it_is_taken_away_and_that_twice_is_no_error(unit: Path, capsys: Said) -> None:
    run(["agent", "install"])
    capsys.readouterr()
    assert run(["agent", "uninstall"]) == 0
    assert capsys.readouterr().out == f"the service is gone, and its agent has stopped: removed {unit}\n"
    assert not unit.exists()
    assert run(["agent", "uninstall"]) == 0
    assert capsys.readouterr().out == f"there was no service: {unit} does not exist\n"
    assert run(["agent", "uninstall", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="it is systemd that is missing")
def test_where_there_is_no_systemd_it_is_said_what_to_do_instead(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    bare = Systemd(ANN, FakeSystem(), tmp_path, booted=tmp_path / "none")
    monkeypatch.setattr(installing, "manager_for", lambda home, env, system: bare)
    assert run(["agent", "install"]) == 1
    said = capsys.readouterr().err
    assert "as a service: systemd does not run this machine\n" in said
    assert "cmdop agent start;" in said


@pytest.mark.parametrize(
    ("words", "again", "status"), [(["--supervised"], True, 75), (["--supervised"], False, 0), ([], True, 0)]
)
def test_an_agent_that_leaves_for_the_next_one_ends_with_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, words: list[str], again: bool, status: int
) -> None:
    monkeypatch.setattr(AgentProcess, "run", lambda process: process.leave(again))
    monkeypatch.setattr("cmdop.cli.runtime.stop_on_signals", lambda stop: None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    assert run(["agent", "start", "--foreground", *words]) == status


def test_whether_it_is_supervised_is_kept_for_a_restart() -> None:
    kept = AgentOptions(supervised=True).to_json()
    assert AgentOptions().with_json(kept).supervised
    assert AgentOptions(supervised=True).flags == []
