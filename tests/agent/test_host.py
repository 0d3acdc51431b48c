"""The session host in this process, with agents that say what a test wants them to."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cmdop.agent import handover
from cmdop.agent import host as host_module
from cmdop.agent.host import SessionHost
from cmdop.agent.hosting import HOST_CONTROL
from cmdop.agent.lease import Lease, Said
from cmdop.agent.options import AgentOptions
from cmdop.control import ask, stay
from cmdop.errors import KeyRefused
from cmdop.home import Home
from tests.agent.fake_agent import SESSION, FakeMachine, FakeService

TIMEOUT_SECONDS = 10.0


class RunningHost:
    """A host on a thread of its own."""

    def __init__(self, home: Home) -> None:
        self.home, self.machine = home, FakeMachine()
        self.services: list[FakeService] = []
        self.host = SessionHost(home, self.machine, self._make)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.host.run, args=(self._ready.set,), name="test host", daemon=True)
        self._thread.start()
        assert self._ready.wait(TIMEOUT_SECONDS)

    def _make(self, home: Home, options: AgentOptions, machine: FakeMachine, online: Callable[[], None]) -> FakeService:
        self.services.append(FakeService(home, options, machine, online))
        return self.services[-1]

    @property
    def ended(self) -> bool:
        """Whether it ends now."""
        self._thread.join(TIMEOUT_SECONDS)
        return not self._thread.is_alive()

    def agent(self) -> Lease:
        """A new agent's end of the lease, once the host is ready for it."""
        line = stay(self.home, HOST_CONTROL)
        assert line is not None
        lease = Lease(line)
        ready = lease.receive()
        assert ready is not None
        assert (ready["say"], ready["pid"]) == ("ready", os.getpid())
        return lease

    def served(self, name: str, **more: Any) -> Lease:
        """An agent that is online, or whatever its name says."""
        lease = self.agent()
        lease.send({"do": "serve", **AgentOptions(name=name, api_key="ck_x").told(), **more})
        until(lease, "online")
        return lease

    def status(self) -> dict[str, Any]:
        answer = ask(self.home, HOST_CONTROL, {"do": "status"})
        assert answer is not None
        return answer


def until(lease: Lease, say: str) -> Said:
    """What the host says next of that kind."""
    while (said := lease.receive()) is not None:
        if said["say"] == say:
            return said
    raise AssertionError(f"the host ended before it said {say}")


@pytest.fixture
def host(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningHost]:
    monkeypatch.setattr(host_module, "ORPHAN_LOOK_SECONDS", 0.01)
    logging.getLogger("cmdop").setLevel(logging.INFO)
    running = RunningHost(home)
    yield running
    running.host.stop("the test is over")
    assert running.ended


# -- with an agent ------------------------------------------------------------------------------


def test_an_agent_is_served_with_its_options_and_sees_the_log(host: RunningHost) -> None:
    lease = host.agent()
    environment = {"TZ": "UTC", "CMDOP_API_KEY": "ck_x", "CMDOP_AGENT_PASSWORD": "y"}
    options = AgentOptions("online", "ws://relay", "ck_x", "fish", True, environment=environment)
    lease.send({"do": "serve", **options.told()})
    assert until(lease, "log")["line"] == "online"
    until(lease, "online")
    given = host.services[0].options
    assert (given.name, given.server, given.api_key, given.shell) == ("online", "ws://relay", "ck_x", "fish")
    assert given.insecure
    assert given.environment == {"TZ": "UTC"}
    assert host.status()["verdict"] == "ONLINE"
    lease.close()


def test_a_stop_ends_the_sessions_and_the_host(host: RunningHost) -> None:
    lease = host.served("shell")
    lease.send({"do": "stop", "reason": "SIGTERM"})
    assert host.ended
    lease.close()
    assert host.services[0].reasons == ["SIGTERM"]
    assert host.machine.closed
    assert not host.home.file(HOST_CONTROL).exists()


def test_a_stop_that_somebody_else_asks_for_counts_too(host: RunningHost) -> None:
    lease = host.served("shell")
    assert ask(host.home, HOST_CONTROL, {"do": "stop"}) == {"stopping": True}
    assert host.ended
    lease.close()
    assert host.machine.closed


def test_a_request_that_it_does_not_know_is_answered(host: RunningHost) -> None:
    assert ask(host.home, HOST_CONTROL, {"do": "dance"}) == {"error": "unknown request"}


