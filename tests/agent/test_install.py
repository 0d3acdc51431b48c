"""A service is made of an agent, and undone, whatever keeps it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cmdop.agent import daemon
from cmdop.agent.hosting import HOST_LOCK, PROGRAM
from cmdop.agent.identity import Enrolment
from cmdop.agent.install.factory import service_manager
from cmdop.agent.install.installing import install, manager_for, uninstall
from cmdop.agent.install.interface import Lasting, Wanted
from cmdop.agent.install.launchd import Launchd
from cmdop.agent.install.systemd import Systemd
from cmdop.agent.install.windows_task import WindowsTask
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import LOCK, START_FILE, keep_proxies
from cmdop.errors import NoServiceManager, NotEnrolled
from cmdop.home import Home
from tests.agent import fake_agent
from tests.agent.fake_system import FakeSystem

FAKE = (sys.executable, fake_agent.__file__)
WANTED = Wanted(PROGRAM, (), "/x", "ann", "/home/ann")
ENROLMENT = Enrolment("ws://127.0.0.1:7420", "home", "00", "1", bytes(32), bytes(32))


class OneThatStarts:
    """A service manager that starts the fake agent, and writes down what it was told."""

    name, supervises = "fake", True

    def __init__(self, home: Home, supervises: bool = True) -> None:
        self.path, self._home = home.path.parent / "service", home
        self.supervises = supervises
        self.told: list[str] = []
        self.text_now = "one"

    def text(self) -> str:
        return self.text_now

    def check(self) -> None:
        self.told.append("check")

    def put(self) -> bool:
        changed = not self.path.exists() or self.path.read_text() != self.text_now
        self.path.write_text(self.text_now)
        return changed

    def begin(self) -> None:
        self.told.append("begin")
        daemon.start(self._home, AgentOptions(name="online", environment=os.environ, supervised=True), FAKE)
        kept = self._home.read_json(START_FILE)
        assert kept is not None
        self._home.write_json(START_FILE, {**kept, "supervised": self.supervises})

    def remove(self) -> bool:
        self.told.append("remove")
        return True

    def lasting(self) -> Lasting:
        return Lasting(True, False, ("some command",))


@pytest.fixture
def enrolled(home: Home) -> Iterator[Home]:
    ENROLMENT.save(home)
    yield home
    for lock in (LOCK, HOST_LOCK):
        if LockFile(home, lock).holder() is not None:
            daemon.stop(home)


def test_a_machine_that_is_not_enrolled_is_told_how(home: Home) -> None:
    manager = OneThatStarts(home)
    with pytest.raises(NotEnrolled, match="this machine is not enrolled: ") as caught:
        install(home, manager)
    assert "cmdop agent start --server URL --api-key KEY" in caught.value.next_step
    assert manager.told == []


@pytest.mark.parametrize("supervises", [True, False])
def test_it_is_begun_once_and_again_only_when_its_file_changes(enrolled: Home, supervises: bool) -> None:
    manager = OneThatStarts(enrolled, supervises)
    assert install(enrolled, manager) == (True, True, Lasting(True, False, ("some command",)))
    first = daemon.status(enrolled)
    assert not install(enrolled, manager).changed
    assert daemon.status(enrolled)["pid"] == first["pid"]
    manager.text_now = "two"
    assert install(enrolled, manager).changed
    assert daemon.status(enrolled)["pid"] != first["pid"]
    assert manager.told == ["check", "begin", "check", "check", "begin"]


def test_an_agent_that_runs_already_leaves_its_sessions_to_the_services(enrolled: Home) -> None:
    before = daemon.start(enrolled, AgentOptions(name="shell", environment=os.environ), FAKE)
    manager = OneThatStarts(enrolled)
    manager.path.write_text(manager.text_now)
    assert install(enrolled, manager).runs
    after = daemon.status(enrolled)
    assert after["pid"] != before["pid"]
    assert after["host_pid"] == before["host_pid"]


def test_uninstalling_what_is_not_there_needs_no_manager(home: Home) -> None:
    manager = OneThatStarts(home)
    uninstall(manager)
    assert manager.told == ["remove"]
    manager.path.write_text("")
    uninstall(manager)
    assert manager.told == ["remove", "check", "remove"]


def test_the_service_has_the_flags_of_the_last_start_and_no_secret(home: Home) -> None:
    options = AgentOptions(name="office", server="wss://relay", api_key="ck_secret", insecure=True)
    options = replace(options, ca_file="/etc/own.pem", proxies={"HTTPS_PROXY": "http://ann:hush@proxy"})
    home.write_json(START_FILE, replace(options, supervised=True).to_json())
    keep_proxies(home, options.proxies)
    text = manager_for(home, {"CMDOP_API_KEY": "ck_secret"}, run=FakeSystem()).text()
    assert "--name=office" in text
    assert "--insecure" in text
    assert "--ca-file=/etc/own.pem" in text
    assert "hush" not in text
    assert str(home.path.resolve()) in text
    assert "ck_secret" not in text


@pytest.mark.parametrize(
    ("platform", "kind"), [("linux", Systemd), ("darwin", Launchd), ("win32", WindowsTask), ("plan9", None)]
)
def test_every_platform_has_its_own(monkeypatch: pytest.MonkeyPatch, platform: str, kind: type | None) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if kind is None:
        with pytest.raises(NoServiceManager, match="plan9"):
            service_manager(WANTED, FakeSystem(), lambda: None)
    else:
        assert type(service_manager(WANTED, FakeSystem(), lambda: None)) is kind


def test_a_home_that_is_named_from_here_is_named_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str((tmp_path / "here").resolve()) in manager_for(Home(Path("here")), {}, run=FakeSystem()).text()
