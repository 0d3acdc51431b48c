"""launchd: an agent of the user, or a daemon of the machine (launchd.plist(5), launchctl(1)).

launchd ends the process group of a job with its main process; the session host has one of
its own, and `AbandonProcessGroup` says that this is meant. An agent that was stopped ends
with 0 and stays away; one that left for the next, or was killed, comes again.
"""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any, Final

from cmdop.agent.install.interface import Lasting, Wanted
from cmdop.agent.install.programs import Run, must, put_file, remove_file
from cmdop.errors import ServiceRefused

LABEL: Final = "cmdop.agent"
SYSTEM_FOLDER: Final = Path("/Library/LaunchDaemons")


class Launchd:
    """A `ServiceManager`. `uid` is the user's number, whose login session it is."""

    name, supervises = "launchd", True

    def __init__(self, wanted: Wanted, run: Run, uid: int, folder: Path | None = None) -> None:
        own = Path(wanted.user_home, "Library", "LaunchAgents")
        self.path = (folder or (SYSTEM_FOLDER if wanted.system else own)) / f"{LABEL}.plist"
        self._wanted, self._run = wanted, run
        self._domain = "system" if wanted.system else f"gui/{uid}"
        self._job = f"{self._domain}/{LABEL}"

    def text(self) -> str:
        return plist_text(self._wanted)

    def check(self) -> None:
        if self._wanted.system and not self._wanted.is_root:
            raise ServiceRefused(what="a daemon of the system", reason="only root may make one")
        must(self._run, ["launchctl", "print", self._domain])

    def put(self) -> bool:
        return put_file(self.path, self.text().encode())

    def begin(self) -> None:
        # It reads a file only once: a job that is there, and has no agent any more, goes first.
        if self._is_loaded():
            must(self._run, ["launchctl", "bootout", self._job])
        must(self._run, ["launchctl", "enable", self._job])
        must(self._run, ["launchctl", "bootstrap", self._domain, str(self.path)])

    def remove(self) -> bool:
        if not self.path.exists():
            return False
        if self._is_loaded():
            must(self._run, ["launchctl", "bootout", self._job])
        remove_file(self.path)
        return True

    def lasting(self) -> Lasting:
        if self._wanted.system:
            return Lasting(True, True)
        return Lasting(False, False)

    def _is_loaded(self) -> bool:
        return self._run(["launchctl", "print", self._job]).status == 0


def plist_text(wanted: Wanted) -> str:
    """The property list for an agent."""
    job: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": [*wanted.program, "agent", "start", "--foreground", "--supervised", *wanted.flags],
        "EnvironmentVariables": {"CMDOP_HOME": wanted.home},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "AbandonProcessGroup": True,
        "ExitTimeOut": 40,
        "ProcessType": "Interactive",
    }
    return plistlib.dumps(job, sort_keys=False).decode()
