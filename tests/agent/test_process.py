"""The agent's process, with a session host that says what a test wants it to."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmdop import __version__
from cmdop.agent import process as process_module
from cmdop.agent.hosting import HOST_CONTROL, HOST_LOCK
from cmdop.agent.lease import Lease, Said, error_told
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.agent.process import CONTROL, LOCK, AgentProcess
from cmdop.control import ControlServer, Line, ask
from cmdop.errors import AgentRunning, CmdopError, KeyRefused
from cmdop.home import Home
from tests.agent import fake_agent

TIMEOUT_SECONDS = 10.0
PROGRAM = (sys.executable, fake_agent.__file__)
NO_PROGRAM = ("/nonexistent/python",)


class FakeHost:
    """A host that is there already."""

    def __init__(self, home: Home) -> None:
        self._leases: queue.SimpleQueue[Lease] = queue.SimpleQueue()
        self.control = ControlServer(home, HOST_CONTROL, lambda _: {"pid": 4711, "verdict": "ONLINE"}, self._stay)

    def _stay(self, line: Line) -> None:
        self._leases.put(Lease(line))

    def agent(self, version: str = __version__, pid: int = 4711) -> tuple[Lease, Said]:
        """The next agent's lease, and what it wants."""
        lease = self._leases.get(timeout=TIMEOUT_SECONDS)
        lease.send({"say": "ready", "pid": pid, "version": version})
        wanted = lease.receive()
        assert wanted is not None
        assert wanted["do"] == "serve"
        return lease, wanted