def test_a_failure_is_told_and_ends_a_host_without_sessions(host: RunningHost) -> None:
    lease = host.agent()
    lease.send({"do": "serve", **AgentOptions(name="refused").told()})
    failed = until(lease, "failed")
    assert (failed["error"]["code"], failed["sessions"]) == (KeyRefused.code, 0)
    assert host.ended
    lease.close()


def test_a_failure_ends_no_session(host: RunningHost) -> None:
    host.machine.sessions = [SESSION]
    lease = host.agent()
    lease.send({"do": "serve", **AgentOptions(name="refused").told()})
    assert until(lease, "failed")["sessions"] == 1
    lease.close()
    host.served("shell").close()
    assert not host.machine.closed


def test_a_mistake_of_our_own_ends_no_session(host: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: FakeService) -> None:
        raise RuntimeError("a mistake")

    host.machine.sessions = [SESSION]
    monkeypatch.setattr(FakeService, "run", broken)
    lease = host.agent()
    lease.send({"do": "serve", **AgentOptions(name="x").told()})
    assert until(lease, "failed")["error"]["code"] == "local-protocol"
    lease.close()
    monkeypatch.undo()
    host.served("shell").close()


def test_a_new_program_that_does_not_work_is_not_taken(host: RunningHost, caplog: pytest.LogCaptureFixture) -> None:
    host.machine.sessions = [SESSION]
    host.served("shell", become=["/nonexistent/python"]).close()
    assert "the sessions stay with the program that they run in: the new one cannot be started" in caplog.text
    assert not host.machine.frozen


def test_an_exec_that_fails_is_as_if_nothing_had_been(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handover, "obstacle", lambda _: "")
    host.machine.sessions = [SESSION]
    lease = host.served("shell", become=["/nonexistent/python"])
    assert "the sessions stay with the program that they run in: [Errno 2]" in caplog.text
    assert not host.machine.frozen
    assert host.status()["verdict"] == "ONLINE"
    lease.close()


# -- between agents -------------------------------------------------------------------------------


def test_an_agent_that_dies_takes_the_uplink_with_it_and_no_session(host: RunningHost) -> None:
    host.served("shell").close()
    again = host.served("shell")
    assert host.services[0].reasons == ["the agent has gone"]
    assert host.status()["sessions"] == [SESSION]
    assert not host.machine.closed
    again.close()


def test_an_agent_that_leaves_is_told_when_it_may(host: RunningHost) -> None:
    lease = host.served("shell")
    lease.send({"do": "leave"})
    until(lease, "left")
    assert host.services[0].reasons == ["the agent is restarted"]
    lease.close()
    host.served("shell").close()


def test_the_end_of_an_agent_that_has_left_is_nothing_to_the_next_one(host: RunningHost) -> None:
    older = host.served("shell")
    reader = next(thread for thread in threading.enumerate() if thread.name == "agent->host")
    older.send({"do": "leave"})
    until(older, "left")
    newer = host.served("shell")
    older.close()
    reader.join(TIMEOUT_SECONDS)
    assert not reader.is_alive()
    assert host.status()["verdict"] == "ONLINE"
    assert host.services[1].reasons == []
    newer.close()


def test_without_an_agent_the_sessions_are_still_told_of(host: RunningHost) -> None:
    host.machine.sessions = [SESSION]
    host.agent().close()
    found = host.status()
    assert found == {"pid": os.getpid(), "sessions": [SESSION]}


def test_without_sessions_it_ends_with_its_agent(host: RunningHost) -> None:
    host.served("online").close()
    assert host.ended


def test_without_an_agent_it_ends_with_its_last_session(host: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "ORPHAN_LOOK_SECONDS", host_module.ORPHAN_SECONDS)
    waits, wait = threading.Event(), host.host._change.wait

    def told_wait(timeout: float | None = None) -> bool:
        if timeout is not None:  # for a next agent, and not for what one says
            waits.set()
        return wait(timeout)

    monkeypatch.setattr(host.host._change, "wait", told_wait)
    host.served("shell").close()
    assert waits.wait(TIMEOUT_SECONDS)
    host.machine.end_all()
    assert host.ended


def test_without_an_agent_it_ends_when_its_time_is_over(host: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "ORPHAN_SECONDS", 0.05)
    host.served("shell").close()
    assert host.ended
    assert host.machine.closed


def test_without_an_agent_it_ends_when_its_home_is_gone(host: RunningHost) -> None:
    host.served("shell").close()
    shutil.rmtree(host.home.path)
    assert host.ended
    assert host.machine.closed


def test_an_agent_that_never_comes_is_not_waited_for_for_long(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_FIRST_AGENT_SECONDS", 0.01)
    assert RunningHost(home).ended
