"""A session host as other processes see it: started, and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from cmdop.agent.detached import detached
from cmdop.agent.logfile import LOG_FILE, open_private
from cmdop.agent.options import AgentOptions
from cmdop.errors import CmdopError, HomeUnusable
from cmdop.home import Home
from cmdop.limits import CLOSE_TIMEOUT_SECONDS

HOST_CONTROL: Final = "agent-host.control"
HOST_LOCK: Final = "agent-host.lock"
HOST_VERB: Final = "session-host"
PROGRAM: Final[tuple[str, ...]] = (sys.executable, "-P", "-m", "cmdop")
"""Not whatever has the name `cmdop` in the current folder: hence -P."""
READY: Final = b"ready\n"
"""What a host says on its stdout once agents may come."""


class StartedHost:
    """A host that we have started, and that is ready."""

    def __init__(self, home: Home, program: Sequence[str], options: AgentOptions) -> None:
        """Blocks until it is ready. Raises CmdopError when it ends before, HomeUnusable."""
        # The path may be relative to our folder.
        env = {**options.environment_told, "CMDOP_HOME": str(home.folder().resolve())}
        words = [*program, HOST_VERB]
        try:
            with open(home.file(LOG_FILE), "ab", opener=open_private) as log:
                self._process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=env, **detached()
                )
        except OSError as error:
            raise HomeUnusable(path=error.filename or home.path, reason=error.strerror) from error
        assert self._process.stdout is not None
        with self._process.stdout as said:
            if said.readline() != READY:
                raise CmdopError(reason=f"the session host ended with status {self.wait()}; see: cmdop agent logs")

    def wait(self) -> int | None:
        """Its exit status, once its lease is over; None when it lives on without us."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(CLOSE_TIMEOUT_SECONDS)
        return None


def kill(pid: int) -> None:
    """End a process that is known to live, at once. "Already gone" is success."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