class RunningAgent:
    """An agent's process on a thread of its own."""

    def __init__(self, home: Home, renew: bool | None = None) -> None:
        self.shown: queue.SimpleQueue[str] = queue.SimpleQueue()
        options = AgentOptions(name="online", api_key="ck_x", environment=os.environ)
        self.process = AgentProcess(home, options, NO_PROGRAM, self.shown.put, renew)
        self._errors: list[CmdopError] = []
        self._thread = threading.Thread(target=self._run, name="test agent", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.process.run()
        except CmdopError as error:
            self._errors.append(error)

    def end(self) -> CmdopError | None:
        """What `run` raised, once it is over."""
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive()
        return self._errors[0] if self._errors else None


@pytest.fixture
def host(home: Home) -> Iterator[FakeHost]:
    host = FakeHost(home)
    yield host
    host.control.close()


def test_a_stop_before_it_began_starts_nothing(home: Home) -> None:
    process = AgentProcess(home, AgentOptions(name="online"), NO_PROGRAM)
    process.stop("too early")
    process.run()
    assert LockFile(home, LOCK).holder() is None


def test_a_second_one_is_refused(home: Home, host: FakeHost) -> None:
    first = RunningAgent(home)
    lease, _ = host.agent()
    assert isinstance(RunningAgent(home).end(), AgentRunning)
    first.process.leave()
    assert lease.receive() == {"do": "leave"}
    lease.send({"say": "left"})
    assert first.end() is None


def test_a_failure_of_the_host_is_the_agents_own(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    error = KeyRefused(server="ws://relay", key="ck_abc…", reason="it was revoked")
    lease.send({"say": "failed", "error": error_told(error), "sessions": 1})
    raised = agent.end()
    assert isinstance(raised, KeyRefused)
    assert (raised.sentence, raised.next_step) == (error.sentence, error.next_step)
    assert LockFile(home, LOCK).holder() is None
    assert lease.receive() is None


def test_the_hosts_log_is_shown(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    lease.send({"say": "log", "line": "online as prod"})
    assert agent.shown.get(timeout=TIMEOUT_SECONDS) == "online as prod"
    agent.process.stop("SIGTERM")
    assert lease.receive() == {"do": "stop", "reason": "SIGTERM"}
    lease.close()
    assert agent.end() is None


def test_the_key_is_forgotten_once_it_was_used(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, wanted = host.agent()
    assert (wanted["api_key"], wanted["was_online"]) == ("ck_x", False)
    lease.send({"say": "online"})
    lease.send({"say": "ready", "pid": 4711, "version": __version__})
    wanted = lease.receive() or {}
    assert (wanted["api_key"], wanted["was_online"]) == (None, True)
    agent.process.stop("over")
    lease.receive()
    lease.close()
    agent.end()


@pytest.mark.parametrize(
    ("version", "renew", "become"),
    [(__version__, None, False), ("0.0.1", None, True), (__version__, True, True), ("0.0.1", False, False)],
)
def test_a_host_is_replaced_when_it_is_another_version_or_that_is_wanted(
    home: Home, host: FakeHost, version: str, renew: bool | None, become: bool
) -> None:
    agent = RunningAgent(home, renew)
    lease, wanted = host.agent(version)
    assert wanted["become"] == (list(NO_PROGRAM) if become else [])
    # Whatever came of it: once is enough.
    lease.send({"say": "ready", "pid": 4711, "version": version})
    assert (lease.receive() or {})["become"] == []
    agent.process.stop("over")
    lease.receive()
    lease.close()
    agent.end()


def test_a_host_that_was_just_ending_is_tried_again(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    host._leases.get(timeout=TIMEOUT_SECONDS).close()
    lease, _ = host.agent()
    agent.process.stop("over")
    lease.receive()
    lease.close()
    assert agent.end() is None


def test_a_host_that_dies_before_it_was_online_ends_the_agent(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    lease.close()
    assert "see: cmdop agent logs" in str(agent.end())


def test_a_host_that_dies_later_does_not(home: Home, host: FakeHost, caplog: pytest.LogCaptureFixture) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    lease.send({"say": "online"})
    lease.close()
    lease, wanted = host.agent()
    assert wanted["was_online"]
    assert "the session host ended; see: cmdop agent logs; its sessions are lost" in caplog.text
    agent.process.stop("over")
    lease.receive()
    lease.close()
    assert agent.end() is None


def test_a_stop_that_came_while_the_host_became_another_program_is_said_again(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    agent.process.stop("now")
    assert lease.receive() == {"do": "stop", "reason": "now"}
    lease.send({"say": "ready", "pid": 4711, "version": __version__})
    assert lease.receive() == {"do": "stop", "reason": "now"}
    lease.close()
    assert agent.end() is None


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can hang on purpose here")
def test_a_host_that_does_not_stop_is_killed(home: Home, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_HOST_STOP_TIMEOUT_SECONDS", 0.05)
    with subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"]) as deaf:
        agent = RunningAgent(home)
        lease, _ = host.agent(pid=deaf.pid)
        agent.process.stop("now")
        assert deaf.wait(TIMEOUT_SECONDS) == -signal.SIGKILL
        lease.receive()
        lease.close()
        assert agent.end() is None


def test_the_status_is_the_hosts_but_for_the_pid(home: Home, host: FakeHost) -> None:
    agent = RunningAgent(home)
    lease, _ = host.agent()
    found = ask(home, CONTROL, {"do": "status"}) or {}
    assert (found["pid"], found["host_pid"], found["verdict"]) == (os.getpid(), 4711, "ONLINE")
    assert {"machine_id", "name", "fingerprint", "relay", "workspace", "sessions", "reason", "uptime_seconds"} <= set(
        found
    )
    assert ask(home, CONTROL, {"do": "dance"}) == {"error": "unknown request"}
    assert ask(home, CONTROL, {"do": "stop"}) == {"stopping": True}
    lease.receive()
    lease.close()
    agent.end()


def test_a_host_without_an_answer_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_HOST_ANSWER_TIMEOUT_SECONDS", 0.05)
    found = AgentProcess(home, AgentOptions(was_online=True))._status()
    assert (found["verdict"], found["reason"]) == ("STARTING", "the session host does not answer")
    assert AgentProcess(home, AgentOptions())._status()["reason"] == "dialling the relay"


def test_a_host_is_started_where_there_is_none(home: Home, tmp_path: Path) -> None:
    environment = {**os.environ, "CMDOP_HOME": str(tmp_path / "elsewhere"), "CMDOP_API_KEY": "ck_x"}
    options = AgentOptions(name="refused", environment=environment)
    with pytest.raises(KeyRefused):
        AgentProcess(home, options, PROGRAM).run()
    assert LockFile(home, HOST_LOCK).holder() is None
    assert not (tmp_path / "elsewhere").exists()
