"""An agent that a service manager starts: how it is restarted, and how it stays away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cmdop.agent import daemon
from cmdop.agent.hosting import HOST_LOCK
from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import LEFT_STATUS, AgentOptions
from cmdop.agent.process import LOCK, keep_proxies
from cmdop.errors import TimedOut
from cmdop.home import Home
from tests.agent import fake_agent

FAKE = (sys.executable, fake_agent.__file__)
UNIT_SECONDS = 10.0


class Supervisor:
    """Starts an agent, and another one whenever it ends with LEFT_STATUS or is killed.

    The thread `agent->supervisor` blocks in the agent's end, and ends with one that was stopped.
    """

    def __init__(self, home: Home, patient: bool = True) -> None:
        self._env = {**os.environ, "CMDOP_HOME": str(home.folder())}
        self.statuses: list[int] = []
        self._patient = patient
        self.thread = threading.Thread(target=self._keep, name="agent->supervisor", daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        words = [*FAKE, "agent", "start", "--foreground", "--supervised", "--name=shell"]
        while not self.statuses or (self._patient and self.statuses[-1] != 0):
            done = subprocess.run(words, env=self._env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
            self.statuses.append(done.returncode)


@pytest.fixture(autouse=True)
def _all_gone(home: Home) -> Iterator[None]:
    yield
    if any(LockFile(home, lock).holder() is not None for lock in (LOCK, HOST_LOCK)):
        daemon.stop(home)


def restart(home: Home, **more: str) -> dict[str, object]:
    return daemon.restart(home, AgentOptions(environment={**os.environ, **more}), FAKE)


def test_a_restart_leaves_the_starting_to_the_supervisor_and_keeps_the_host(home: Home) -> None:
    supervisor = Supervisor(home)
    first = daemon.started_by_another(home, UNIT_SECONDS)
    assert first is not None
    assert daemon.is_supervised(home)
    second = restart(home)
    assert supervisor.statuses == [LEFT_STATUS]
    assert second["pid"] != first["pid"]
    assert second["host_pid"] == first["host_pid"]
    assert daemon.is_supervised(home)
    daemon.stop(home)
    supervisor.thread.join(UNIT_SECONDS)
    assert supervisor.statuses == [LEFT_STATUS, 0]
    assert not daemon.is_supervised(home)


def test_a_service_has_the_proxies_of_the_start_before_it_or_of_the_restart(home: Home) -> None:
    """What starts it has the environment of nobody."""
    keep_proxies(home, {"HTTPS_PROXY": "http://ann:hush@proxy"})
    supervisor = Supervisor(home)
    first = daemon.started_by_another(home, UNIT_SECONDS)
    assert first is not None
    assert first["proxies"] == {"HTTPS_PROXY": "http://ann:hush@proxy"}
    assert restart(home)["proxies"] == first["proxies"]
    assert restart(home, HTTPS_PROXY="http://other")["proxies"] == {"HTTPS_PROXY": "http://other"}
    assert restart(home, HTTPS_PROXY="")["proxies"] == {}
    daemon.stop(home)
    supervisor.thread.join(UNIT_SECONDS)


def test_one_that_leaves_for_good_does_not_come_again(home: Home) -> None:
    supervisor = Supervisor(home)
    assert daemon.started_by_another(home, UNIT_SECONDS) is not None
    assert daemon.leave(home)
    supervisor.thread.join(UNIT_SECONDS)
    assert supervisor.statuses == [0]
    assert LockFile(home, HOST_LOCK).holder() is not None
    assert not daemon.leave(home)


def test_a_supervisor_that_starts_none_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Supervisor(home, patient=False)
    assert daemon.started_by_another(home, UNIT_SECONDS) is not None
    monkeypatch.setattr(daemon, "started_by_another", daemon_gave_up)
    with pytest.raises(TimedOut, match="the service of the agent"):
        restart(home)


def daemon_gave_up(home: Home) -> None:
    """In the place of waiting for long: it is known that nobody will come."""
    assert LockFile(home, LOCK).holder() is None
