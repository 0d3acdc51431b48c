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
from cmdop.agent.hosting import HOST_CONTROL, HOST_LOCK
from cmdop.agent.lockfile import LockFile, Released
from cmdop.agent.logfile import last_lines
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import CONTROL, LOCK, START_FILE
from cmdop.agent.verdict import DIALLING, HOST_SILENT, STARTING
from cmdop.deadline import Deadline
from cmdop.errors import AgentDied, AgentNotRunning, AgentRunning, CmdopError, HomeUnusable, KeyRefused
from cmdop.home import Home
from tests.agent import fake_agent
from tests.disks import small_disk

UNIT_SECONDS = 10.0
PROGRAM = (sys.executable, fake_agent.__file__)
SECRET = "ck_secret"


def options(name: str, **more: Any) -> AgentOptions:
    environment = {**os.environ, "CMDOP_API_KEY": SECRET, "CMDOP_AGENT_PASSWORD": "of another machine"}
    return AgentOptions(name=name, api_key=SECRET, environment=environment, **more)


@pytest.fixture
def quick_to_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_STOP_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(daemon, "_KILL_TIMEOUT_SECONDS", 2.0)


@pytest.fixture(autouse=True)
def _nothing_is_left(home: Home) -> Iterator[None]:
    yield
    for lock in (LOCK, HOST_LOCK):
        pid = LockFile(home, lock).holder()
        if pid:
            os.kill(pid, signal.SIGKILL)


def start(home: Home, name: str, **more: Any) -> dict[str, Any]:
    return daemon.start(home, options(name, **more), PROGRAM)


def restart(home: Home) -> dict[str, Any]:
    return daemon.restart(home, AgentOptions(environment=os.environ), PROGRAM)


def kill_agent(home: Home, pid: int) -> None:
    released = Released(home, LOCK)
    os.kill(pid, signal.SIGKILL)
    assert released.within(UNIT_SECONDS)


def host_is_gone(home: Home) -> bool:
    return Released(home, HOST_LOCK).within(UNIT_SECONDS)


