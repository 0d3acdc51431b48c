"""The `cmdop` command with an agent that has no relay and no shells: it does what its name says.

Run as a program in the place of `python -m cmdop`, for both of the agent's processes, or
imported for `FakeService` and `FakeMachine`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from cmdop.agent.options import AgentOptions
from cmdop.errors import KeyRefused
from cmdop.home import Home

SESSION = {"session_id": "abcd1234abcd1234", "operator": "ann", "clients": 1, "command": "vim notes.txt"}
BLOB = b"\0\xff" * 70_000
BROKEN = "broken"
"""A file in the home that makes every new session host fail."""


class FakeMachine:
    """Has sessions that are only said to be there."""

    def __init__(self, home: Home | None = None) -> None:
        self.sessions: list[dict[str, Any]] = []
        self.handed_over = 0
        self.closed = self.frozen = False
        self.listeners: list[Callable[[], None]] = []

    @property
    def any(self) -> bool:
        return bool(self.sessions)

    def statuses(self) -> list[dict[str, Any]]:
        return self.sessions

    def end_all(self) -> None:
        """As if the shells had been left."""
        self.sessions = []
        for listener in self.listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def hand_over(self) -> tuple[dict[str, Any], list[bytes]]:
        self.frozen = True
        return {"sessions": self.sessions, "handed_over": self.handed_over}, [b"", BLOB]

    def thaw(self) -> None:
        self.frozen = False

    def take_over(self, state: dict[str, Any], blobs: list[bytes]) -> None:
        assert blobs == [b"", BLOB]
        self.sessions, self.handed_over = state["sessions"], state["handed_over"] + 1

    def close(self) -> None:
        self.sessions, self.closed = [], True


class FakeService:
    """Named online, starting, refused, crash, shell (has a session), deaf (to every polite request), or
    discreet (tells of itself what a real one tells)."""

    def __init__(
        self,
        home: Home,
        options: AgentOptions,
        machine: FakeMachine | None = None,
        online: Callable[[], None] = lambda: None,
    ) -> None:
        self.options, self.machine, self.tell_online = options, machine or FakeMachine(), online
        self.stopping = threading.Event()
        self.reasons: list[str] = []
        self.online = False

    def run(self) -> None:
        name = self.options.name
        if name == "refused":
            raise KeyRefused(server="ws://relay", key="ck_abc…", reason="it was revoked")
        if name == "crash":
            os._exit(7)
        if name == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if name == "shell" and not self.machine.sessions:
            self.machine.sessions = [SESSION]
        self.online = name != "starting"
        if self.online:
            logging.getLogger("cmdop.agent").info("online")
            self.tell_online()
        self.stopping.wait()

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)
        if self.options.name != "deaf":
            self.stopping.set()

    def leave(self, reason: str) -> None:
        self.reasons.append(reason)
        self.stopping.set()

    def status(self) -> dict[str, Any]:
        told = {
            "verdict": "ONLINE" if self.online else "STARTING",
            "reason": "cannot reach the relay" if self.options.name == "starting" else "",
            "machine_id": "8f23a4b0-0000-4000-8000-000000000000",
            "hostname": "host",
            "name": self.options.name,
            "fingerprint": None,
            "workspace": "demo",
            "relay": self.options.server,
            "uptime_seconds": round(time.monotonic()),
            "sessions": self.machine.statuses(),
        }
        if self.options.name == "discreet":
            return told
        return {
            **told,
            # What only a test wants to know.
            "key": self.options.api_key,
            "shell": self.options.shell,
            "proxies": dict(self.options.proxies),
            "ca_file": self.options.ca_file,
            "handed_over": self.machine.handed_over,
            "argv": sys.argv[1:],
            "environ": {name: value for name, value in os.environ.items() if name.startswith("CMDOP_")},
            "session_leader": os.getsid(0) == os.getpid(),
        }


def _in_the_place_of(module: str, **names: Any) -> None:
    fake = types.ModuleType(module)
    fake.__dict__.update(names)
    sys.modules[module] = fake


if __name__ == "__main__":
    if sys.argv[1] == "session-host" and os.path.exists(os.path.join(os.environ["CMDOP_HOME"], BROKEN)):
        sys.exit("it is broken")
    _in_the_place_of("cmdop.agent.service", AgentService=FakeService)
    _in_the_place_of("cmdop.agent.machine", Machine=FakeMachine)
    from cmdop.agent import hosting

    hosting.PROGRAM = (sys.executable, __file__)  # type: ignore[misc]
    from cmdop.cli.main import main

    main()
