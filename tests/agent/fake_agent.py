"""The `cmdop` command with an agent that has no relay: it does what its name says.

Run as a program in the place of `python -m cmdop`, or imported for `FakeService`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from cmdop.agent.options import AgentOptions
from cmdop.errors import KeyRefused
from cmdop.home import Home

SESSION = {"session_id": "abcd1234abcd1234", "operator": "ann", "clients": 1, "command": "vim notes.txt"}


class FakeService:
    """Named online, starting, refused, crash, or deaf (to every polite request)."""

    def __init__(self, home: Home, options: AgentOptions) -> None:
        self.options = options
        self.stopping = threading.Event()
        self.reasons: list[str] = []
        self.online = False

    def run(self) -> None:
        if self.options.name == "refused":
            raise KeyRefused(server="ws://relay", key="ck_abc…", reason="it was revoked")
        if self.options.name == "crash":
            os._exit(7)
        if self.options.name == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.online = self.options.name != "starting"
        logging.getLogger("cmdop.agent").info("online")
        self.stopping.wait()

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)
        if self.options.name != "deaf":
            self.stopping.set()

    def status(self) -> dict[str, Any]:
        return {
            "verdict": "ONLINE" if self.online else "STARTING",
            "reason": "cannot reach the relay" if self.options.name == "starting" else "",
            "machine_id": "8f23a4b0-0000-4000-8000-000000000000",
            "hostname": "host",
            "name": self.options.name,
            "workspace": "demo",
            "relay": self.options.server,
            "uptime_seconds": round(time.monotonic()),
            "sessions": [
                {"session_id": "abcd1234abcd1234", "operator": "ann", "clients": 1, "command": "vim notes.txt"}
            ],
            # What only a test wants to know.
            "key": self.options.api_key,
            "shell": self.options.shell,
            "argv": sys.argv[1:],
            "environ": {name: value for name, value in os.environ.items() if name.startswith("CMDOP_")},
            "session_leader": os.getsid(0) == os.getpid(),
        }


if __name__ == "__main__":
    fake = types.ModuleType("cmdop.agent.service")
    fake.AgentService = FakeService  # type: ignore[attr-defined]
    sys.modules["cmdop.agent.service"] = fake
    from cmdop.cli.main import main

    main()