class TestStart:
    def test_it_comes_back_when_the_agent_is_online(self, home: Home) -> None:
        found = start(home, "online", server="ws://relay", shell="fish -i")
        assert (found["verdict"], found["name"], found["relay"]) == ("ONLINE", "online", "ws://relay")
        assert found["shell"] == "fish -i"
        assert daemon.status(home)["pid"] == found["pid"] != os.getpid()

    def test_both_processes_are_on_their_own(self, home: Home) -> None:
        found = start(home, "online")
        assert found["session_leader"]
        assert os.getsid(found["pid"]) == found["pid"] != found["host_pid"]

    def test_nobody_who_looks_for_the_agent_finds_the_host(self, home: Home) -> None:
        """Who kills what looks like an agent is not to kill the shells."""
        assert start(home, "online")["argv"] == ["session-host"]

    def test_the_key_arrives_but_is_nowhere_to_be_seen(self, home: Home) -> None:
        found = start(home, "online", server="ws://relay")
        assert found["key"] == SECRET
        assert SECRET not in " ".join(found["argv"])
        assert not {"CMDOP_API_KEY", "CMDOP_AGENT_PASSWORD"} & set(found["environ"])
        for path in home.path.rglob("*"):
            assert path.is_socket() or SECRET not in path.read_text(errors="replace"), path

    def test_a_refused_key_is_this_commands_failure(self, home: Home) -> None:
        with pytest.raises(KeyRefused) as caught:
            start(home, "refused")
        assert caught.value.sentence == "the relay ws://relay refused the API key ck_abc…: it was revoked"
        assert caught.value.exit_status == 5
        with pytest.raises(AgentNotRunning):
            daemon.status(home)
        assert host_is_gone(home)

    def test_a_crash_says_where_to_look(self, home: Home) -> None:
        with pytest.raises(CmdopError, match="the session host ended with status 7; see: cmdop agent logs"):
            start(home, "crash")

    def test_a_host_that_cannot_even_start_is_said(self, home: Home) -> None:
        home.folder()
        home.file(fake_agent.BROKEN).touch()
        with pytest.raises(CmdopError, match="ended with status 1; see: cmdop agent logs"):
            start(home, "online")
        assert "it is broken" in last_lines(home, 10)

    def test_a_full_disk_is_said_though_the_agent_could_leave_no_word_of_it(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk") as disk:
            home = Home(disk.path / "cmdop")
            home.folder()
            disk.fill()
            with pytest.raises(HomeUnusable, match="o space left"):
                start(home, "online")

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
    def test_it_comes_back_when_both_processes_are_gone(self, home: Home) -> None:
        start(home, "shell")
        daemon.stop(home)
        with pytest.raises(AgentNotRunning):
            daemon.status(home)
        assert LockFile(home, HOST_LOCK).holder() is None
        assert not home.file(CONTROL).exists()
        assert not home.file(HOST_CONTROL).exists()

    def test_nobody_to_stop_is_said(self, home: Home) -> None:
        with pytest.raises(AgentNotRunning):
            daemon.stop(home)

    @pytest.mark.usefixtures("quick_to_kill")
    def test_one_that_is_deaf_is_killed(self, home: Home) -> None:
        start(home, "deaf")
        daemon.stop(home)
        assert LockFile(home, LOCK).holder() is None
        assert LockFile(home, HOST_LOCK).holder() is None

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
        assert LockFile(home, HOST_LOCK).holder() is None

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
        assert host_is_gone(home)


class TestRestart:
    def test_it_has_the_flags_of_the_last_start(self, home: Home) -> None:
        before = start(home, "online", server="ws://relay", shell="fish -i", insecure=True, ca_file="/etc/ca.pem")
        after = restart(home)
        assert after["pid"] != before["pid"]
        assert (after["name"], after["relay"], after["shell"]) == ("online", "ws://relay", "fish -i")
        assert after["key"] is None
        assert json.loads(home.file(START_FILE).read_text()) == {
            "name": "online",
            "server": "ws://relay",
            "shell": "fish -i",
            "insecure": True,
            "ca_file": "/etc/ca.pem",
            "supervised": False,
        }

    def test_one_that_does_not_run_is_started(self, home: Home) -> None:
        found = daemon.restart(home, options("online"), PROGRAM)
        assert found["verdict"] == "ONLINE"

    def test_the_sessions_go_on_in_the_program_that_is_installed_now(self, home: Home) -> None:
        before = start(home, "shell")
        after = restart(home)
        assert after["pid"] != before["pid"]
        assert after["host_pid"] == before["host_pid"]
        assert after["sessions"] == before["sessions"] == [fake_agent.SESSION]
        assert (before["handed_over"], after["handed_over"]) == (0, 1)
        assert restart(home)["handed_over"] == 2

    def test_a_host_that_becomes_another_program_meanwhile_is_waited_for(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Alive:
            pid = 7

            def wait(self, timeout: float) -> int:
                raise subprocess.TimeoutExpired("agent", timeout)

        answers = iter([{"verdict": STARTING, "reason": reason} for reason in (DIALLING, HOST_SILENT, "refused")])
        monkeypatch.setattr(daemon, "status_of", lambda *_: next(answers))
        settled = daemon._first_status(home, Alive(), Deadline(UNIT_SECONDS))  # type: ignore[arg-type]
        assert settled["reason"] == "refused"

    def test_without_sessions_there_is_nothing_to_keep(self, home: Home) -> None:
        before = start(home, "online")
        assert restart(home)["host_pid"] != before["host_pid"]

    def test_a_program_that_does_not_work_costs_no_session(self, home: Home) -> None:
        before = start(home, "shell")
        home.file(fake_agent.BROKEN).touch()
        after = restart(home)
        assert after["host_pid"] == before["host_pid"]
        assert (after["handed_over"], after["sessions"]) == (0, [fake_agent.SESSION])
        assert any("the sessions stay with the program that they run in" in line for line in last_lines(home, 10))
        assert any("it is broken" in line for line in last_lines(home, 10))

    @pytest.mark.usefixtures("quick_to_kill")
    def test_an_agent_that_hangs_loses_no_session(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        before = start(home, "shell")
        monkeypatch.setattr(daemon, "_ANSWER_TIMEOUT_SECONDS", 0.2)
        os.kill(before["pid"], signal.SIGSTOP)
        after = restart(home)
        assert (after["host_pid"], after["sessions"]) == (before["host_pid"], [fake_agent.SESSION])


class TestCrash:
    """The agent's process dies without a word."""

    def test_its_sessions_are_kept_and_told_of(self, home: Home) -> None:
        before = start(home, "shell")
        kill_agent(home, before["pid"])
        with pytest.raises(AgentDied) as caught:
            daemon.status(home)
        assert caught.value.sentence == "no agent is running here; the last one left 1 session"
        assert caught.value.details["pid"] == before["host_pid"]

    def test_the_next_agent_takes_them_up(self, home: Home) -> None:
        before = start(home, "shell")
        kill_agent(home, before["pid"])
        after = start(home, "shell", server="ws://another")
        assert (after["host_pid"], after["sessions"]) == (before["host_pid"], [fake_agent.SESSION])
        assert after["relay"] == "ws://another"

    def test_a_stop_ends_what_it_left(self, home: Home) -> None:
        kill_agent(home, start(home, "shell")["pid"])
        daemon.stop(home)
        assert LockFile(home, HOST_LOCK).holder() is None
        with pytest.raises(AgentNotRunning) as caught:
            daemon.status(home)
        assert type(caught.value) is AgentNotRunning

    def test_without_sessions_nothing_is_left(self, home: Home) -> None:
        kill_agent(home, start(home, "online")["pid"])
        assert host_is_gone(home)

    def test_an_agent_that_is_refused_leaves_them_for_the_next_one(self, home: Home) -> None:
        before = start(home, "shell")
        kill_agent(home, before["pid"])
        with pytest.raises(KeyRefused):
            start(home, "refused")
        assert start(home, "shell")["host_pid"] == before["host_pid"]

    def test_a_host_that_dies_is_replaced(self, home: Home) -> None:
        before = start(home, "shell")
        released = Released(home, HOST_LOCK)
        os.kill(before["host_pid"], signal.SIGKILL)
        assert released.within(UNIT_SECONDS)
        after = _until_host_is_another(home, before["host_pid"])
        assert after["pid"] == before["pid"]
        log = "\n".join(last_lines(home, 20))
        assert "the session host ended with status -9; see: cmdop agent logs; its sessions are lost" in log

    def test_a_host_that_is_told_to_end_says_goodbye_with_its_sessions(self, home: Home) -> None:
        before = start(home, "shell")
        kill_agent(home, before["pid"])
        os.kill(before["host_pid"], signal.SIGTERM)
        assert host_is_gone(home)
        assert not home.file(HOST_CONTROL).exists()


def _until_host_is_another(home: Home, pid: int) -> dict[str, Any]:
    """The agent's status once it has another host: the log says when there is one."""
    from cmdop.deadline import Deadline

    deadline = Deadline(UNIT_SECONDS)
    while not deadline.passed:
        found = daemon.status(home)
        if found["verdict"] == "ONLINE" and found["host_pid"] != pid:
            return found
    raise AssertionError(found)


class TestStatus:
    def test_nobody_there_is_said(self, home: Home) -> None:
        with pytest.raises(AgentNotRunning):
            daemon.status(home)

    def test_what_a_killed_agent_left_is_no_agent(self, home: Home) -> None:
        kill_agent(home, start(home, "online")["pid"])
        with pytest.raises(AgentNotRunning):
            daemon.status(home)
        assert start(home, "online")["verdict"] == "ONLINE"


def test_options_show_no_secret() -> None:
    assert SECRET not in repr(options("x"))
    assert SECRET not in str(options("x").flags) + str(options("x").to_json())


def test_a_name_that_looks_like_an_option_stays_a_name(home: Home) -> None:
    assert start(home, "--foreground")["name"] == "--foreground"


def test_kept_flags_of_a_wrong_type_count_as_not_given() -> None:
    kept = {"name": 5, "server": None, "shell": ["x"], "insecure": "yes", "ca_file": 7}
    assert AgentOptions(api_key="k").with_json(kept) == AgentOptions(api_key="k")
    assert replace(AgentOptions(), name="n").with_json({}) == AgentOptions()


def test_options_come_over_to_the_host_but_for_what_makes_no_sense() -> None:
    given = AgentOptions(
        "n", "ws://relay", "ck_x", "fish", True, "/ca.pem", {"HTTPS_PROXY": "http://p"}, {"TZ": "UTC"}, was_online=True
    )
    heard = AgentOptions.heard(json.loads(json.dumps(given.told())))
    assert (heard, heard.environment) == (given, given.environment)
    nonsense = {"options": [], "api_key": 5, "environment": {"A": 1, "B": "2"}, "was_online": "yes"}
    assert AgentOptions.heard(nonsense) == AgentOptions.heard({}) == AgentOptions()
    assert AgentOptions.heard(nonsense).environment == {"B": "2"}
