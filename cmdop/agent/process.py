"""The agent as the one process of its home that is one: lock, control endpoint, service."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from cmdop.agent.lockfile import LockFile
from cmdop.agent.options import AgentOptions
from cmdop.control import ControlServer
from cmdop.errors import AgentRunning
from cmdop.home import Home

CONTROL: Final = "agent.control"
LOCK: Final = "agent.lock"
START_FILE: Final = "agent-start.json"
"""The flags that an agent was started with, for `restart`; no secrets."""


class Service(Protocol):
    """What an agent does while it runs (AgentService)."""

    def run(self) -> None:
        """Block until `stop`. Raises CmdopError when it cannot go on."""

    def stop(self, reason: str) -> None:
        """End `run`, from any thread, also before it began. Twice is quiet."""

    def status(self) -> dict[str, Any]:
        """What `cmdop agent status` shows."""
        ...


MakeService = Callable[[Home, AgentOptions], Service]


class AgentProcess:
    """An agent in this process. `run` blocks its caller; `stop` ends it from any thread."""

    def __init__(self, home: Home, options: AgentOptions, make_service: MakeService) -> None:
        self._home, self._options, self._make_service = home, options, make_service
        self._service: Service | None = None
        self._stop_reason: str | None = None

    def run(self) -> None:
        """Be the agent until stopped.

        Raises AgentRunning when this home has one already, and what the service raises.
        """
        lock = LockFile(self._home, LOCK)
        if not lock.acquire():
            raise AgentRunning(pid=lock.holder())
        try:
            self._home.write_json(START_FILE, self._options.to_json())
            service = self._service = self._make_service(self._home, self._options)
            if self._stop_reason is not None:  # it came while there was no service to tell
                service.stop(self._stop_reason)
            control = ControlServer(self._home, CONTROL, self._answer)
            try:
                service.run()
            finally:
                control.close()
        finally:
            lock.release()

    def stop(self, reason: str) -> None:
        """End `run`, now or as soon as it begins. Twice is quiet."""
        self._stop_reason = reason
        if self._service is not None:
            self._service.stop(reason)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("do") == "status" and self._service is not None:
            return {"pid": os.getpid(), **self._service.status()}
        if request.get("do") == "stop":
            self.stop("cmdop agent stop")
            return {"stopping": True}
        return {"error": "unknown request"}
