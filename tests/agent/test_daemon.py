"""Agents in the background, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmdop.agent import daemon
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import CONTROL, LOCK, START_FILE, AgentProcess
from cmdop.errors import AgentNotRunning, AgentRunning, CmdopError, KeyRefused
from cmdop.home import Home
from tests.agent import fake_agent
from tests.agent.fake_agent import FakeService

UNIT_SECONDS = 10.0
PROGRAM = (sys.executable, fake_agent.__file__)
SECRET = "ck_secret"


def options(name: str, **more: Any) -> AgentOptions:
    environment = {**os.environ, "CMDOP_API_KEY": SECRET}
    return AgentOptions(name=name, api_key=SECRET, environment=environment, **more)


@pytest.fixture
def quick_to_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_STOP_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(daemon, "_KILL_TIMEOUT_SECONDS", 0.3)


@pytest.fixture(autouse=True)
def _nothing_is_left(home: Home) -> Iterator[None]:
    yield
    pid = LockFile(home, LOCK).holder()
    if pid:
        os.kill(pid, signal.SIGKILL)


def start(home: Home, name: str, **more: Any) -> dict[str, Any]:
    return daemon.start(home, options(name, **more), PROGRAM)


class TestStart:
    def test_it_comes_back_when_the_agent_is_online(self, home: Home) -> None:
        found = start(home, "online", server="ws://relay", shell="fish -i")
        assert (found["verdict"], found["name"], found["relay"]) == ("ONLINE", "online", "ws://relay")
        assert found["shell"] == "fish -i"
        assert daemon.status(home)["pid"] == found["pid"] != os.getpid()

    def test_it_is_on_its_own(self, home: Home) -> None:
        assert start(home, "online")["session_leader"]

    def test_the_key_arrives_but_is_nowhere_to_be_seen(self, home: Home) -> None:
        found = start(home, "online", server="ws://relay")
        assert found["key"] == SECRET
        assert SECRET not in " ".join(found["argv"])
        assert "CMDOP_API_KEY" not in found["environ"]
        for path in home.path.rglob("*"):
            assert path.is_socket() or SECRET not in path.read_text(errors="replace"), path

    def test_a_refused_key_is_this_commands_failure(self, home: Home) -> None:
        with pytest.raises(KeyRefused) as caught:
            start(home, "refused")
        assert caught.value.sentence == "the relay ws://relay refused the API key ck_abc…: it was revoked"
        assert caught.value.exit_status == 5
        with pytest.raises(AgentNotRunning):
            daemon.status(home)

    def test_a_crash_says_where_to_look(self, home: Home) -> None:
        with pytest.raises(CmdopError, match="ended with status 7; see: cmdop agent logs"):
            start(home, "crash")

    def test_an_old_failure_is_not_taken_for_a_new_one(self, home: Home) -> None:
        with pytest.raises(KeyRefused):
            start(home, "refused")
        with pytest.raises(CmdopError, match="status 7"):
            start(home, "crash")

    def test_not_yet_online_is_told_with_the_reason(self, home: Home) -> None:
        found = daemon.start(home, options("starting"), PROGRAM, timeout_seconds=1.0)
        assert (found["verdict"], found["reason"]) == ("STARTING", "cannot reach the relay")

    def test_two_agents_never_share_a_home(self, home: Home) -> None:
        pid = start(home, "online")["pid"]
        with pytest.raises(AgentRunning) as caught:
            start(home, "online")
        assert caught.value.details == {"pid": pid}
        # The agent itself looks again, for who is past the first look.
        child = subprocess.run(
            [*PROGRAM, "agent", "start", "--foreground"],
            env={**os.environ, "CMDOP_HOME": str(home.path)},
            capture_output=True,
            timeout=UNIT_SECONDS,
            check=False,
        )
        assert child.returncode == AgentRunning.exit_status
        assert f"already running here (pid {pid})" in child.stderr.decode()

    def test_what_it_leaves_is_for_its_owner_only(self, home: Home) -> None:
        start(home, "online")
        for path in home.path.iterdir():
            assert path.stat().st_mode & 0o077 == 0 or path.is_socket(), path

    def test_a_home_with_a_relative_name_is_the_same_home(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(home.path.parent)
        found = daemon.start(Home(Path(home.path.name)), options("online"), PROGRAM)
        assert daemon.status(home)["pid"] == found["pid"]


class TestStop:
    def test_it_comes_back_when_the_agent_is_gone(self, home: Home) -> None:
        start(home, "online")
        daemon.stop(home)
        with pytest.raises(AgentNotRunning):
            daemon.status(home)
        assert not home.file(CONTROL).exists()

    def test_nobody_to_stop_is_said(self, home: Home) -> None:
        with pytest.raises(AgentNotRunning):
            daemon.stop(home)

    @pytest.mark.usefixtures("quick_to_kill")
    def test_one_that_is_deaf_is_killed(self, home: Home) -> None:
        start(home, "deaf")
        daemon.stop(home)
        assert LockFile(home, LOCK).holder() is None

    @pytest.mark.usefixtures("quick_to_kill")
    def test_one_that_hangs_is_killed(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        pid = start(home, "online")["pid"]
        monkeypatch.setattr(daemon, "_ANSWER_TIMEOUT_SECONDS", 0.2)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        found = daemon.status(home)
        assert (found["pid"], found["verdict"], found["reason"]) == (pid, "STARTING", "it does not answer")
        daemon.stop(home)
        assert LockFile(home, LOCK).holder() is None

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_signal_ends_it_cleanly(self, home: Home, number: signal.Signals) -> None:
        foreground = subprocess.Popen(
            [*PROGRAM, "agent", "start", "--foreground", "--name=online"],
            env={**os.environ, "CMDOP_HOME": str(home.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert foreground.stderr is not None
        with foreground.stderr as said:
            assert said.readline() == "online\n"
            foreground.send_signal(number)
            assert foreground.wait(UNIT_SECONDS) == 0
            assert said.read() == ""
        assert not home.file(CONTROL).exists()


class TestRestart:
    def test_it_has_the_flags_of_the_last_start(self, home: Home) -> None:
        before = start(home, "online", server="ws://relay", shell="fish -i", insecure=True)
        after = daemon.restart(home, AgentOptions(environment=os.environ), PROGRAM)
        assert after["pid"] != before["pid"]
        assert (after["name"], after["relay"], after["shell"]) == ("online", "ws://relay", "fish -i")
        assert "--insecure" in after["argv"]
        assert after["key"] is None
        assert set(json.loads(home.file(START_FILE).read_text())) == {"name", "server", "shell", "insecure"}

    def test_one_that_does_not_run_is_started(self, home: Home) -> None:
        found = daemon.restart(home, options("online"), PROGRAM)
        assert found["verdict"] == "ONLINE"


class TestStatus:
    def test_nobody_there_is_said(self, home: Home) -> None:
        with pytest.raises(AgentNotRunning):
            daemon.status(home)

    def test_what_a_killed_agent_left_is_no_agent(self, home: Home) -> None:
        pid = start(home, "online")["pid"]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with pytest.raises(AgentNotRunning):
            daemon.status(home)
        assert start(home, "online")["verdict"] == "ONLINE"


class TestProcess:
    def test_a_stop_before_there_is_a_service_counts(self, home: Home) -> None:
        made: list[FakeService] = []

        def make(home: Home, options: AgentOptions) -> FakeService:
            made.append(FakeService(home, options))
            return made[0]

        process = AgentProcess(home, options("online"), make)
        process.stop("too early")
        process.run()
        assert made[0].reasons == ["too early"]

    def test_the_lock_is_free_after_a_failure(self, home: Home) -> None:
        with pytest.raises(KeyRefused):
            AgentProcess(home, options("refused"), FakeService).run()
        assert LockFile(home, LOCK).holder() is None


def test_options_show_no_secret() -> None:
    assert SECRET not in repr(options("x"))
    assert SECRET not in str(options("x").flags) + str(options("x").to_json())


def test_a_name_that_looks_like_an_option_stays_a_name(home: Home) -> None:
    assert start(home, "--foreground")["name"] == "--foreground"


def test_kept_flags_of_a_wrong_type_count_as_not_given() -> None:
    kept = {"name": 5, "server": None, "shell": ["x"], "insecure": "yes"}
    assert AgentOptions(api_key="k").with_json(kept) == AgentOptions(api_key="k")
    assert replace(AgentOptions(), name="n").with_json({}) == AgentOptions()
